/** The supervisor's control socket, `<dir>/supervisor.sock` (0600, in a directory of 0700): what commands ask of the
 * supervisor that runs. Lines of JSON; one question a connection.
 *
 *   ask     { "lich": 1, "verb": "ps", "args": … }
 *   answer  { "event": … }*  then  { "result": … }  or  { "error": { code, message, severity } }
 *
 * A connection that ends without a result means "outcome unknown", never "did not happen". Hanging up aborts the verb's
 * signal; what it has done by then stays done. */
import * as fs from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { CodedError, type Severity } from '@lich/schema';
import { RuntimeError } from '../errors.ts';

const PROTOCOL = 1;
/** A question, and one line of an answer. */
const ASK_BYTES_MAX = 1 << 20;
const ANSWER_BYTES_MAX = 1 << 26;
/** sockaddr_un has room for 107 bytes. */
const PATH_BYTES_MAX = 107;
const NAME = 'supervisor.sock';

/** What a verb is given. */
export interface ControlCall {
  /** As the asker sent it, from JSON: check it. */
  readonly args: unknown;
  /** Send an event to the asker, before the result. Anything that JSON has. */
  readonly tell: (event: unknown) => void;
  /** Aborted when the asker has gone. */
  readonly signal: AbortSignal;
}

/** Answers one question; what it throws goes to the asker with its code. */
export type ControlVerb = (call: ControlCall) => unknown;

/** Errors of a supervisor as the asker sees them: the code is the one that was thrown there. */
export class SupervisorError extends CodedError {}

/** An open control socket. */
export interface ControlServer {
  /** Stop listening and hang up; verbs that run see their signal aborted. The socket file is removed. */
  close(): void;
}

/** Where the control socket of a directory is. */
export function controlPath(dir: string): string {
  return join(dir, NAME);
}

/** Listen on the directory's control socket. Only who holds the supervisor's lock may: a socket file that is there is
 * taken for one that a killed supervisor left.
 * @param verbs by name; it may grow later, names are looked up when they are asked for */
export async function serveControl(dir: string, verbs: ReadonlyMap<string, ControlVerb>): Promise<ControlServer> {
  const path = controlPath(dir);
  fs.rmSync(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Who asked may go away at any moment.
    socket.on('error', () => socket.destroy());
    answer(socket, verbs);
  });
  await withShortPath(dir, short => listen(server, short));
  fs.chmodSync(path, 0o600);
  return {
    close: () => {
      fs.rmSync(path, { force: true });
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** A directory's path may be longer than the address of a socket: then it is reached through an open file of ours. */
async function withShortPath<T>(dir: string, use: (path: string) => Promise<T>): Promise<T> {
  const path = controlPath(dir);
  if (Buffer.byteLength(path) <= PATH_BYTES_MAX) return use(path);
  const fd = fs.openSync(dir, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    return await use(`/proc/self/fd/${fd}/${NAME}`);
  } finally {
    fs.closeSync(fd);
  }
}

function answer(socket: Socket, verbs: ReadonlyMap<string, ControlVerb>): void {
  const gone = new AbortController();
  socket.on('close', () => gone.abort());
  const say = (line: object): void => {
    if (!socket.destroyed && socket.writable) socket.write(`${JSON.stringify(line)}\n`);
  };
  let asked = false;
  readLines(
    socket,
    ASK_BYTES_MAX,
    line => {
      if (asked) return;
      asked = true;
      void handle(line, verbs, { tell: event => say({ event }), signal: gone.signal })
        .then(result => say({ result: result ?? null }))
        .catch((error: unknown) => say({ error: plainError(error) }))
        // What cannot be written as JSON is answered by hanging up.
        .catch(() => socket.destroy())
        .finally(() => socket.end());
    },
    () => socket.destroy(),
  );
}

async function handle(
  line: string,
  verbs: ReadonlyMap<string, ControlVerb>,
  call: Omit<ControlCall, 'args'>,
): Promise<unknown> {
  let asked: { lich?: unknown; verb?: unknown; args?: unknown } | null;
  try {
    asked = JSON.parse(line) as typeof asked;
  } catch (error) {
    throw new RuntimeError('RUNTIME_CONTROL', 'the question is no line of JSON', { cause: error });
  }
  const { lich, verb, args } = asked ?? {};
  if (lich !== PROTOCOL || typeof verb !== 'string')
    throw new RuntimeError(
      'RUNTIME_CONTROL',
      `this supervisor answers protocol ${PROTOCOL}, it was asked by ${String(lich)}: use the Lich that started it`,
    );
  const run = verbs.get(verb);
  if (run === undefined)
    throw new RuntimeError(
      'RUNTIME_CONTROL',
      `this supervisor does not know \`${verb}\`; it knows ${[...verbs.keys()].sort().join(', ')}`,
    );
  return run({ args, ...call });
}

/** Calls `each` for each whole line, `tooLong` once for a line beyond `bytesMax`. */
function readLines(socket: Socket, bytesMax: number, each: (line: string) => void, tooLong: () => void): void {
  let parts: Buffer[] = [];
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(10, from);
      const part = chunk.subarray(from, end < 0 ? chunk.length : end);
      parts.push(part);
      bytes += part.length;
      if (bytes > bytesMax) {
        tooLong();
        return;
      }
      if (end < 0) return;
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      bytes = 0;
      from = end + 1;
      each(line);
    }
  });
}

