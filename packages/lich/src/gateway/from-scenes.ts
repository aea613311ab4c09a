/** What scenes say, taken into the gateway's state: output into the ring, the rest into the sessions' records. All of it
 * happens inside the transaction that takes the message; sockets learn of it after the commit, from `joined`, `closing`
 * and the ring. */
import { CloseCode, OutKind, SchemaError } from '@lich/schema';
import { BusError, FULL } from '../bus/index.ts';
import { CLOSE, type Core, errorData, EVERYBODY, JOIN, JOINED, OUT, REFUSED, WHY } from '../runtime/index.ts';
import type { Segment } from '../shm/index.ts';
import type { LiveSession } from './connection.ts';
import { GatewayError } from './errors.ts';
import { OutputRing, TOO_LARGE } from './output-ring.ts';
import type { SessionTable } from './session-table.ts';

export class FromScenes {
  readonly ring: OutputRing;
  /** Sessions that were taken by their scene. */
  readonly joined: LiveSession[] = [];
  /** Sessions that their scene closed. */
  readonly closing: { readonly session: LiveSession; readonly code: number }[] = [];
  readonly #core: Core;
  readonly #sessions: SessionTable;
  readonly #counts: { unknown: number; illFormed: number };
  #warnedTooLarge = false;

  constructor(core: Core, sessions: SessionTable, counts: { unknown: number; illFormed: number }) {
    const { segment, log, layouts } = core.store;
    const rootOffset = segment.regions.get('root')!.offset;
    this.#core = core;
    this.#sessions = sessions;
    this.#counts = counts;
    this.ring = new OutputRing(segment, log, layouts.root, rootOffset, (scene, slot, generation, kind, end) =>
      this.#dropped(scene, slot, generation, kind, end),
    );
  }

  /** One record of a scene's lane, inside a transaction. */
  take(
    scene: number,
    type: number,
    slot: number,
    generation: number,
    lanes: Segment,
    word: number,
    words: number,
  ): void {
    if (type === OUT) {
      const byteLength = lanes.i32[word];
      if (byteLength < 1 || byteLength > (words - 1) * 4) {
        throw new SchemaError('SCHEMA_WIRE', `output of ${byteLength} bytes in a record of ${words} words`);
      }
      this.#out(scene, slot, generation, lanes.i32, word + 1, byteLength);
    } else if (type === JOINED) {
      mustHave(words, 3, 'JOINED');
      const session = this.#session(scene, slot, generation);
      if (session?.record.phase !== 'joining') return;
      const { record } = session;
      record.phase = 'playing';
      record.playerSlot = lanes.u32[word];
      record.playerGeneration = lanes.u32[word + 1];
      record.tickMilliHz = lanes.u32[word + 2];
      record.joinedAt = this.ring.tail;
      if (session.connection === undefined) record.awaySinceMs = this.#core.now;
      this.joined.push(session);
    } else if (type === CLOSE) {
      mustHave(words, 1, 'CLOSE');
      this.#closeBy(scene, slot, generation, lanes.u32[word]);
    } else if (type === REFUSED) this.#refused(scene, slot);
    else this.unknown(scene, type);
  }

  /** What no scene says to a gateway: counted, and the sender is told. In a transaction. */
  unknown(sender: number, type: number): void {
    if (type === REFUSED) return;
    this.#counts.unknown++;
    this.#refuse(sender, type, WHY.unknown);
  }

