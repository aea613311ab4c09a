/** A link's end of the bus, case by case: what it reads, what it takes, what it leaves alone. */
import { describe, expect, it } from 'vitest';
import { type FarNode, FarWorld, type TestLink } from '../testing/far-world.ts';
import { lifeOf } from './far.ts';
import { CONTROL, DATA, NOBODY, OUT_TAIL, type Priority } from './lanes-layout.ts';

function send(from: FarNode, to: FarNode, sizes: readonly number[], priority: Priority = DATA): void {
  from.store.log.begin();
  for (const bytes of sizes) expect(from.send(to.name, priority, bytes)).toBe(true);
  from.store.log.commit();
  from.bus.publish();
}

interface Pair {
  readonly world: FarWorld;
  readonly a: FarNode;
  readonly b: FarNode;
  readonly linkA: TestLink;
  readonly linkB: TestLink;
  /** a's index at the link of b, and so on */
  readonly at: { readonly a: number; readonly b: number; readonly farA: number; readonly farB: number };
}

/** Two nodes that have met, each with its link. */
function pair(o: { met?: boolean } = {}): Pair {
  const world = new FarWorld(1);
  if (o.met ?? true) world.notice();
  const [a, b] = [world.node('a1'), world.node('b1')];
  const [linkA, linkB] = world.links;
  const at = {
    a: a.self.index,
    b: b.self.index,
    farA: b.host.directory.byName('a1').index,
    farB: a.host.directory.byName('b1').index,
  };
  return { world, a, b, linkA, linkB, at };
}

/** What `from` has sent, as the link of the other host is given it. */
function runOf({ a, linkA, at }: Pair, from = 0, maxBytes = 65_536): { from: number; to: number; bytes: Uint8Array } {
  a.bus.publish();
  const run = linkA.node.far.inbox.read(at.a, at.farB, DATA, from, maxBytes)!;
  return { from: run.from, to: run.to, bytes: run.bytes.slice() };
}

const append = ({ linkB, at }: Pair, run: { from: number; to: number; bytes: Uint8Array }): number => {
  const { far, store } = linkB.node;
  store.log.begin();
  try {
    const got = far.outbox.append(at.farA, at.b, DATA, run.from, run.to, run.bytes);
    store.log.commit();
    return got;
  } catch (error) {
    store.log.rollback();
    throw error;
  }
};

