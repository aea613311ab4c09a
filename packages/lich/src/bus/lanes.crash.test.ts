/** Crash points of lanes: two nodes with pool, map, list and lane operations, stopped after every store. One of them is
 * recovered first and takes what it finds, then the other: whatever the order, each node's state is that before or after a transaction,
 * every message comes once, in order, and no unit of the rings is lost. */
import { describe, expect, it } from 'vitest';
import { dataBeforeLog, StoreTrace, type TracedStore } from '../testing/crash.ts';
import { type Bytes, LaneNode, lanesPlan, nodePlan, settle, TEST_LIMITS } from '../testing/lane-node.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { BusError } from './errors.ts';
import { ENTRY_WORDS, OUT_FLAGS, OUT_TAIL } from './lanes-layout.ts';

const COM_POS = (1024 + 16) * 4;
const LOG_POS = 1024 * 4;
const state = memorySegment({ regions: nodePlan.regions, catalog: nodePlan.catalog });
const lanes = memorySegment({ regions: lanesPlan });
const ROOT = state.regions.get('root')!.offset;
const OUT = lanes.regions.get('out')!;
const IN = lanes.regions.get('in')!;
const DATA = lanes.regions.get('data')!;

interface Step {
  readonly node: 0 | 1;
  /** One transaction. */
  readonly work?: (n: LaneNode) => void;
  readonly step?: 'rollback' | 'publish' | 'drain' | 'tidy';
}

/** Stream of control to, or from, that node. */
const control = (node: number) => TEST_LIMITS.nodes + node;
const note = (n: LaneNode, value: number) => n.store.state.notes.create({ n: value, marks: [1, 2] });
const transaction = (node: 0 | 1, work: (n: LaneNode) => void, step?: 'rollback'): Step => ({
  node,
  work,
  ...(step && { step }),
});
const steps: Step[] = [
  transaction(0, n => {
    n.send(1, 40);
    note(n, 1);
  }),
  { node: 0, step: 'publish' },
  { node: 1, step: 'drain' },
  // One message to several, a part of it undone, and again.
  transaction(0, n => {
    n.share([0, 1, control(1)], 2_000);
    const here = n.store.log.savepoint();
    n.share([0, 1], 3_000);
    n.store.log.rollbackTo(here);
    n.share([1, control(1)], 1_000);
  }),
  { node: 0, step: 'publish' },
  { node: 1, step: 'drain' },
  { node: 1, step: 'publish' },
  transaction(0, n => {
    n.store.state.counts.set(3, 7);
    n.send(control(1), 24);
    n.send(1, 30_000);
    n.send(1, 30_000);
  }),
  // A second lane, and what made it is undone.
  transaction(0, n => void [n.send(1, 60_000), note(n, 9)], 'rollback'),
  // The same as a part of a transaction; then a sealed lane and its follower for good.
  transaction(0, n => {
    const here = n.store.log.savepoint();
    n.send(1, 60_000);
    n.store.state.notes.get(0).marks.push(5);
    n.store.log.rollbackTo(here);
    n.send(1, 20);
    n.send(1, 30_000);
  }),
  { node: 0, step: 'publish' },
  transaction(1, n => {
    n.send(0, 100);
    n.send(control(0), 100);
    n.store.state.counts.set(1, 1);
  }),
  { node: 1, step: 'drain' },
  { node: 1, step: 'publish' },
  { node: 0, step: 'tidy' },
  { node: 0, step: 'drain' },
  { node: 0, step: 'publish' },
  // The bound: full.
  transaction(0, n => {
    while (n.send(1, 100_000));
    n.store.state.notes.destroy(n.store.state.notes.get(0));
  }),
  { node: 0, step: 'publish' },
  { node: 1, step: 'drain' },
  { node: 1, step: 'tidy' },
  { node: 1, step: 'publish' },
  { node: 0, step: 'tidy' },
  { node: 0, step: 'publish' },
  transaction(0, n => void [n.send(1, 16), n.send(0, 16)]),
  { node: 0, step: 'publish' },
  { node: 0, step: 'drain' },
  { node: 1, step: 'drain' },
  { node: 0, step: 'publish' },
  { node: 0, step: 'tidy' },
];

