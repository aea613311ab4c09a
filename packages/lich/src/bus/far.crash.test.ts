/** Crash points of streams between hosts: two nodes on two hosts and their links, all stopped after every store, booted in
 * either order; the wire has lost what it held. Each message comes once, in order, and nothing else has changed. */
import { describe, expect, it } from 'vitest';
import { StoreTrace, type TracedStore } from '../testing/crash.ts';
import { type FarNode, FarWorld } from '../testing/far-world.ts';
import { CONTROL, DATA } from './lanes-layout.ts';

const COM_POS = (1024 + 16) * 4;

/** A world that ran, and all that it stored. */
function record(): StoreTrace {
  const trace = new StoreTrace();
  const world = trace.atomics(() => new FarWorld(1, { wrap: name => trace.wrap(name) }));
  const [a, b] = [world.node('a1'), world.node('b1')];
  const [linkA, linkB] = world.links;
  const send = (from: typeof a, to: typeof a, ...sizes: number[]): void => {
    from.store.log.begin();
    for (const bytes of sizes) from.send(to.name, DATA, bytes);
    from.send(to.name, CONTROL, 24);
    from.store.log.commit();
    from.bus.publish();
  };
  const exchange = (from: typeof linkA, to: typeof linkA, again = false): void => {
    from.pump(20_000, again);
    for (const frame of world.wireTo(to).splice(0)) to.take(frame);
    for (const frame of world.wireTo(from).splice(0)) from.take(frame);
  };
  trace.atomics(() => {
    trace.start(
      Object.fromEntries(
        world.nodes.flatMap(n => [
          [`S${n.name}`, n.S],
          [`O${n.name}`, n.O],
        ]),
      ),
    );
    // The first meeting is a part of it.
    world.notice();
    send(a, b, 40, 16_000);
    exchange(linkA, linkB);
    b.turn();
    send(b, a, 100);
    // The acknowledgement is lost, and the run comes again, with more behind it.
    linkB.pump(20_000);
    for (const frame of world.wireTo(linkA).splice(0)) linkA.take(frame);
    linkA.out.length = 0;
    send(b, a, 16);
    exchange(linkB, linkA, true);
    a.turn();
    // A lane that is sealed, and one that is followed, on both sides.
    send(a, b, 30_000, 30_000, 20_000);
    exchange(linkA, linkB);
    b.turn();
    exchange(linkA, linkB);
    for (const n of world.nodes) world.tidy(n);
    b.turn();
    for (const n of world.nodes) n.bus.publish();
  });
  trace.stop();
  trace.atomics(() => world.settle());
  expect(world.check()).toEqual([]);
  return trace;
}

const shapes = new FarWorld(1);
const regionOf = ({ segment, offset }: TracedStore): string => {
  const node = shapes.node(segment.slice(1));
  const { regions } = segment.startsWith('S') ? node.S : node.O;
  for (const { name, offset: from, bytes } of regions.values())
    if (offset >= from && offset < from + bytes) return name;
  return '?';
};

/** @param region visit only the stores to it, each of them; else every `STEP`-th store of all */
function verify(trace: StoreTrace, order: readonly number[], region?: string): { points: number; wrong: string[] } {
  const wrong: string[] = [];
  let points = 0;
  trace.replay((n, bytes) => {
    if (wrong.length > 10) return;
    const last = trace.stores[n - 1];
    if (region !== undefined && (last === undefined || regionOf(last) !== region)) return;
    // In the rings each store is like the next.
    if (last !== undefined && regionOf(last) === 'data' && n % 97 !== 0) return;
    if (points++ % STEP !== 0 && region === undefined) return;
    try {
      // Each believes what others show, before they are back.
      const booted = (node: FarNode): void => {
        node.turn();
        node.bus.outbox.tidy(1, 0);
        node.bus.publish();
      };
      const world = new FarWorld(1, { bytes, order, booted });
      // What was sent before is all there, and what is sent now comes after it.
      for (const from of world.talkers) {
        from.store.log.begin();
        for (const to of world.talkers) for (const priority of [DATA, CONTROL]) from.send(to.name, priority as 0, 40);
        from.store.log.commit();
      }
      world.settle();
      wrong.push(...world.check().map(what => `store ${n}: ${what}`));
    } catch (error) {
      wrong.push(`store ${n}: ${String(error)}`);
    }
  });
  return { points, wrong };
}

/** Move each store to these regions that follows a commit before that commit. */
function early(stores: TracedStore[], which: (store: TracedStore) => boolean): TracedStore[] {
  const moved: TracedStore[] = [];
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

const STEP = process.env.LICH_SOAK ? 1 : 13;

describe('crash points of streams between hosts', () => {
  const trace = record();

  it.each([
    ['the links last', [0, 3, 1, 2]],
    ['the links first, the far one before', [2, 1, 0, 3]],
  ])('after every store, %s', (_, order) => {
    const { points, wrong } = verify(trace, order);
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(points).toBeGreaterThan(500);
  });

  it('finds the planted bug: a cursor shown before the commit that moved it', () => {
    trace.mutate(stores => early(stores, store => regionOf(store) === 'far'));
    expect(verify(trace, [0, 3, 1, 2], 'far').wrong.length).toBeGreaterThan(0);
  });
});