describe('a run', () => {
  it('is whole records from a position on, at least one, as many as fit', () => {
    const p = pair();
    send(p.a, p.b, [40, 40, 1_000, 40]);
    const { inbox } = p.linkA.node.far;
    const read = (from: number, maxBytes: number) => inbox.read(p.at.a, p.at.farB, DATA, from, maxBytes);
    expect(read(0, 1)).toMatchObject({ from: 0, to: 16, records: 1 });
    expect(read(0, 128)).toMatchObject({ from: 0, to: 32, records: 2 });
    expect(read(16, 1_100)).toMatchObject({ from: 16, to: 16 + 16 + 256, records: 2 });
    expect(read(32, 1)).toMatchObject({ records: 1, to: 288 });
    expect(read(304, 1)).toBeUndefined();
    expect(inbox.read(p.at.a, p.at.farB, CONTROL, 0, 1)).toBeUndefined();
  });

  it('leaves padding out, and ends where the ring does', () => {
    const p = pair();
    // A ring of 16,384 words, of which the last ones are padding: it does not fit before them.
    for (let k = 0; k < 3; k++) {
      send(p.a, p.b, [30_000]);
      p.world.round();
      p.world.round();
    }
    const { inbox } = p.linkA.node.far;
    const head = inbox.headOf(p.at.a, p.at.farB, DATA);
    expect(p.b.gotFrom('a1', DATA)).toBe(3);
    // 3 × 7,504 words: the third began a ring anew.
    expect(head).toBe(16_384 + 7_504);
    send(p.a, p.b, [30_000, 40]);
    const run = inbox.read(p.at.a, p.at.farB, DATA, head, 65_536)!;
    expect(run.records).toBe(2);
    expect(p.world.check()).not.toEqual([]);
    p.world.settle();
    expect(p.world.check()).toEqual([]);
  });

  it('that comes again is known; one that overlaps is taken from where it is new', () => {
    const p = pair();
    send(p.a, p.b, [40, 40, 40, 40]);
    expect(append(p, runOf(p, 0, 128))).toBe(32);
    expect(append(p, runOf(p, 0, 128))).toBe(32);
    expect(append(p, runOf(p, 16, 192))).toBe(64);
    expect(append(p, runOf(p, 0))).toBe(64);
    p.linkB.node.turn();
    while (p.b.turn() > 0);
    expect(p.b.gotFrom('a1', DATA)).toBe(4);
    expect(p.b.wrong).toEqual([]);
  });

  it('that begins behind what is known is left alone', () => {
    const p = pair();
    send(p.a, p.b, [40, 40, 40]);
    expect(append(p, runOf(p, 16))).toBe(0);
    expect(append(p, runOf(p, 0, 1))).toBe(16);
    expect(append(p, runOf(p, 32))).toBe(16);
    expect(append(p, runOf(p, 16))).toBe(48);
  });

  it.each<[string, (run: { from: number; to: number; bytes: Uint8Array; I: Int32Array }) => object]>([
    ['a length of 0', ({ I }) => ((I[0] = 0), {})],
    ['a negative length', ({ I }) => ((I[0] = -16), {})],
    ['a length that is not aligned', ({ I }) => ((I[0] = 18), {})],
    ['a length behind the end', ({ I }) => ((I[16] = 32), {})],
    ['padding', ({ I }) => ((I[17] = 0), {})],
    ['half a record', ({ bytes }) => ({ bytes: bytes.subarray(0, 96) })],
    ['bytes that are no words', ({ bytes }) => ({ bytes: bytes.subarray(0, 127) })],
    ['nothing', () => ({ bytes: new Uint8Array(0) })],
    ['more than the positions say', ({ from }) => ({ to: from + 16 })],
    ['an end before the beginning', ({ from }) => ({ to: from - 32 })],
  ])('with %s is refused with a code, and nothing is changed', (_, harm) => {
    const p = pair();
    send(p.a, p.b, [40, 40]);
    const run = runOf(p);
    const bad = { ...run, ...harm({ ...run, I: new Int32Array(run.bytes.buffer) }) };
    expect(() => append(p, bad)).toThrow(expect.objectContaining({ code: 'BUS_BAD_RUN' }));
    expect(p.linkB.node.far.outbox.gotOf(p.at.farA, p.at.b, DATA)).toBe(0);
    expect(append(p, runOf(p))).toBe(32);
  });

  it('that does not end where a known one did is refused', () => {
    const p = pair();
    send(p.a, p.b, [0, 40]);
    const whole = runOf(p);
    expect(append(p, { from: 0, to: 16, bytes: whole.bytes.slice(16) })).toBe(16);
    expect(() => append(p, whole)).toThrow(expect.objectContaining({ code: 'BUS_BAD_RUN' }));
  });

  it('of a lane that cannot be: a coded error, once; other pairs go on', () => {
    const p = pair();
    send(p.a, p.b, [40, 40]);
    const O = p.a.O.i32;
    const entry = p.a.O.regions.get('out')!.offset / 4;
    const { inbox } = p.linkA.node.far;
    O[entry + OUT_TAIL] = 1_000_000;
    expect(inbox.read(p.at.a, p.at.farB, DATA, 0, 100)).toBeUndefined();
    expect(inbox.read(p.at.a, p.at.farB, DATA, 0, 100)).toBeUndefined();
    expect(p.linkA.node.wrong.length).toBe(1);
    expect(p.linkA.node.wrong[0]).toMatch(/1000000 words before the tail/);
  });
});

describe('what was acknowledged', () => {
  it('moves the cursor, and the sender has its room back', () => {
    const p = pair();
    send(p.a, p.b, [40, 40]);
    const { far, store, bus } = p.linkA.node;
    store.log.begin();
    expect(far.inbox.acked(p.at.a, p.at.farB, DATA, 16)).toBe(true);
    expect(far.inbox.acked(p.at.a, p.at.farB, DATA, 16)).toBe(false);
    store.log.commit();
    bus.publish();
    expect(p.a.bus.outbox.headOf(p.at.farB)).toBe(16);
  });

  it('cannot be the middle of a record, or what was not sent', () => {
    const p = pair();
    send(p.a, p.b, [40, 40]);
    const { far, store } = p.linkA.node;
    store.log.begin();
    for (const got of [8, 31, 48, 1_000_000]) expect(far.inbox.acked(p.at.a, p.at.farB, DATA, got)).toBe(false);
    expect(far.inbox.bad).toBe(4);
    expect(far.inbox.acked(p.at.a, p.at.farB, DATA, -16)).toBe(false);
    expect(far.inbox.acked(p.at.a, p.at.farB, CONTROL, 16)).toBe(false);
    expect(far.inbox.headOf(p.at.a, p.at.farB, DATA)).toBe(0);
    store.log.rollback();
  });
});

