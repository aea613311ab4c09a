/** A running node: its lock, its two segments, its end of the bus, and the loop. What it does with messages is the
 * `Logic` it is given: a user's service, or a gateway.
 *
 * The first process of a node takes the lock and owns it; further ones wait in the lock (standby.ts). Whoever gets the
 * lock makes the state its own (take-over.ts), warm or not. */
import { isMainThread } from 'node:worker_threads';
import { Bus, type Deliver, Directory, DEFAULT_LIMITS, type BusLimits, type NodeEntry } from '../bus/index.ts';
import { Bells, Doorbell, OwnerLock, type Segment, SWEEP_MS } from '../shm/index.ts';
import { openStore, type Store, type StorePlan } from '../state/index.ts';
import { type Blame, CUR, suspectWords } from './blame.ts';
import { obeyDrops } from './drops.ts';
import { RuntimeError } from './errors.ts';
import { handOver } from './let-go.ts';
import { errorData, type Log } from './log.ts';
import { type LayoutOptions, planOf } from './node-layout.ts';
import { HEARTBEAT, NOW, setPhase } from './node-words.ts';
import { Recording } from './record/recording.ts';
import type { Life } from './service.ts';
import { Report } from './report/report.ts';
import { Standby } from './standby.ts';
import { beginLife, takeOver } from './take-over.ts';

/** What a node is made of. */
export interface CoreOptions extends LayoutOptions {
  readonly dir: string;
  readonly name: string;
  readonly id: number;
  readonly log: Log;
  /** Names of the nodes that it may send to, where lanes are made at start. Default: any, and lanes are made on first use. */
  readonly talksTo?: readonly string[] | undefined;
  /** Does a standby run recent messages on a copy ahead of need? Default true. See rehearsal.ts. */
  readonly rehearse?: boolean;
  /** May a state of another layout be brought over to this one? A deploy's processes may. 'rehearsed': this process has done
   * it on a copy, and walked all of what came of it. Default false. */
  readonly migrates?: boolean | 'rehearsed';
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
  /** What it counts since its process began, shown as `lich_messages_total`. */
  readonly counts?: Readonly<Record<string, number>>;
  /** What else is to be shown of it. */
  mirror?(report: Report): void;
  /** Run once what is done without being asked by a message (a tick, a delta), on a private copy. A logic without it is
   * not rehearsed. */
  rehearse?(): void;
  /** Before the loop's first turn, and after its last. */
  open(): void | Promise<void>;
  close(): void | Promise<void>;
}

/** All about a node goes by process id: who lets go, who is killed, how it ended, whom to blame; and workers get no signals. */
function mustBeMainThread(node: string): void {
  if (isMainThread) return;
  throw new RuntimeError(
    'RUNTIME_WORKER',
    `\`${node}\` is to run in a worker thread, and a node is a process: start it with \`lich up\`. A worker can own a state: attach(dir, { as: 'owner' }) of lich/state`,
  );
}

/** One process of one node. Made, then `run` once. */
export class Core {
  readonly dir: string;
  readonly name: string;
  readonly self: NodeEntry;
  readonly log: Log;
  readonly lock: OwnerLock;
  /** @internal */
  readonly rehearses: boolean;
  /** @internal */
  readonly migrates: boolean | 'rehearsed';
  readonly report: Report;
  readonly directory: Directory;
  readonly bells: Bells;
  readonly limits: BusLimits;
  readonly #talksTo: ReadonlySet<string> | undefined;
  readonly plan: StorePlan;
  /** Set once the segments are mapped. */
  store!: Store<unknown>;
  lanes!: Segment;
  bus!: Bus;
  life!: Life;
  blame!: Blame;
  /** What this node is given, where that is kept. */
  readonly recording: Recording;
  #logic!: Logic;
  readonly #makeLogic: (core: Core) => Logic;
  #doorbell: Doorbell | undefined;
  readonly #hooks: (() => void)[] = [];
  #hooksAtBegin = 0;
  #kicked = false;
  // Times begin as no small integers: with the first time that is put there, all code that knows this object would be
  // compiled anew, and that is when a standby has just become the owner.
  /** service time less that of the monotonic clock; NaN in a life that has not looked yet */
  #nowOffset = Number.NaN;
  #stopping = false;
  #lettingGo = false;
  #reserving: Promise<void> | undefined;
  #stopped: (() => void) | undefined;
  #caughtUp: (() => void) | undefined;
  #phaseStart = Number.NEGATIVE_INFINITY;
  /** How long each phase of the last takeover took, in ms. */
  readonly takeoverMs: Record<string, number> = {};
  #sweptAt = Number.NEGATIVE_INFINITY;
  #busyAt = Number.NEGATIVE_INFINITY;
  #tidiedAt = Number.NEGATIVE_INFINITY;

  /** @throws RuntimeError `RUNTIME_WORKER` */
  constructor(o: CoreOptions, makeLogic: (core: Core) => Logic) {
    mustBeMainThread(o.name);
    this.dir = o.dir;
    this.name = o.name;
    this.log = o.log;
    this.rehearses = o.rehearse ?? true;
    this.migrates = o.migrates ?? false;
    this.limits = { ...DEFAULT_LIMITS, ...o.bus };
    this.#talksTo = o.talksTo && new Set(o.talksTo);
    this.#makeLogic = makeLogic;
    this.directory = new Directory(o.dir, this.limits.nodes);
    this.self = this.directory.ensure(o.name, o.id);
    this.bells = Bells.open(o.dir, this.limits.nodes);
    this.lock = OwnerLock.open(o.dir, o.name);
    this.report = new Report(o.dir, o.name);
    this.plan = planOf(o);
    this.recording = new Recording(this);
  }

