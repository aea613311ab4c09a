import { CloseCode, closeNameOf, CodedError, mayRetry, type CodedErrorOptions } from '@lich/schema';

/** What can go wrong at a client. Those marked (retried) reach `onStatus` while the client connects again; the others
 * end the game: its status is `closed`, and what waited for an answer is rejected with the same error.
 *
 * - `CLIENT_CONNECTION` (retried) the connection broke or was never made.
 * - `CLIENT_BAD_FRAME` (retried) the gateway sent something that does not decode.
 * - `CLIENT_NO_SCENE` (retried) no service answers behind the gateway.
 * - `CLIENT_TOO_FAST` (retried) more messages a second than the gateway allows.
 * - `CLIENT_TOO_MANY` (retried) the gateway holds all the sessions that it may.
 * - `CLIENT_OUTPUT_LOST` (retried) the client fell behind and output for it is gone; also what an `ask` is rejected with
 *   whose answer may have been in it. It was handled.
 * - `CLIENT_UNREACHABLE` the first connection was not made in `connectTimeoutMs`; `cause` is the last failure.
 * - `CLIENT_MALFORMED` the gateway could not decode what this client sent: the builds differ, or a bug.
 * - `CLIENT_BAD_TOKEN` the token is not one of a session there: it ended. Connect again without a token.
 * - `CLIENT_PROTOCOL_DIFFERS` protocol, synced state or wire version differ: the client must be updated.
 * - `CLIENT_REPLACED` a newer socket, as of a second tab, took the session over.
 * - `CLIENT_ENDED` the session ended on the server: the player left, or was away too long.
 * - `CLIENT_FRAME_TOO_LARGE` a message is larger than the gateway allows.
 * - `CLIENT_CLOSED` `close()` was called: what waited is rejected with it, and later calls throw it.
 * - `CLIENT_FULL` `send` or `ask` while `maxPending` messages are not acknowledged; nothing was sent.
 * - `CLIENT_REFUSED` the service answered a request with an error; `remoteCode` says which.
 * - `CLIENT_NO_WEBSOCKET` no WebSocket here: pass one in `options.WebSocket`, or install the package `ws` (Node 20). */
export type ClientCode =
  | 'CLIENT_CONNECTION'
  | 'CLIENT_BAD_FRAME'
  | 'CLIENT_NO_SCENE'
  | 'CLIENT_TOO_FAST'
  | 'CLIENT_TOO_MANY'
  | 'CLIENT_OUTPUT_LOST'
  | 'CLIENT_UNREACHABLE'
  | 'CLIENT_MALFORMED'
  | 'CLIENT_BAD_TOKEN'
  | 'CLIENT_PROTOCOL_DIFFERS'
  | 'CLIENT_REPLACED'
  | 'CLIENT_ENDED'
  | 'CLIENT_FRAME_TOO_LARGE'
  | 'CLIENT_CLOSED'
  | 'CLIENT_FULL'
  | 'CLIENT_REFUSED'
  | 'CLIENT_NO_WEBSOCKET';

/** What a `ClientError` takes along. */
export interface ClientErrorOptions extends CodedErrorOptions {
  readonly retried?: boolean;
  readonly closeCode?: number;
  readonly remoteCode?: string;
}

/** What went wrong at a client; `ClientCode` lists when, and `retried` says whether it goes on by itself. */
export class ClientError extends CodedError<ClientCode> {
  /** True when the client goes on by itself: it connects again. */
  readonly retried: boolean;
  /** The WebSocket close code, where there was one. */
  readonly closeCode: number | undefined;
  /** With `CLIENT_REFUSED`: the code that the service answered with. */
  readonly remoteCode: string | undefined;

  constructor(code: ClientCode, message: string, options: ClientErrorOptions = {}) {
    super(code, message, options);
    this.retried = options.retried ?? false;
    this.closeCode = options.closeCode;
    this.remoteCode = options.remoteCode;
  }
}

/** The code and the sentence for each close code of a gateway. */
const CLOSED: Readonly<Record<CloseCode, readonly [ClientCode, string]>> = {
  [CloseCode.MALFORMED]: ['CLIENT_MALFORMED', 'the gateway could not decode a frame of this client'],
  [CloseCode.BAD_TOKEN]: ['CLIENT_BAD_TOKEN', 'the token is not one of a session there; connect without a token'],
  [CloseCode.PROTOCOL_DIFFERS]: [
    'CLIENT_PROTOCOL_DIFFERS',
    'protocol or state differ from the server; update the client',
  ],
  [CloseCode.TOO_FAST]: ['CLIENT_TOO_FAST', 'more messages a second than the gateway allows'],
  [CloseCode.REPLACED]: ['CLIENT_REPLACED', 'a newer socket took the session over'],
  [CloseCode.SESSION_ENDED]: ['CLIENT_ENDED', 'the session ended on the server'],
  [CloseCode.OUTPUT_LOST]: ['CLIENT_OUTPUT_LOST', 'this client fell behind and output for it is gone'],
  [CloseCode.FRAME_TOO_LARGE]: ['CLIENT_FRAME_TOO_LARGE', 'a frame of this client is larger than the gateway allows'],
  [CloseCode.TOO_MANY_SESSIONS]: ['CLIENT_TOO_MANY', 'the gateway holds all the sessions that it may'],
  [CloseCode.NO_SCENE]: ['CLIENT_NO_SCENE', 'no service answers behind the gateway'],
};

/** The error that a closed socket stands for.
 * @internal */
export function errorOfClose(closeCode: number, reason: string): ClientError {
  const name = closeNameOf(closeCode);
  const [code, sentence] =
    name === undefined ? (['CLIENT_CONNECTION', 'the connection was lost'] as const) : CLOSED[CloseCode[name]];
  const said = reason === '' ? '' : `: ${reason}`;
  const retried = mayRetry(closeCode);
  return new ClientError(code, `${sentence} (${closeCode}${said})`, { closeCode, retried, severity: 'warn' });
}
