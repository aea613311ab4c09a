/** Rehearsal: a standby runs what it will have to run as the owner, on a private copy, so that its code is compiled before
 * it is needed.
 *
 *   copy the state as of a commit ─► wait until messages have come ─► copy the lanes ─► ┌ recover · show lanes · resumed()
 *                                                                                       │ handle those messages
 *                                                                                       │ own messages · a tick · a delta
 *                                                                                       └ undo all of it, and again
 *   ─► the live mapping again
 *
 * The messages are those that the owner was handling meanwhile: its senders still have them. Being run on the state that
 * they were sent to, they do what they did; where a lane is written over faster than it is copied, some that came before
 * those that are run are left out. The copy lies under the same SharedArrayBuffer, so that the compiled code, which
 * has its address in it, stays valid.
 *
 * Nothing leaves the process: all segments that the node writes are private copies, the bells too; functions given to
 * `onCommit` are dropped, lines are not written. What a handler does behind the runtime's back would happen: handlers are
 * functions of state, config and message. */
import { FULL } from '../bus/index.ts';
import { copyCommitted, WORDS } from '../state/index.ts';
import { checkRoom, type Segment, ShmError } from '../shm/index.ts';
import { Blame } from './blame.ts';
import type { Core } from './core.ts';

/** What a rehearsal did. */
export interface Rehearsed {
  readonly messages: number;
  readonly rounds: number;
  readonly ms: number;
  /** It ended early: the lock was free. */
  readonly cut: boolean;
}

/** Messages that one round takes at most: all of it has to be undone. */
const ROUND_MESSAGES = 2_000;
const ROUNDS_MAX = 400;
const LOOK_MS = 20;
const LOOK_BYTES = 1_024;
const NEAR_BYTES = 2_048;
/** Enough for the optimising compiler. */
const MESSAGES_MAX = 30_000;

/** One rehearsal: `begin`, `follow` for some time, `run` once, `end`. */
export class Rehearsal {
  readonly #core: Core;
  readonly #isOver: () => boolean;
  readonly #detached: Segment[] = [];
  /** A round wrote more than the log holds: it cannot be undone, and there is no other one on this copy. */
  #isUsedUp = false;

  /** @param isOver the lock is free: nothing else counts any more */
  constructor(core: Core, isOver: () => boolean) {
    this.#core = core;
    this.#isOver = isOver;
  }

  /** Is the copy made? */
  get begun(): boolean {
    return this.#detached.length > 0;
  }

  /** Copy the state.
   * @returns 'no room' where the host has not twice the memory left that it takes */
  begin(): 'copied' | 'lapped' | 'over' | 'no room' {
    const { segment } = this.#core.store;
    try {
      checkRoom(this.#core.dir, 2 * segment.reservedBytes, `a rehearsal of ${this.#core.name}`);
    } catch (error) {
      if (error instanceof ShmError) return 'no room';
      throw error;
    }
    this.#detachLanes();
    const untilMs = performance.now() + LOOK_MS;
    const done = copyCommitted(segment, this.#isOver, () => this.#hasMessages() || performance.now() >= untilMs);
    if (done !== 'copied') this.#giveBack();
    else {
      this.#detached.push(segment);
      this.#core.store.recover();
    }
    return done;
  }

  /** Bring the lanes. Under a high load there is only what waits at the moment of the commit.
   * @returns whether that is something */
  #hasMessages(): boolean {
    const { bus } = this.#core;
    bus.copyLanes(true);
    return bus.waitingBytes() >= LOOK_BYTES;
  }

  /** All that is not needed at the moment of the commit: a lane under load is written over in half a millisecond. */
  #detachLanes(): void {
    const { bus, lanes } = this.#core;
    bus.inbox.reload();
    for (const segment of [lanes, ...bus.peerLanes()]) {
      segment.detach();
      this.#detached.push(segment);
    }
    lanes.copyIn(0, lanes.sizeBytes);
    // For nothing but its code and the pages.
    bus.copyLanes(true);
  }

  /** Copy what has come since.
   * @returns bytes of records to run; Infinity when no more can come, because it is written over */
  follow(): number {
    const { bus } = this.#core;
    return bus.copyLanes() ? bus.waitingBytes() : Number.POSITIVE_INFINITY;
  }

