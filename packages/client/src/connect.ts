import { checkProtocol, type Protocol, type StateSchema } from '@lich/schema';
import type { BackoffOptions } from './backoff.ts';
import type { Status } from './connection.ts';
import type { ClientError } from './errors.ts';
import { GameClient, type Game } from './game.ts';
import { findWebSocket, type WebSocketConstructor } from './socket.ts';

/** What `connect` takes. */
export interface ConnectOptions<P extends Protocol, S extends StateSchema> {
  /** What can be said: the same value as the server's. */
  readonly protocol: P;
  /** What exists: the same value as the server's. */
  readonly state: S;
  /** `game.token` of an earlier game: go on as that player. Without it the session is new. */
  readonly token?: string;
  /** Default: the global one; where there is none (Node 20), that of the package `ws`. */
  readonly WebSocket?: WebSocketConstructor;
  /** Told at each change of the status, and at each failed attempt to connect. `reason` says why it is not open. */
  readonly onStatus?: (status: Status, reason?: ClientError) => void;
  /** Most messages that are not acknowledged, and most requests that are not answered. At that number `send` throws
   * `CLIENT_FULL`. Default 1,024. */
  readonly maxPending?: number;
  /** How long to wait before connecting again. */
  readonly backoff?: BackoffOptions;
  /** Most ms until one attempt to connect is given up and the next begins. Default 10,000. */
  readonly attemptTimeoutMs?: number;
  /** Most ms until `connect` rejects with `CLIENT_UNREACHABLE`; 0 = it tries for ever. Once connected, a game connects
   * again for as long as the server does not refuse. Default 30,000. */
  readonly connectTimeoutMs?: number;
}

/** Join a game. Done when the first picture is in view, before any event is handed out: callbacks that are registered
 * right after `await connect(…)` miss nothing.
 * @param url `ws://…` or `wss://…`, a gateway's
 * @throws ClientError with a code that is not retried (see `ClientCode`); SchemaError when protocol and state do not fit
 * together; TypeError or SyntaxError for a token or URL that is none
 * @example
 * const game = await connect('ws://localhost:7777', { protocol: Arena, state: State });
 * game.view.players.onEnter(p => console.log(p.x, p.y)).onLeave(p => console.log(p.id));
 * game.send('walk', { dx: 1, dy: 0 });
 * const { count } = await game.ask('buy', { kind: 7 }); */
export async function connect<P extends Protocol, S extends StateSchema>(
  url: string,
  options: ConnectOptions<P, S>,
): Promise<Game<P, S>> {
  checkProtocol(options.protocol, options.state);
  const game = new GameClient({
    url,
    protocol: options.protocol,
    state: options.state,
    token: options.token,
    WebSocket: options.WebSocket ?? (await findWebSocket()),
    onStatus: options.onStatus,
    maxPending: options.maxPending ?? 1_024,
    backoff: options.backoff,
    attemptTimeoutMs: options.attemptTimeoutMs ?? 10_000,
  });
  await game.start(options.connectTimeoutMs ?? 30_000);
  return game as unknown as Game<P, S>;
}
