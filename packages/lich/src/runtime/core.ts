/** A running node: its lock, its two segments, its end of the bus, and the loop. What it does with messages is the
 * `Logic` it is given: a user's service, or a gateway.
 *
 * The first process of a node takes the lock and owns it; further ones map everything read-only and wait in the lock:
 * that is all that makes a standby. Taking over is the same as resuming after a restart, only warm:
 *
 *   lock → writable → roll back what was open → epoch + 1 → blame → show all lanes → resumed() → loop */
import { type Fields, type StateSchema, u32 } from '@lich/schema';
import {
  Bus,
  busFields,
  type Deliver,
  Directory,
  DEFAULT_LIMITS,
  lanesRegions,
  rootWord,
  type BusLimits,
  type NodeEntry,
} from '../bus/index.ts';
import {
  attachSegment,
  Bells,
  createSegment,
  Doorbell,
  OwnerLock,
  type Segment,
  ShmError,
  SWEEP_MS,
} from '../shm/index.ts';
import { openStore, type Store, storePlan, type StorePlan, WORDS } from '../state/index.ts';
import { Blame, CUR, countDeath, OWN, QUEUED, suspectWords } from './blame.ts';
import { errorData, type Log } from './log.ts';
import type { Life, LifeReason } from './service.ts';

const WORDS_PAGE = 4096 / 4;
const PHASE = WORDS_PAGE + 48;
const HEARTBEAT = WORDS_PAGE + 64;
/** f64 index */
const NOW = (WORDS_PAGE + 112) / 2;

/** What the words page says about a node's life, for those who look from outside. */
export const PHASES = ['none', 'recovering', 'starting', 'serving', 'closed'] as const;
/** Where a node's life is at. */
export type Phase = (typeof PHASES)[number];

/** @returns the phase of a node, from its state segment */
export function phaseOf(state: Segment): Phase {
  return PHASES[Atomics.load(state.i32, PHASE)] ?? 'none';
}

/** What a node is made of. */
export interface CoreOptions {
  readonly dir: string;
  readonly name: string;
  readonly id: number;
  readonly state: StateSchema;
  /** Fields added to records of pools, by pool name. */
  readonly hidden?: Readonly<Record<string, Fields>>;
  /** Root fields added by the logic. */
  readonly fields?: Fields;
  readonly logBytes?: number;
  readonly heapBytes?: number;
  readonly bus?: Partial<BusLimits>;
  readonly log: Log;
}

/** What a node does. All of it is called on the thread of the loop. */
export interface Logic {
  /** Handles one record inside an open transaction; never throws. */
  readonly deliver: Deliver;
  /** The state was just created and is empty. Inside a transaction. */
  created(): void;
  /** This life found its state. Outside transactions. */
  resumed(): void;
  /** Work that is due besides messages. Outside transactions. @returns how much was done */
  step(nowMs: number): number;
  /** @returns ms of service time when `step` has something to do next; Infinity for never */
  nextMs(): number;
  /** Is that own message, named by the last life as the one it was handling, still waiting? */
  isWaiting(code: number, pos: number, more: number): boolean;
  /** No process ran between these times. Outside transactions, before service time moves on and before `resumed`. */
  outage?(fromMs: number, toMs: number): void;
  /** Before the loop's first turn, and after its last. */
  open(): void | Promise<void>;
  close(): void | Promise<void>;
}

/** One process of one node. Made, then `run` once. */
export class Core {
  readonly dir: string;
  readonly name: string;
  readonly self: NodeEntry;
  readonly log: Log;
  readonly lock: OwnerLock;
  readonly directory: Directory;
  readonly bells: Bells;
  readonly limits: BusLimits;
  readonly plan: StorePlan;
  /** Set once the segments are mapped. */
  store!: Store<unknown>;
  lanes!: Segment;
  bus!: Bus;
  life!: Life;
  blame!: Blame;
  #logic!: Logic;
  readonly #makeLogic: (core: Core) => Logic;
  #doorbell: Doorbell | undefined;
  readonly #hooks: (() => void)[] = [];
  #hooksAtBegin = 0;
  #kicked = false;
  /** service time less that of the monotonic clock */
  #nowOffset: number | undefined;
  #stopping = false;
  #stopped: (() => void) | undefined;
  #ownerBefore = 0;
  #phaseStart = 0;
  /** How long each phase of the last takeover took, in ms. */
  readonly takeoverMs: Record<string, number> = {};
  #sweptAt = 0;
  #busyAt = 0;
  #tidiedAt = 0;

