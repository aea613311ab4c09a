/** What a scene says to the players of its gateways: OUT messages into the gateways' lanes, in the open transaction.
 *
 *   $sessions  u32, one per node index    sessions of that gateway that play here
 *   $stale     u32, one per node index    1 = something did not fit into its lane; see `catchUp`
 *
 * What goes to everybody is encoded once and copied into each gateway's lane. A gateway that takes nothing (paused, gone)
 * fills its lane up to the bound; from then on it gets nothing for everybody, and once it has room again its players are
 * told that output was lost: they come back and get a full picture. The same goes for events to one player, which may be
 * told in a tick, or to a player of another gateway: nobody else waits for that gateway. An answer must fit, or the
 * message that it answers waits: it came from the same gateway. */
import { array, u32 } from '@lich/schema';
import { type Bus, BusError, FULL } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import type { UndoLog } from '../state/index.ts';
import { CLOSE, EVERYBODY, OUT } from './system-messages.ts';

/** Root fields that this adds to a service with players. */
export function outgoingFields(nodes: number) {
  return { $sessions: array(u32, nodes), $stale: array(u32, nodes) };
}

/** The lane to the player's gateway is full: the message that answers it has to wait. */
export class MustWait extends BusError {
  constructor(gateway: number) {
    super('BUS_FULL', `the lane to gateway node ${gateway} is full`, { severity: 'warn' });
  }
}

export class Outgoing {
  readonly #bus: Bus;
  readonly #lanes: Segment;
  readonly #log: UndoLog;
  readonly #S: Int32Array;
  readonly #sessions: number;
  readonly #stale: number;
  /** Node indexes of gateways that have or had sessions here: few, so that broadcasting looks at no empty rows. */
  #gateways: number[] = [];
  readonly #nodes: number;

  constructor(
    bus: Bus,
    lanes: Segment,
    log: UndoLog,
    S: Int32Array,
    words: { sessions: number; stale: number },
    nodes: number,
  ) {
    this.#bus = bus;
    this.#lanes = lanes;
    this.#log = log;
    this.#S = S;
    this.#sessions = words.sessions;
    this.#stale = words.stale;
    this.#nodes = nodes;
  }

  /** Forget what was cached of S: at boot, and after a rollback. */
  reload(): void {
    this.#gateways = [];
    for (let node = 0; node < this.#nodes; node++) if (this.#S[this.#sessions + node] > 0) this.#gateways.push(node);
  }

  get anybody(): boolean {
    return this.#gateways.length > 0;
  }

  /** A session of that gateway came (+1) or went (-1). */
  count(gateway: number, by: 1 | -1): void {
    const sessions = this.#S[this.#sessions + gateway] + by;
    this.#log.write(this.#sessions + gateway, sessions);
    const known = this.#gateways.indexOf(gateway);
    // In the order in which `reload` finds them: lanes are made in the order of sends.
    if (sessions > 0 && known < 0) this.#gateways = [...this.#gateways, gateway].sort((a, b) => a - b);
    if (sessions <= 0 && known >= 0) this.#gateways.splice(known, 1);
    // Whoever missed something is gone; who comes next begins with a picture.
    if (sessions <= 0 && this.#S[this.#stale + gateway] === 1) this.#log.write(this.#stale + gateway, 0);
  }

  /** @param bytes kind and body of an OUT frame */
  toEverybody(bytes: Uint8Array): void {
    for (const gateway of this.#gateways) {
      if (this.#S[this.#stale + gateway] === 1) continue;
      if (!this.#send(gateway, OUT, EVERYBODY, 0, bytes)) this.#log.write(this.#stale + gateway, 1);
    }
  }

  /** An event for one session. */
  tell(gateway: number, session: number, generation: number, bytes: Uint8Array): void {
    if (this.#S[this.#stale + gateway] === 1) return;
    if (!this.#send(gateway, OUT, session, generation, bytes)) this.#log.write(this.#stale + gateway, 1);
  }

  /** @throws MustWait when the lane is full */
  toSession(gateway: number, session: number, generation: number, bytes: Uint8Array): void {
    if (!this.#send(gateway, OUT, session, generation, bytes)) throw new MustWait(gateway);
  }

  /** @throws MustWait when the lane is full */
  close(gateway: number, session: number, generation: number, code: number): void {
    if (!this.words(gateway, CLOSE, session, generation, [code])) throw new MustWait(gateway);
  }

  /** A system message of a few words. @returns false when the lane is full */
  words(gateway: number, type: number, session: number, generation: number, payload: readonly number[]): boolean {
    const at = this.#claim(gateway, type, session, generation, payload.length * 4);
    if (at === FULL) return false;
    for (let k = 0; k < payload.length; k++) this.#lanes.i32[at + k] = payload[k]!;
    this.#bus.outbox.commitClaim();
    return true;
  }

  #send(gateway: number, type: number, a: number, b: number, bytes: Uint8Array): boolean {
    const at = this.#claim(gateway, type, a, b, 4 + bytes.length);
    if (at === FULL) return false;
    this.#lanes.i32[at] = bytes.length;
    this.#lanes.u8.set(bytes, (at + 1) * 4);
    this.#bus.outbox.commitClaim();
    return true;
  }

  /** No room for a first lane is, to those who send, the same as a full one: it passes when lanes are given back. */
  #claim(gateway: number, type: number, a: number, b: number, bytes: number): number {
    try {
      return this.#bus.outbox.claim(gateway, type, a, b, bytes);
    } catch (error) {
      if (error instanceof BusError && (error.code === 'BUS_NO_ROOM' || error.code === 'BUS_TOO_MANY_LANES'))
        return FULL;
      throw error;
    }
  }

  /** Is there a gateway that missed something? */
  get anyStale(): boolean {
    return this.#gateways.some(gateway => this.#S[this.#stale + gateway] === 1);
  }

  /** Tell gateways that have room again that their players missed something. In a transaction. */
  catchUp(lost: number): void {
    for (const gateway of this.#gateways) {
      if (this.#S[this.#stale + gateway] !== 1) continue;
      if (this.words(gateway, CLOSE, EVERYBODY, 0, [lost])) this.#log.write(this.#stale + gateway, 0);
    }
  }
}
