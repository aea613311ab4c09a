import type { ClientSocket } from './client-socket.ts';
import type { Rate } from './rate.ts';
import type { Session } from './session.ts';

/** The process's side of a session: found by token and by slot, rebuilt from the pool when the gateway starts. */
export class LiveSession {
  readonly slot: number;
  readonly generation: number;
  readonly record: Session;
  /** node index */
  readonly scene: number;
  connection: Connection | undefined = undefined;
  /** Its client said that it handled some output. */
  acknowledged = false;

  constructor(slot: number, generation: number, record: Session) {
    this.slot = slot;
    this.generation = generation;
    this.record = record;
    this.scene = record.scene;
  }
}

/** - `hello` connected, nothing said yet
 * - `joining` the session waits for its scene
 * - `open` WELCOME was sent
 * - `closed` nothing more is taken or sent */
export type ConnectionPhase = 'hello' | 'joining' | 'open' | 'closed';

/** One socket and where it stands. */
export class Connection {
  readonly socket: ClientSocket;
  readonly rate: Rate;
  phase: ConnectionPhase = 'hello';
  session: LiveSession | undefined = undefined;
  /** Service time by which it has to leave the phase `hello` or `joining`. */
  deadlineMs: number;

  /** Frames that wait for room in the scene's lane; while there are any, the socket is paused. */
  held: Uint8Array[] = [];
  /** n up to which the client was told that messages are taken. */
  toldTaken = 0;

  /** Not everything in the ring was sent: what is behind `from` follows when the socket drains. */
  isBehind = true;
  from = 0;
  /** What comes before the next picture is not for this client: it starts from there. */
  skipsToPicture = false;
  isCorked = false;

  /** Signs of life since the last ping. */
  heard = true;
  pingedMs: number;
  flushedAtPing = 0;

  constructor(socket: ClientSocket, rate: Rate, nowMs: number, helloMs: number) {
    this.socket = socket;
    this.rate = rate;
    this.deadlineMs = nowMs + helloMs;
    this.pingedMs = nowMs;
  }
}