  constructor(o: CoreOptions, makeLogic: (core: Core) => Logic) {
    this.dir = o.dir;
    this.name = o.name;
    this.log = o.log;
    this.limits = { ...DEFAULT_LIMITS, ...o.bus };
    this.#makeLogic = makeLogic;
    this.directory = new Directory(o.dir, this.limits.nodes);
    this.self = this.directory.ensure(o.name, o.id);
    this.bells = Bells.open(o.dir, this.limits.nodes);
    this.lock = OwnerLock.open(o.dir, o.name);
    this.plan = planOf(o);
  }

  /** Become the owner, now or when the present owner is gone, and run until `stop`.
   * @param onRole told once when this process waits as a standby, and once when it serves */
  async run(onRole: (role: 'standby' | 'owner') => void = () => {}): Promise<void> {
    let lastPid = this.lock.lastOwner()?.pid ?? 0;
    let took = this.lock.tryAcquire();
    if (took === 'busy') {
      this.#prepare();
      onRole('standby');
      const waited = await this.#standBy();
      if (waited === 'stopped') return;
      took = waited;
      lastPid = this.#ownerBefore;
    }
    this.#phase('lock');
    const reason = this.#takeOver(took === 'died', lastPid);
    this.#phase('recover');
    this.#begin(reason);
    this.#phase('resume');
    const opened = this.#logic.open();
    if (opened !== undefined) await opened;
    Atomics.store(this.store.segment.i32, PHASE, PHASES.indexOf('serving'));
    const stopped = new Promise<void>(resolve => (this.#stopped = resolve));
    // Tidying can wait; the first messages have waited already.
    this.#tidiedAt = this.now;
    this.#turn();
    this.#phase('firstTurn');
    // What is said about it comes after the first messages.
    onRole('owner');
    await stopped;
    await this.#shutDown();
  }

  /** The phase of a takeover that ends now. */
  #phase(name: string): void {
    const now = performance.now();
    if (name !== 'lock') this.takeoverMs[name] = Math.round((now - this.#phaseStart) * 100) / 100;
    this.#phaseStart = now;
  }

  /** Map what the owner has made, warm it, and block in its lock. The wait is cut into slices: in between, lanes and
   * pages that are new since are mapped too. */
  async #standBy(): Promise<'acquired' | 'died' | 'stopped'> {
    for (;;) {
      if (this.#stopping) return 'stopped';
      this.#prepare();
      // Afterwards the lock says who we are: whom we wait for is asked before.
      this.#ownerBefore = this.lock.lastOwner()?.pid ?? 0;
      const took = this.lock.acquire(STANDBY_SLICE_MS);
      if (took !== 'timeout') return took;
      await new Promise(resolve => setImmediate(resolve));
    }
  }

  /** Map both segments read-only, if they exist, and build all that stands on them. */
  #prepare(): void {
    if (this.store === undefined) {
      try {
        const id = { dir: this.dir, name: this.name };
        const state = attachSegment({ ...id, kind: 'state' });
        const lanes = attachSegment({ ...id, kind: 'lanes', layoutHash: lanesHash(this.limits) });
        this.#build(state, lanes);
      } catch (error) {
        // The owner has not made them yet: look again in the next slice. All else is this process's end.
        if (error instanceof ShmError && error.code === 'SHM_NOT_FOUND') return;
        throw error;
      }
    }
    this.store.segment.touchNew();
    this.lanes.touchNew();
    this.bus.warm();
  }

  #build(state: Segment, lanes: Segment): void {
    this.lanes = lanes;
    this.store = openStore(state, this.plan) as Store<unknown>;
    this.bus = new Bus({
      dir: this.dir,
      self: this.self,
      directory: this.directory,
      store: this.store,
      lanes,
      bells: this.bells,
      limits: this.limits,
      suspect: suspectWords,
      deliver: (sender, type, a, b, from, word, words) => this.#logic.deliver(sender, type, a, b, from, word, words),
      onCorrupt: (error, sender) => this.log.error('a lane cannot be read', { sender, ...errorData(error) }),
      onNewPeer: (node, droppedBytes) =>
        this.log.warn('a node is not the one that was known by its name: its streams begin anew', {
          node: node.name,
          droppedBytes,
        }),
    });
    this.#logic = this.#makeLogic(this);
  }

  /** The lock is held: make the segments this process's own, and the state what the last commit left. */
  #takeOver(died: boolean, lastPid: number): LifeReason {
    const wasThere = this.store !== undefined || this.#attachForWriting();
    if (!wasThere) this.#create();
    const { segment } = this.store;
    const clean = segment.clean;
    segment.makeWritable();
    this.lanes.makeWritable();
    Atomics.store(segment.i32, PHASE, PHASES.indexOf('recovering'));
    const { undone } = this.store.recover();
    const epoch = segment.nextEpoch();
    this.lanes.nextEpoch();
    this.bells.claim(this.self.index);
    this.bus.outbox.reload();
    const restored = segment.i32[WORDS.RESTORED] !== 0;
    if (segment.i32[WORDS.RESTORED] === WORDS.RESTORED_WHOLE) {
      // Killed in between, it is done again: nothing of it was shown.
      this.bus.forgetAll();
      segment.i32[WORDS.RESTORED] = WORDS.RESTORED_ALONE;
    }
    const suspect = countDeath(segment.i32, (code, pos, more) => this.#isStill(code, pos, more));
    this.blame = new Blame(suspect, this.lock, lastPid, performance.now());
    this.bus.resume();
    const reason = this.#born() === 0 ? 'created' : restored ? 'restore' : died || !clean ? 'crash' : 'restart';
    this.life = { epoch, reason };
    if (undone > 0) this.log.info('a transaction was open and is undone', { epoch, words: undone });
    return reason;
  }

  /** Does the node's earlier life still have segments? Opens them for writing. */
  #attachForWriting(): boolean {
    const id = { dir: this.dir, name: this.name };
    let state: Segment;
    try {
      state = attachSegment({ ...id, kind: 'state' });
    } catch (error) {
      if (error instanceof ShmError && error.code === 'SHM_NOT_FOUND') return false;
      throw error;
    }
    this.#build(state, this.#openLanes());
    return true;
  }