  /** @internal Set once the segments are mapped. */
  get logic(): Logic {
    return this.#logic;
  }

  /** @internal It was told to end. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Become the owner, now or when the present owner is gone, and run until `stop` or `letGo`.
   * @param onRole told once when this process waits as a standby, and once when it serves */
  async run(onRole: (role: 'standby' | 'owner') => void = () => {}): Promise<void> {
    let lastPid = this.lock.lastOwner()?.pid ?? 0;
    let took = this.lock.tryAcquire();
    if (took === 'busy') {
      const standby = new Standby(this);
      standby.prepare();
      onRole('standby');
      const waited = await standby.wait();
      if (waited === 'stopped') return;
      took = waited;
      lastPid = standby.ownerBefore;
    }
    this.#phase('lock');
    takeOver(this, took === 'died', lastPid);
    this.#phase('recover');
    beginLife(this);
    this.#phase('resume');
    const opened = this.#logic.open();
    if (opened !== undefined) await opened;
    setPhase(this.store.segment, 'serving');
    const stopped = new Promise<void>(resolve => (this.#stopped = resolve));
    // Tidying can wait; the first messages have waited already.
    this.#tidiedAt = this.now;
    const caughtUp = new Promise<void>(resolve => (this.#caughtUp = resolve));
    this.#turn();
    this.#phase('firstTurn');
    setTimeout(() => this.#caughtUp?.(), CATCH_UP_MS);
    // What is said about it, and what may come from outside, comes after the messages that waited.
    await caughtUp;
    this.#caughtUp = undefined;
    onRole('owner');
    this.report.lifeBegan(this.life.reason, this.life.epoch, this.takeoverMs);
    await stopped;
    await this.#shutDown();
  }

  /** The phase of a takeover that ends now. */
  #phase(name: string): void {
    const now = performance.now();
    if (name !== 'lock') this.takeoverMs[name] = Math.round((now - this.#phaseStart) * 100) / 100;
    this.#phaseStart = now;
  }

  /** Build all that stands on the two segments. @internal */
  build(state: Segment, lanes: Segment): void {
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
      talksTo: this.#talksTo,
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

  /** @internal Give up what `build` made: the state's name leads to another segment by now. */
  unbuild(): void {
    this.bus.close();
    this.recording.close(false);
    this.lanes.close();
    this.store.segment.close();
    this.store = undefined as never;
  }

  /** Service time in ms: the clock's, but it never goes back, over lives too. Fixed until the next call. */
  get now(): number {
    return this.store.segment.f64[NOW];
  }

  updateNow(): number {
    const F = this.store.segment.f64;
    const elapsed = performance.now();
    // The first call of a life: time goes on from where the last life was, or from the clock.
    if (Number.isNaN(this.#nowOffset)) this.#nowOffset = Math.max(F[NOW], Date.now()) - elapsed;
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
    const nowMs = (this.bus.outbox.samples.nowMs = this.updateNow());
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
    this.report.publish(nowMs);
    if (nowMs - this.#tidiedAt >= TIDY_MS) {
      this.#tidiedAt = nowMs;
      this.bus.lookForNewPeers();
      obeyDrops(this);
      this.bus.outbox.tidy(nowMs, LANE_IDLE_MS);
      this.recording.look();
      const before = this.#reserving;
      this.#reserving = this.store
        .reserveAhead()
        .catch((error: unknown) => this.log.error('no pages could be reserved ahead', errorData(error)))
        .then(() => before);
    }
    if (done > 0) this.#busyAt = nowMs;
    if (done > 0 || this.bus.waiting) this.kick();
    else {
      this.#caughtUp?.();
      this.#sleep(nowMs - this.#busyAt < QUIET_MS ? SWEEP_MS : QUIET_SWEEP_MS);
    }
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

  /** It was told to let go. */
  get lettingGo(): boolean {
    return this.#lettingGo;
  }

  /** End in order, but leave the state to the process that waits for the lock: see let-go.ts. */
  letGo(): void {
    this.#lettingGo = true;
    this.stop();
  }

  async #shutDown(): Promise<void> {
    await this.#logic.close();
    this.#runHooks();
    this.bus.publish();
    this.#doorbell?.close();
    // Of what is being reserved a note is made in the segment.
    if (this.#lettingGo) await this.#reserving;
    this.log.lead?.(undefined);
    this.report.close(!this.#lettingGo);
    if (this.#lettingGo) return handOver(this);
    setPhase(this.store.segment, 'closed');
    this.bus.close();
    this.recording.close(true);
    this.lanes.close(true);
    this.store.segment.close(true);
    this.bells.close();
    this.lock.release();
  }
}

const TIDY_MS = 250;
/** A life that never comes to rest says what it is after so long. */
const CATCH_UP_MS = 50;
/** A node that had nothing to do for so long looks for itself less often: each look is a wake-up, and a ring that was
 * lost with its sender is rung again when that sender is back. */
const QUIET_MS = 1_000;
const QUIET_SWEEP_MS = 200;
const LANE_IDLE_MS = 30_000;