interface Run {
  readonly trace: StoreTrace;
  /** By node: the logged bytes at each commit, with the store after which they are in force at the latest. */
  readonly commits: { at: number; bytes: Buffer }[][];
}

const onMessage = (n: LaneNode) => (_: number, m: number) => {
  const { notes, counts } = n.store.state;
  if (m % 2 === 0 && notes.size < 8) notes.create({ n: m, from: 1 });
  counts.set(m & 3, m);
};

const logged = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset + ROOT, state.sizeBytes - ROOT);

function record(): Run {
  const trace = new StoreTrace();
  const cluster: LaneNode[] = [];
  for (let k = 0; k < 2; k++) new LaneNode(cluster, k, undefined, name => trace.wrap(name));
  const commits: Run['commits'] = [[], []];
  trace.atomics(() => {
    for (const n of cluster) {
      // Over the end of u32 while it runs.
      n.beginAt(2 ** 32 - 24_000);
      n.start();
      n.onMessage = onMessage(n);
    }
    trace.start({ S0: cluster[0]!.S, O0: cluster[0]!.O, S1: cluster[1]!.S, O1: cluster[1]!.O });
    const noteCommit = (n: LaneNode) =>
      commits[n.index]!.push({ at: trace.length, bytes: Buffer.from(logged(n.S.u8.slice(0))) });
    for (const n of cluster) {
      noteCommit(n);
      const { log } = n.store;
      const commit = log.commit.bind(log);
      log.commit = () => {
        commit();
        noteCommit(n);
      };
    }
    for (const { node, work, step } of steps) {
      const n = cluster[node]!;
      if (work) {
        n.store.log.begin();
        work(n);
        if (step === 'rollback') n.store.log.rollback();
        else n.store.log.commit();
      } else if (step === 'publish') n.publish();
      else if (step === 'drain') {
        for (const from of [control(1 - node), 1 - node, node]) n.drain(from, 100);
      } else n.outbox.tidy(1_000_000, 0);
    }
  });
  trace.stop();
  trace.atomics(() => expect(settle(cluster)).toEqual([]));
  return { trace, commits };
}

/** All lanes may be in use at that store. */
function sendIfRoom(node: LaneNode, to: number): void {
  try {
    node.send(to, 20);
  } catch (error) {
    if (!(error instanceof BusError)) throw error;
  }
}

/** The node as the next process finds it. */
function reopen(cluster: LaneNode[], index: number, all: Readonly<Record<string, Uint8Array>>): LaneNode {
  const bytes: Bytes = { S: all[`S${index}`]!, O: all[`O${index}`]! };
  const n = new LaneNode(cluster, index, bytes);
  n.onMessage = onMessage(n);
  n.started = true;
  return n;
}

/** @param first who is recovered first, and drains before the other one is */
function verify({ trace, commits }: Run, first: 0 | 1, step = 1): { points: number; wrong: string[] } {
  const wrong: string[] = [];
  let points = 0;
  const at = [0, 0];
  trace.replay((n, all) => {
    const last = trace.stores[n - 1];
    // In the rings each store is like the next: not all are visited.
    // Enough: what is wrong takes long.
    if (wrong.length > 25) return;
    if (last !== undefined && last.segment.startsWith('O') && last.offset >= DATA.offset && n % 7 !== 0) return;
    points++;
    try {
      const cluster: LaneNode[] = [];
      const nodes = [reopen(cluster, 0, all), reopen(cluster, 1, all)];
      for (const k of [first, 1 - first]) {
        const node = nodes[k]!;
        node.store.recover();
        while (at[k]! + 1 < commits[k]!.length && commits[k]![at[k]! + 1]!.at <= n) at[k]!++;
        const bytes = logged(node.S.u8.slice(0));
        const near = [commits[k]![at[k]!], commits[k]![at[k]! + 1]];
        if (!near.some(commit => commit !== undefined && bytes.equals(commit.bytes)))
          wrong.push(`store ${n}: node ${k} is neither before nor after transaction ${at[k]}`);
        node.recover();
        node.drain(1 - k, 1);
        node.publish();
        for (const from of [control(1 - k), 1 - k, k]) node.drain(from, 100);
        wrong.push(...node.check().map(what => `store ${n}: node ${k}: ${what}`));
        // Believes what the other one shows, before that one is back.
        node.outbox.tidy(1, 0);
        node.publish();
      }
      // What was sent before is all there, and what is sent now comes after it.
      for (const node of nodes) {
        node.store.log.begin();
        for (const to of [0, 1, control(0), control(1)]) sendIfRoom(node, to);
        node.share([0, 1], 100);
        node.store.log.commit();
      }
      wrong.push(...settle(nodes).map(what => `store ${n}: ${what}`));
    } catch (error) {
      wrong.push(`store ${n}: ${String(error)}`);
    }
  }, step);
  return { points, wrong };
}