  #create(): void {
    const state = createSegment({
      dir: this.dir,
      name: this.name,
      kind: 'state',
      layoutHash: this.plan.layoutHash,
      regions: this.plan.regions,
      catalog: this.plan.catalog,
    });
    this.#build(state, this.#openLanes());
  }

  /** Lanes are copies of what the state says: where they are missing they are made again. */
  #openLanes(): Segment {
    const id = { dir: this.dir, name: this.name, kind: 'lanes' as const, layoutHash: lanesHash(this.limits) };
    try {
      return attachSegment(id);
    } catch (error) {
      if (!(error instanceof ShmError) || error.code !== 'SHM_NOT_FOUND') throw error;
      return createSegment({ ...id, regions: lanesRegions(this.limits) });
    }
  }

  #isStill(code: number, pos: number, more: number): boolean {
    if (code === OWN || code === QUEUED) return this.#logic.isWaiting(code, pos, more);
    return code >= 1 && code <= this.limits.nodes && this.bus.inbox.headOf(code - 1) === pos;
  }

  #bornWord(): number {
    const { layouts, segment } = this.store;
    return rootWord(layouts.root, segment.regions.get('root')!.offset, '$born');
  }

  #born(): number {
    return this.store.segment.i32[this.#bornWord()];
  }

  #begin(reason: LifeReason): void {
    Atomics.store(this.store.segment.i32, PHASE, PHASES.indexOf('starting'));
    const fromMs = this.now;
    const toMs = Math.max(fromMs, Date.now());
    if (reason !== 'created' && toMs > fromMs) this.#logic.outage?.(fromMs, toMs);
    this.updateNow();
    if (reason === 'created') {
      this.transact(() => {
        this.store.log.write(this.#bornWord(), 1);
        this.store.enterRoot();
        this.#logic.created();
      });
    } else this.#logic.resumed();
    this.store.segment.i32[WORDS.RESTORED] = 0;
    this.bus.publish();
  }

  /** Service time in ms: the clock's, but it never goes back, over lives too. Fixed until the next call. */
  get now(): number {
    return this.store.segment.f64[NOW];
  }

  updateNow(): number {
    const F = this.store.segment.f64;
    const elapsed = performance.now();
    // The first call of a life: time goes on from where the last life was, or from the clock.
    if (this.#nowOffset === undefined) this.#nowOffset = Math.max(F[NOW], Date.now()) - elapsed;
    // A clock that is put forward, or was ahead after a sleep of the host, is followed; one that is put back is not, and
    // time goes on all the same.
    const clock = Date.now();
    if (clock - elapsed > this.#nowOffset) this.#nowOffset = clock - elapsed;
    const now = Math.floor(elapsed + this.#nowOffset);
    if (now > F[NOW]) F[NOW] = now;
    return F[NOW];
  }

  /** A message begins: what `onCommit` collects from here on belongs to it. */
  beginHooks(): void {
    this.#hooksAtBegin = this.#hooks.length;
  }

  onCommit(fn: () => void): void {
    this.#hooks.push(fn);
  }

  get hookMark(): number {
    return this.#hooks.length;
  }

  /** The transaction, or the part of it since `mark`, was undone. */
  dropHooks(mark: number = this.#hooksAtBegin): void {
    this.#hooks.length = mark;
  }

  #runHooks(): void {
    const hooks = this.#hooks;
    if (hooks.length === 0) return;
    for (let k = 0; k < hooks.length; k++) {
      try {
        hooks[k]!();
      } catch (error) {
        this.log.error('a function given to onCommit threw', errorData(error));
      }
    }
    hooks.length = 0;
  }

  /** Run `fn` as one transaction, between messages: for what comes from outside (a socket) or is due by time.
   * @throws what `fn` threw, after everything it did was undone */
  transact(fn: () => void): void {
    const { log } = this.store;
    log.begin();
    this.beginHooks();
    try {
      fn();
    } catch (error) {
      log.rollback();
      this.dropHooks();
      throw error;
    }
    log.commit();
    this.kick();
  }

  /** Have the loop turn soon: something was committed, or is to be looked at. */
  kick(): void {
    if (this.#kicked || this.#stopped === undefined) return;
    this.#kicked = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    if (this.#stopped === undefined) return;
    this.#kicked = false;
    // Else the next sleep would keep the end of this one.
    this.#doorbell?.rouse();
    if (this.#stopping) {
      this.#stopped();
      this.#stopped = undefined;
      return;
    }
    const S = this.store.segment.i32;
    S[HEARTBEAT] = (S[HEARTBEAT] + 1) | 0;
    const nowMs = this.updateNow();
    if (nowMs - this.#sweptAt >= SWEEP_MS) {
      this.#sweptAt = nowMs;
      this.bus.sweep();
    }
    // What came from outside since the last turn must not wait for this turn's messages.
    this.bus.publish();
    let done = this.bus.poll();
    this.#runHooks();
    done += this.#logic.step(this.updateNow());
    this.bus.publish();
    this.#runHooks();
    if (nowMs - this.#tidiedAt >= TIDY_MS) {
      this.#tidiedAt = nowMs;
      this.bus.lookForNewPeers();
      this.bus.outbox.tidy(nowMs, LANE_IDLE_MS);
      void this.store
        .reserveAhead()
        .catch((error: unknown) => this.log.error('no pages could be reserved ahead', errorData(error)));
    }
    if (done > 0) this.#busyAt = nowMs;
    if (done > 0 || this.bus.waiting) this.kick();
    else this.#sleep(nowMs - this.#busyAt < QUIET_MS ? SWEEP_MS : QUIET_SWEEP_MS);
  }

  #sleep(longestMs: number): void {
    const dueMs = this.#logic.nextMs() - this.updateNow();
    if (dueMs <= 0) {
      this.kick();
      return;
    }
    // Made when it is first needed: the messages that waited for this life are handled by then.
    this.#doorbell ??= new Doorbell(this.bells, this.self.index, () => this.#turn());
    this.#doorbell.sleep(Math.min(longestMs, Math.max(1, Math.round(dueMs))));
  }

  /** The suspect was handled without harm, or set aside. */
  acquit(): void {
    const S = this.store.segment.i32;
    S[CUR] = (S[CUR] >>> 8) << 8;
    this.blame.clear();
  }

  /** End in order: the segments are closed clean, the lock is let go. */
  stop(): void {
    this.#stopping = true;
    this.kick();
  }

  async #shutDown(): Promise<void> {
    await this.#logic.close();
    this.#runHooks();
    this.bus.publish();
    this.#doorbell?.close();
    Atomics.store(this.store.segment.i32, PHASE, PHASES.indexOf('closed'));
    this.bus.close();
    this.lanes.close(true);
    this.store.segment.close(true);
    this.bells.close();
    this.lock.release();
  }
}

/** What the layout of a lanes segment follows from. */
export function lanesHash(limits: BusLimits): string {
  return `lanes 1, ${JSON.stringify(limits)}`;
}

/** How the state segment of such a node is laid out. */
export function planOf(
  o: Pick<CoreOptions, 'state' | 'hidden' | 'fields' | 'logBytes' | 'heapBytes' | 'bus'>,
): StorePlan {
  return storePlan(o.state, {
    ...(o.logBytes === undefined ? {} : { logWords: o.logBytes / 4 }),
    ...(o.heapBytes === undefined ? {} : { heapBytes: o.heapBytes }),
    ...(o.hidden === undefined ? {} : { hidden: o.hidden }),
    system: { $born: u32, ...busFields({ ...DEFAULT_LIMITS, ...o.bus }), ...o.fields },
  });
}

const STANDBY_SLICE_MS = 100;
const TIDY_MS = 250;
/** A node that had nothing to do for so long looks for itself less often: each look is a wake-up, and a ring that was
 * lost with its sender is rung again when that sender is back. */
const QUIET_MS = 1_000;
const QUIET_SWEEP_MS = 200;
const LANE_IDLE_MS = 30_000;