function plainError(error: unknown): { code: string; message: string; severity: Severity } {
  if (error instanceof CodedError) return { code: error.code, message: error.message, severity: error.severity };
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'RUNTIME_CONTROL', message, severity: 'error' };
}

/** Ask the supervisor of a directory.
 * @param args anything that JSON has
 * @param onEvent told what the verb tells before its result
 * @returns what the verb returned; null for nothing
 * @throws RuntimeError `RUNTIME_NO_SUPERVISOR` when none runs there, `RUNTIME_CONTROL` when it ended or was cut off before
 * it answered: what was asked may have happened or not. SupervisorError with the code that was thrown there. */
export async function askSupervisor<R = unknown>(
  dir: string,
  verb: string,
  args: unknown = {},
  onEvent: (event: unknown) => void = () => {},
  signal?: AbortSignal,
): Promise<R> {
  return withShortPath(dir, path => ask<R>(path, dir, verb, args, onEvent, signal)).catch((error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ECONNREFUSED') throw error;
    throw new RuntimeError('RUNTIME_NO_SUPERVISOR', `no supervisor runs in ${dir}: start one with \`lich up\``, {
      cause: error,
    });
  });
}

function ask<R>(
  path: string,
  dir: string,
  verb: string,
  args: unknown,
  onEvent: (event: unknown) => void,
  signal: AbortSignal | undefined,
): Promise<R> {
  return new Promise<R>((resolve, reject) => {
    const unknown = (why: string): RuntimeError =>
      new RuntimeError(
        'RUNTIME_CONTROL',
        `the supervisor of ${dir} ${why} before it answered \`${verb}\`: it may have done it or not`,
      );
    const socket = connect(path);
    const hangUp = (): void => void socket.destroy(unknown('was left'));
    signal?.addEventListener('abort', hangUp, { once: true });
    socket.on('error', reject);
    socket.on('close', () => {
      signal?.removeEventListener('abort', hangUp);
      reject(unknown('hung up'));
    });
    readLines(
      socket,
      ANSWER_BYTES_MAX,
      line => {
        const said = JSON.parse(line) as {
          event?: unknown;
          result?: R;
          error?: { code: string; message: string; severity: Severity };
        };
        if ('event' in said) return onEvent(said.event);
        const { error } = said;
        if (error === undefined) resolve(said.result as R);
        else reject(new SupervisorError(error.code, error.message, { severity: error.severity }));
        socket.destroy();
      },
      () => socket.destroy(unknown('sent too long a line')),
    );
    if (signal?.aborted) hangUp();
    socket.write(`${JSON.stringify({ lich: PROTOCOL, verb, args })}\n`);
  });
}
