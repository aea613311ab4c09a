/** Who is in the cluster, as the state of this node knows it: where a key leads to follows from the state alone, so that a
 * message that is handled again, by another life or in a replay, sends what it sent.
 *
 *   $members    u32, one per node index    0 not seen · ENTERED · MET its segments · GONE since
 *   $membersNo  u32, bumped when who counts changes
 *
 * An instance counts from when it is entered in the directory (the supervisor enters all of a topology before it starts the
 * first) until it is removed (`lich rm`): one that is dead, stopped or being deployed still has its keys. */
import { array, u32 } from '@lich/schema';
import { BusError, hashOfKey, type Key, type NodeEntry, rendezvous, rootWord, seedOf } from '../bus/index.ts';
import type { Core } from './core.ts';

/** Root fields of a service. */
export function memberFields(nodes: number) {
  return { $members: array(u32, nodes), $membersNo: u32 };
}

const ENTERED = 1;
const MET = 2;
const GONE = 3;
/** So often it is looked whether somebody is gone. */
const LOOK_MS = 250;

/** The instances of one service, in the order of their numbers. */
export interface Instances {
  /** Node indexes. */
  readonly nodes: readonly number[];
  readonly seeds: readonly number[];
}

interface Known extends Instances {
  readonly no: number;
}

/** @returns which service a node runs, and which instance it is; undefined for a name that no topology makes */
export function instanceOf({ name }: NodeEntry): { service: string; instance: number } | undefined {
  const match = /^(.+)-(\d+)$/.exec(name);
  return match === null ? undefined : { service: match[1]!, instance: Number(match[2]) };
}

export class Members {
  readonly #core: Core;
  readonly #members: number;
  readonly #no: number;
  readonly #known = new Map<string, Known>();
  #seen: readonly NodeEntry[] | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(core: Core) {
    const { layouts, segment } = core.store;
    const { offset } = segment.regions.get('root')!;
    this.#core = core;
    this.#members = rootWord(layouts.root, offset, '$members');
    this.#no = rootWord(layouts.root, offset, '$membersNo');
  }

  /** Note who came and went. In a transaction. */
  note(): void {
    const { log, segment } = this.#core.store;
    const I = segment.i32;
    let changed = false;
    for (const { index } of this.#core.directory.all()) {
      const [before, now] = [I[this.#members + index], this.#now(index)];
      if (before === now) continue;
      log.write(this.#members + index, now);
      changed ||= counts(before) !== counts(now);
    }
    if (changed) log.write(this.#no, (I[this.#no] + 1) | 0);
  }

  #now(index: number): number {
    if (this.#core.bus.inbox.metId(index) !== 0) return MET;
    const before = this.#core.store.segment.i32[this.#members + index];
    return before === MET || before === GONE ? GONE : ENTERED;
  }

  /** Outside transactions: note what changed, if it is time to look. @returns whether who counts may have changed */
  step(nowMs: number): boolean {
    const { directory, store } = this.#core;
    const all = directory.all();
    if (all === this.#seen && nowMs - this.#lookedMs < LOOK_MS) return false;
    this.#seen = all;
    this.#lookedMs = nowMs;
    const I = store.segment.i32;
    if (all.some(({ index }) => I[this.#members + index] !== this.#now(index))) this.#core.transact(() => this.note());
    return true;
  }

  /** Was that node removed? */
  isGone(index: number): boolean {
    return this.#core.store.segment.i32[this.#members + index] === GONE;
  }

  /** Instances of a service. O(1) while nobody comes or goes. */
  of(service: string): Instances {
    const no = this.#core.store.segment.i32[this.#no];
    const known = this.#known.get(service);
    if (known?.no === no) return known;
    const found = this.#core.directory
      .all()
      .filter(({ index }) => counts(this.#core.store.segment.i32[this.#members + index]))
      .map(node => ({ node, of: instanceOf(node) }))
      .filter(({ of }) => of?.service === service)
      .sort((x, y) => x.of!.instance - y.of!.instance);
    const now: Known = {
      no,
      nodes: found.map(({ node }) => node.index),
      seeds: found.map(({ node }) => seedOf(node.name)),
    };
    this.#known.set(service, now);
    return now;
  }

  /** The instance that has a key. @returns its node index @throws BusError `BUS_UNKNOWN_NODE`; TypeError */
  nodeOf(service: string, key: Key): number {
    const { nodes, seeds } = this.of(service);
    if (nodes.length === 0)
      throw new BusError(
        'BUS_UNKNOWN_NODE',
        `no instance of ${service} is in the cluster: nobody has key ${String(key)}`,
      );
    return nodes[rendezvous(hashOfKey(key), seeds)]!;
  }
}

function counts(member: number): boolean {
  return member === ENTERED || member === MET;
}