describe('a receiver that takes nothing', () => {
  it('has one window of each stream in the link; the rest stays with its sender, and nobody else waits', () => {
    const world = new FarWorld(2);
    world.notice();
    const [a, slow, quick] = ['a1', 'b1', 'b2'].map(name => world.node(name)) as [FarNode, FarNode, FarNode];
    slow.asleep = true;
    const { outbox } = world.links[1].node.far;
    outbox.windowBytes = 30_000;
    const [farA, at] = [slow.host.directory.byName('a1').index, slow.self.index];
    for (let k = 0; k < 12; k++) {
      send(a, slow, [10_000]);
      send(a, quick, [10_000]);
      for (let n = 0; n < 3; n++) world.round(true);
    }
    expect(quick.gotFrom('a1', DATA)).toBe(12);
    expect(outbox.roomOf(farA, at, DATA)).toBeLessThan(10_000);
    expect(outbox.gotOf(farA, at, DATA) * 4).toBeLessThanOrEqual(30_000);
    expect(outbox.refused).toBeGreaterThan(0);
    // Control has a window of its own.
    send(a, slow, [40], CONTROL);
    world.round();
    expect(outbox.gotOf(farA, at, CONTROL)).toBe(16);
    world.settle();
    expect(world.check()).toEqual([]);
  });

  it('a record larger than the window is taken when nothing else waits', () => {
    const p = pair();
    p.linkB.node.far.outbox.windowBytes = 1_000;
    send(p.a, p.b, [40, 100_000, 40]);
    p.world.settle();
    expect(p.b.gotFrom('a1', DATA)).toBe(3);
    expect(p.world.check()).toEqual([]);
  });
});

describe('control', () => {
  it('has streams of its own over links, and is handled first', () => {
    const p = pair();
    send(p.a, p.b, [40, 40, 40]);
    send(p.a, p.b, [40], CONTROL);
    p.linkA.pump(65_536);
    for (const frame of p.world.wireTo(p.linkB).splice(0)) p.linkB.take(frame);
    const from = p.b.host.directory.byName('a1').index;
    expect(p.b.bus.inbox.hasControl(from)).toBe(true);
    p.b.turn();
    expect(p.b.gotFrom('a1', CONTROL)).toBe(1);
    expect(p.b.bus.inbox.hasControl(from)).toBe(false);
    p.world.settle();
    expect(p.world.check()).toEqual([]);
  });
});

describe('what is rung', () => {
  it('for a node elsewhere: its own row, for who has sent, and the link', () => {
    const p = pair();
    p.a.host.bits.clear();
    send(p.a, p.b, [40]);
    const bitsOf = (index: number): number[] => [...(p.a.host.bits.get(index) ?? [])];
    expect(bitsOf(p.at.farB)).toEqual([p.at.a]);
    expect(bitsOf(p.linkA.node.self.index)).toEqual([p.at.a]);
    p.linkA.node.turn();
    const found: number[][] = [];
    p.linkA.node.far.inbox.takeReady((...them) => void found.push(them));
    p.linkA.node.far.inbox.takeReady((...them) => void found.push(them));
    expect(found).toEqual([[p.at.a, p.at.farB]]);
  });

  it('by a link: the receiver, for the one that has sent', () => {
    const p = pair();
    send(p.a, p.b, [40]);
    append(p, runOf(p));
    p.b.host.bits.clear();
    p.linkB.node.bus.publish();
    expect([...p.b.host.bits]).toEqual([[p.at.b, new Set([p.at.farA])]]);
  });
});