  #refuse(sender: number, type: number, why: number): void {
    const { outbox } = this.#core.bus;
    try {
      if (outbox.claim(sender, REFUSED, type, why, 0) !== FULL) outbox.commitClaim();
    } catch (error) {
      // No room for a lane: it is counted, and not told.
      if (!(error instanceof BusError)) throw error;
    }
  }

  #session(scene: number, slot: number, generation: number): LiveSession | undefined {
    const session = this.#sessions.bySlot(slot, generation);
    return session?.scene === scene ? session : undefined;
  }

  #out(scene: number, slot: number, generation: number, from: Int32Array, word: number, byteLength: number): void {
    const ring = this.ring;
    const session = slot === EVERYBODY ? undefined : this.#session(scene, slot, generation);
    if (slot !== EVERYBODY && session === undefined) return;
    const before = ring.tail;
    const kind = from[word] & 0xff;
    const end = ring.append(scene, slot, generation, from, word, byteLength);
    if (end === TOO_LARGE) return this.#tooLarge(scene, slot, generation, byteLength);
    if (session === undefined) return;
    const { record } = session;
    if (kind === OutKind.PICTURE) {
      record.pictureAt = end;
      record.pictured = true;
      if (record.earlyFrom !== 0) this.#repeatEarly(session, before);
    } else if (!record.pictured && record.earlyFrom === 0) record.earlyFrom = before;
  }

  /** What a session was told before its first picture (by `join`) is told again behind it: a client takes nothing before.
   * @param until where the picture's entry begins */
  #repeatEarly(session: LiveSession, until: number): void {
    const ring = this.ring;
    const { record } = session;
    let position = record.earlyFrom;
    record.earlyFrom = 0;
    while (position < until) {
      // What was overwritten meanwhile is noted as lost: the client learns it.
      if (position < ring.oldest) position = ring.oldest;
      const at = ring.at(position);
      const length = ring.lengthAt(at);
      const isTheirs = ring.slotAt(at) === session.slot && ring.generationAt(at) === session.generation;
      if (ring.sceneAt(at) === session.scene && isTheirs && ring.appendAgain(position) === 0) break;
      position += length;
    }
  }

  #tooLarge(scene: number, slot: number, generation: number, byteLength: number): void {
    this.#lose(scene, slot, generation);
    if (this.#warnedTooLarge) return;
    this.#warnedTooLarge = true;
    const text = `a frame of ${byteLength} bytes, the output ring takes ${this.ring.capacityBytes / 4}: raise outputBytes`;
    this.#core.log.error('output was lost', errorData(new GatewayError('GATEWAY_OUTPUT_TOO_LARGE', text)));
  }

  /** A message could not be taken: if it was output, note the gap. */
  missed(scene: number, type: number, slot: number, generation: number, error: unknown): void {
    if (error instanceof SchemaError) {
      this.#counts.illFormed++;
      this.#refuse(scene, type, WHY.illFormed);
    }
    if (type === OUT && (slot === EVERYBODY || this.#session(scene, slot, generation) !== undefined))
      this.#lose(scene, slot, generation);
  }

  #lose(scene: number, slot: number, generation: number): void {
    const end = this.ring.appendGap(scene, slot, generation);
    if (slot === EVERYBODY) this.ring.noteLostIn(scene, end);
    else {
      const { record } = this.#session(scene, slot, generation)!;
      record.lostAt = end;
      // Had it been a picture: whoever comes back asks for another, which may be smaller.
      record.pictureAt = end;
    }
  }

  #dropped(scene: number, slot: number, generation: number, kind: number, end: number): void {
    // A picture makes up for pictures, deltas, and the news that the scene lives again; gaps were noted when they came.
    if (kind !== OutKind.EVENT && kind !== OutKind.REPLY) return;
    if (slot === EVERYBODY) return this.ring.noteLostIn(scene, end);
    const session = this.#session(scene, slot, generation >>> 0);
    if (session !== undefined) session.record.lostAt = end;
  }

  #closeBy(scene: number, slot: number, generation: number, code: number): void {
    if (code === CloseCode.OUTPUT_LOST) {
      if (slot === EVERYBODY || this.#session(scene, slot, generation) !== undefined)
        this.#lose(scene, slot, generation);
      return;
    }
    for (const session of this.#sessionsOf(scene, slot, generation)) this.#closeSession(session, code);
  }

  #sessionsOf(scene: number, slot: number, generation: number): LiveSession[] {
    if (slot === EVERYBODY) return this.#sessions.inScene(scene);
    const session = this.#session(scene, slot, generation);
    return session === undefined ? [] : [session];
  }

  /** MALFORMED is about one socket; with any other code the scene has ended the session. */
  #closeSession(session: LiveSession, code: number): void {
    if (code !== CloseCode.MALFORMED) {
      session.record.phase = 'leaving';
      if (code === CloseCode.NO_SCENE) session.record.playerGeneration = 0;
    }
    this.closing.push({ session, code });
  }

  /** The scene does not take players: its JOINs are not answered one by one. */
  #refused(scene: number, type: number): void {
    this.#core.log.warn('a scene refused a message', { scene: this.#core.directory.byIndex(scene)?.name, type });
    if (type !== JOIN) return;
    for (const session of this.#sessionsOf(scene, EVERYBODY, 0)) {
      if (session.record.phase === 'joining') this.#closeSession(session, CloseCode.NO_SCENE);
    }
  }
}

function mustHave(words: number, least: number, what: string): void {
  if (words < least) throw new SchemaError('SCHEMA_WIRE', `${what} in a record of ${words} words, it has ${least}`);
}