const isTail = (store: TracedStore) =>
  store.segment.startsWith('O') &&
  store.offset >= OUT.offset &&
  store.offset < OUT.offset + OUT.bytes &&
  ((store.offset - OUT.offset) / 4) % ENTRY_WORDS <= OUT_FLAGS;
const isHead = (store: TracedStore) =>
  store.segment.startsWith('O') && store.offset >= IN.offset && store.offset < IN.offset + IN.bytes;

/** Move each store to O that follows a commit before that commit. */
function publishedEarly(stores: TracedStore[], which: (store: TracedStore) => boolean): TracedStore[] {
  const moved: TracedStore[] = [];
  /** by segment: where its last commit is in `moved` */
  const commitAt = new Map<string, number>();
  for (const store of stores) {
    const at = commitAt.get(store.segment.replace('O', 'S'));
    if (which(store) && at !== undefined) {
      moved.splice(at, 0, store);
      for (const [segment, position] of commitAt) if (position >= at) commitAt.set(segment, position + 1);
      continue;
    }
    if (store.segment.startsWith('S') && store.offset === COM_POS) commitAt.set(store.segment, moved.length);
    moved.push(store);
  }
  return moved;
}

describe('crash points of lanes', () => {
  const run = record();

  it('the workload reaches growth, sealing, full, give back and wrapping', () => {
    const tails = run.trace.stores
      .filter(store => isTail(store) && ((store.offset - OUT.offset) / 4) % ENTRY_WORDS === OUT_TAIL)
      .map(({ bytes }) => new DataView(bytes.buffer).getUint32(0, true));
    expect(tails.some(tail => tail > 2 ** 31)).toBe(true);
    expect(tails.some(tail => tail < 2 ** 31)).toBe(true);
    expect(run.trace.stores.filter(store => isTail(store) && store.bytes[0] === 3).length).toBeGreaterThan(0);
    expect(run.commits.map(all => all.length > 8)).toEqual([true, true]);
  });

  it.each([
    ['the sender', 0],
    ['the receiver', 1],
  ] as const)('after every store, %s recovers first', (_, first) => {
    const { points, wrong } = verify(run, first);
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(points).toBeGreaterThan(1_000);
  });

  it('finds the planted bug: the log position after the data', () => {
    const bad = record();
    bad.trace.mutate(stores => dataBeforeLog(stores, 'S0', LOG_POS));
    expect(verify(bad, 0).wrong.length).toBeGreaterThan(20);
  });

  it('finds the planted bug: a tail in O before the commit', () => {
    const bad = record();
    bad.trace.mutate(stores => publishedEarly(stores, isTail));
    expect(verify(bad, 1).wrong.length).toBeGreaterThan(0);
  });

  it('finds the planted bug: a head in O before the commit', () => {
    const bad = record();
    bad.trace.mutate(stores => publishedEarly(stores, isHead));
    expect(verify(bad, 0).wrong.length).toBeGreaterThan(0);
  });
});