  /** Run what has come, again and again, for about `ms`. */
  run(ms: number): Rehearsed {
    const core = this.#core;
    const { bus, logic, log } = core;
    const beganMs = performance.now();
    const untilMs = beganMs + ms;
    const counts = { ...logic.counts };
    log.lead?.(() => true);
    let messages = 0;
    let rounds = 0;
    const isLate = (): boolean => performance.now() >= untilMs || this.#isOver();
    try {
      const bells = core.bells.segment;
      bells.detach();
      this.#detached.push(bells);
      bells.copyIn(0, bells.sizeBytes);
      bus.skipOverwritten();
      core.life = { epoch: core.store.segment.epoch, reason: 'crash' };
      core.blame = new Blame(undefined, core.lock, 0, 0);
      while (rounds < ROUNDS_MAX && !this.#isUsedUp && !isLate() && (messages < MESSAGES_MAX || rounds < 20)) {
        messages += this.#round(isLate, rounds % 2 === 1);
        rounds++;
      }
    } finally {
      log.lead?.(undefined);
      Object.assign(logic.counts ?? {}, counts);
    }
    return { messages, rounds, ms: Math.round(performance.now() - beganMs), cut: this.#isOver() };
  }

  /** What a takeover does, then the messages; undone by the next round.
   * @param nearEnd the rings of its lanes end soon
   * @returns messages handled */
  #round(isLate: () => boolean, nearEnd: boolean): number {
    const core = this.#core;
    const { bus, logic, store } = core;
    const I = store.segment.i32;
    const from = I[WORDS.LOG_POS];
    const most = this.#halfOfTheLog();
    const isFull = (): boolean => ((I[WORDS.LOG_POS] - from) | 0) > most;
    let messages = 0;
    try {
      store.recover();
      // What was seen of the receivers is kept, and looked at again where that is not room enough.
      bus.assumeTaken(false);
      bus.outbox.reload();
      bus.assumeTaken(true);
      bus.inbox.reload();
      core.bells.beMuffled();
      for (const { index } of bus.directory.all()) core.bells.setReady(core.self.index, index);
      bus.resume();
      if (nearEnd) this.#moveNearEnds();
      core.updateNow();
      logic.resumed();
      bus.publish();
      while (messages < ROUND_MESSAGES && !isLate() && !isFull()) {
        const done = bus.poll() + logic.step(core.updateNow());
        bus.publish();
        core.dropHooks(0);
        messages += done;
        if (done === 0 && !bus.waiting) break;
      }
      if (!isFull()) logic.rehearse?.();
      bus.publish();
    } finally {
      core.dropHooks(0);
      if (store.log.open) store.log.rollback();
    }
    this.#isUsedUp = ((I[WORDS.LOG_POS] - from) | 0) > 2 * most;
    // Undone by the next recovery.
    I[WORDS.COM_POS] = from;
    return messages;
  }

  /** What is done where a ring ends is done seldom, and would be done for the first time by the new owner. */
  #moveNearEnds(): void {
    const { bus, store } = this.#core;
    for (const { stream, sizeBytes, tail, sealed } of bus.outbox.lanes()) {
      if (stream === bus.outbox.blockStream) continue;
      let left = sizeBytes - ((tail * 4) % sizeBytes) - NEAR_BYTES;
      for (; !sealed && left > NEAR_BYTES; left -= sizeBytes / 4) {
        store.log.begin();
        const isRoom = bus.outbox.claim(stream, 0, 0, 0, Math.min(left, sizeBytes / 4) - 16) !== FULL;
        if (isRoom) bus.outbox.commitClaim();
        store.log.commit();
        if (!isRoom) break;
      }
    }
  }

  #halfOfTheLog(): number {
    return this.#core.store.segment.regions.get('log')!.bytes / 8;
  }

  /** The live segments again, read-only as before. */
  end(): void {
    // The live segments first, whatever else happens: nobody may take over with copies.
    this.#giveBack();
    this.#core.bells.bePlain();
    this.#core.store.log.shut();
  }

  #giveBack(): void {
    for (const segment of this.#detached.splice(0)) segment.giveBack();
  }
}
