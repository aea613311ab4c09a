/** One node, as its supervisor sees it: its processes, and what its lock and its state segment say to anybody who looks. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { attachSegment, type ExitNote, OwnerLock, type Segment, ShmError } from '../../shm/index.ts';
import { statusPath } from '../node-process.ts';
import { beatsOf, phaseOf } from '../node-words.ts';
import { containedOf, isInspected } from '../supervised.ts';
import type { NodePlan, Topology } from '../topology.ts';
import { Crashes } from './crashes.ts';
import type { NodeProcess } from './processes.ts';
import { HANG_POLLS, type Pulse, Vigil } from './vigil.ts';

/** Own deaths in a row after which a node is not started again. */
export const MAX_CRASHES = 10;

type Entry = Topology['entries'] extends ReadonlyMap<string, infer E> ? E : never;

export class Watched {
  readonly dir: string;
  readonly plan: NodePlan;
  readonly entry: Entry;
  readonly index: number;
  readonly isService: boolean;
  /** Services, gateways and links have a lock and a state; programs have neither. */
  readonly hasState: boolean;
  /** Which build its next process runs. */
  build: string;
  readonly processes = new Set<NodeProcess>();
  readonly crashes = new Crashes();
  readonly vigil: Vigil;
  /** `running`; `stopped` because somebody asked for it; `down` because it kept dying. */
  wanted: 'running' | 'stopped' | 'down' = 'running';
  /** A deploy has it in hand: a process that ends is not followed by another one. */
  held = false;
  /** Why it is down. */
  why = '';
  /** pid that was last seen serving */
  serving = 0;
  servingSinceMs = 0;
  /** Has it ever served under this supervisor? */
  ready = false;
  /** The next start, while one is waited for. */
  pending: NodeJS.Timeout | undefined;
  pendingAtMs = 0;
  /** Lives that had begun before this supervisor: a killed one's segment still says that it serves. -1 = none */
  readonly #leftEpoch: number;
  /** Who was last seen serving, in which life. */
  #seen = { pid: 0, epoch: -1 };
  #lock: OwnerLock | undefined;
  #state: Segment | undefined;
  #containedDeaths: number | undefined;

  constructor(dir: string, plan: NodePlan, entry: Entry, index: number, build: string) {
    this.dir = dir;
    this.plan = plan;
    this.entry = entry;
    this.index = index;
    this.build = build;
    this.isService = typeof entry.run === 'string';
    this.hasState = typeof entry.run === 'string' || entry.run.kind !== 'program';
    this.vigil = new Vigil(this.hasState ? (entry.hangPolls ?? HANG_POLLS) : 0);
    const state = this.hasState ? this.state() : undefined;
    this.#containedDeaths = state === undefined ? 0 : containedOf(state).deaths;
    this.#leftEpoch = this.owner() === undefined ? (this.state()?.epoch ?? -1) : -1;
  }

  get name(): string {
    return this.plan.name;
  }

  get maxCrashes(): number {
    return this.entry.maxCrashes ?? MAX_CRASHES;
  }

  get memoryLimitBytes(): number {
    return (this.entry.memoryMiB ?? 0) * 1_048_576;
  }

  process(pid: number): NodeProcess | undefined {
    return [...this.processes].find(process => process.pid === pid);
  }

  /** The one that serves first. */
  pids(): number[] {
    const pids = [...this.processes].map(({ pid }) => pid);
    return pids.sort((a, b) => Number(b === this.serving) - Number(a === this.serving));
  }

  lock(): OwnerLock | undefined {
    // Programs have no lock, and none is made for them.
    if (this.#lock === undefined && !existsSync(join(this.dir, `${this.name}.lock`))) return undefined;
    return attempt(() => (this.#lock ??= OwnerLock.open(this.dir, this.name)));
  }

  owner(): { pid: number; startTime: number; pidNamespace: number } | undefined {
    const lock = this.lock();
    return lock && attempt(() => lock.owner());
  }

  /** The state segment that has the name now, read-only. */
  state(): Segment | undefined {
    return (this.#state ??= attempt(() =>
      attachSegment({ dir: this.dir, name: this.name, kind: 'state', readOnly: true }),
    ));
  }

  /** A deploy or a restore puts another segment in the place of this one. */
  lookForNewState(): void {
    if (this.#state === undefined || this.#state.isCurrent()) return;
    this.forgetState();
  }

  forgetState(): void {
    this.#state?.close();
    this.#state = undefined;
    this.#containedDeaths = undefined;
  }

  /** pid of the process that serves, 0 = none. */
  servingPid(): number {
    if (!this.isService) return this.#announcedPid();
    const pid = this.owner()?.pid ?? 0;
    const state = pid === 0 ? undefined : this.state();
    if (state === undefined || phaseOf(state) !== 'serving' || state.epoch === this.#leftEpoch) return 0;
    // Who has just got the lock finds what the one before it has left there.
    if (state.epoch === this.#seen.epoch && pid !== this.#seen.pid) return 0;
    this.#seen = { pid, epoch: state.epoch };
    return pid;
  }

  pulse(): Pulse | undefined {
    if (this.processes.size === 0) return undefined;
    const pid = this.owner()?.pid ?? 0;
    const state = pid === 0 ? undefined : this.state();
    if (state !== undefined && this.process(pid) !== undefined)
      return { pid, epoch: state.epoch, phase: phaseOf(state), beats: beatsOf(state) };
    const [oldest] = this.processes;
    return { pid: oldest!.pid, epoch: 0, phase: 'loading', beats: 0 };
  }

  /** May a debugger hold the owner? */
  isInspected(): boolean {
    const state = this.state();
    return state !== undefined && isInspected(state);
  }

  /** Deaths that containment has dealt with since this was asked last. */
  newlyContained(): number {
    const state = this.hasState ? this.state() : undefined;
    if (state === undefined) return 0;
    const { deaths } = containedOf(state);
    const before = this.#containedDeaths;
    this.#containedDeaths = deaths;
    return before === undefined ? 0 : (deaths - before) | 0;
  }

  /** Write down how a process ended: the next owner asks when it suspects a message (blame.ts). */
  noteExit(pid: number, note: ExitNote): void {
    const lock = this.lock();
    // Without a note the next owner takes the death for a plain SIGKILL.
    if (lock !== undefined) attempt(() => lock.noteExit(pid, note));
  }

  status(): { pid: number; address: string } | undefined {
    try {
      return JSON.parse(readFileSync(statusPath(this.dir, this.name), 'utf8')) as { pid: number; address: string };
    } catch {
      return undefined;
    }
  }

  #announcedPid(): number {
    const status = this.status();
    return status !== undefined && this.process(status.pid) !== undefined ? status.pid : 0;
  }

  close(): void {
    clearTimeout(this.pending);
    this.forgetState();
  }
}

/** A look that fails because there is nothing, or not yet, is a look that saw nothing. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof ShmError) return undefined;
    throw error;
  }
}