describe('a life', () => {
  it('of a pair is one number on both sides, and another with each of the four that is made anew', () => {
    const p = pair();
    const lives = (): number[] => [
      p.linkA.node.far.lifeOf(p.at.a, p.at.farB),
      p.linkB.node.far.lifeOf(p.at.b, p.at.farA),
    ];
    const seen = new Set<number>();
    for (const name of [undefined, 'a1', 'b1', 'a-link', 'b-link']) {
      if (name !== undefined) p.world.recreate(p.world.node(name));
      p.world.notice();
      const [here, there] = lives();
      expect(here).toBe(there);
      expect(Number.isSafeInteger(here) && here! > 0).toBe(true);
      seen.add(here!);
    }
    expect(seen.size).toBe(5);
    // Both sides made at the same times: no cancelling out.
    expect(lifeOf(1, 2)).not.toBe(lifeOf(2, 1));
    expect(new Set(Array.from({ length: 10_000 }, (_, k) => lifeOf(1.7e12 + (k % 100), 1.7e12 + k))).size).toBe(10_000);
  });

  it('nobody knows yet: nothing is read, nothing is lost', () => {
    const p = pair({ met: false });
    send(p.a, p.b, [40, 40]);
    expect(p.linkA.node.far.lifeOf(p.at.a, p.at.farB)).toBe(0);
    p.world.round();
    expect(p.linkA.node.far.inbox.headOf(p.at.a, p.at.farB, DATA)).toBe(0);
    p.world.settle();
    expect(p.b.gotFrom('a1', DATA)).toBe(2);
  });

  it('of the receiver that the sender has not met: what it sent to the one before is not sent again', () => {
    const p = pair();
    send(p.a, p.b, [40, 40]);
    p.world.round();
    p.world.round();
    expect(p.b.gotFrom('a1', DATA)).toBe(2);
    p.world.recreate(p.b);
    for (const node of [p.b, p.linkB.node]) node.look();
    p.world.hello();
    expect(p.linkA.node.far.inbox.headOf(p.at.a, p.at.farB, DATA)).toBe(0);
    p.linkA.pump(65_536, true);
    expect(p.world.wireTo(p.linkB)).toEqual([]);
    p.a.look();
    expect(p.a.bus.outbox.lanes()).toEqual([]);
    send(p.a, p.b, [40]);
    p.world.settle();
    expect(p.world.check()).toEqual([]);
    expect(p.b.gotFrom('a1', DATA)).toBe(3);
  });

  it('that the sender has never met is no exception: the far node may have handled all the same', () => {
    const p = pair({ met: false });
    p.world.hello();
    send(p.a, p.b, [40, 40]);
    p.linkA.pump(65_536);
    expect(p.world.wireTo(p.linkB)).toEqual([]);
    p.a.look();
    p.linkA.pump(65_536);
    expect(p.world.wireTo(p.linkB).length).toBe(1);
  });

  it('of a sender that is over: what had arrived is delivered, then what its next life sends', () => {
    const p = pair();
    send(p.a, p.b, [40, 40]);
    p.linkA.pump(65_536);
    for (const frame of p.world.wireTo(p.linkB).splice(0)) p.linkB.take(frame);
    p.world.recreate(p.a);
    p.world.notice();
    send(p.a, p.b, [40]);
    p.world.settle();
    expect(p.b.gotFrom('a1', DATA)).toBe(3);
    expect(p.world.check()).toEqual([]);
    expect(p.b.wrong).toEqual([]);
  });

  it('of a link that lost its cursors: nothing is sent again', () => {
    const p = pair();
    send(p.a, p.b, [40, 40]);
    p.world.round();
    p.world.round();
    p.world.recreate(p.linkA.node);
    p.world.hello();
    p.linkA.pump(65_536, true);
    expect(p.world.wireTo(p.linkB)).toEqual([]);
    p.world.notice();
    send(p.a, p.b, [40]);
    p.world.settle();
    expect(p.b.gotFrom('a1', DATA)).toBe(3);
    expect(p.world.check()).toEqual([]);
  });

  it('tells the link whose streams begin anew', () => {
    const p = pair();
    const told: unknown[] = [];
    p.linkA.node.far.onForget = (...what) => void told.push(what);
    p.world.recreate(p.b);
    p.world.notice();
    expect(told).toEqual([[undefined, p.at.farB]]);
    told.length = 0;
    p.world.recreate(p.a);
    p.linkA.node.look();
    expect(told).toEqual([[p.at.a, undefined]]);
  });
});

describe('a message to several', () => {
  it('lies once for those of the host, and is a copy for those elsewhere', () => {
    const world = new FarWorld(2);
    world.notice();
    const a = world.node('a1');
    const to = ['a1', 'a2', 'b1', 'b2'].map(name => a.host.directory.byName(name).index);
    const bytes = 4_000;
    a.store.log.begin();
    expect(a.share(to, bytes)).toEqual([]);
    expect(a.share(to, bytes)).toEqual([]);
    a.store.log.commit();
    const lanes = new Map(a.bus.outbox.lanes().map(({ peer, tail }) => [peer, tail]));
    const [block, ref] = [2 * (4 + bytes / 4), 2 * 8];
    expect(lanes).toEqual(
      new Map([[NOBODY, block], ...to.map((peer, k): [number, number] => [peer, k < 2 ? ref : block])]),
    );
    world.settle();
    expect(world.check()).toEqual([]);
    for (const name of ['a1', 'a2', 'b1', 'b2']) expect(world.node(name).gotFrom('a1', DATA)).toBe(2);
    // All have taken them.
    expect(a.bus.outbox.lanes()).toEqual([]);
  });

  it('keeps its place while somebody may still read it; new ones then go to each by itself', () => {
    const world = new FarWorld(2);
    world.notice();
    const [a, slow] = [world.node('a1'), world.node('a2')];
    slow.asleep = true;
    const to = ['a1', 'a2'].map(name => a.host.directory.byName(name).index);
    const rounds = 40;
    for (let k = 0; k < rounds; k++) {
      a.store.log.begin();
      expect(a.share(to, 10_000)).toEqual([]);
      a.store.log.commit();
      for (let n = 0; n < 3; n++) a.turn();
    }
    expect(a.gotFrom('a1', DATA)).toBe(rounds);
    world.settle();
    expect(world.check()).toEqual([]);
    expect(slow.gotFrom('a1', DATA)).toBe(rounds);
  });
});
