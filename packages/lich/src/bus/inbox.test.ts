/** The receiving side alone: what it does with lanes whose bytes are not what a sender writes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LaneNode, settle } from '../testing/lane-node.ts';
import { OUT_BLOCK, OUT_SIZE, OUT_TAIL } from './lanes-layout.ts';

/** Nodes 0 and 2 have sent three messages to node 1. */
function world(): [LaneNode, LaneNode, LaneNode] {
  const cluster: LaneNode[] = [];
  for (let k = 0; k < 3; k++) new LaneNode(cluster, k).start();
  for (const k of [0, 2]) {
    const n = cluster[k]!;
    n.store.log.begin();
    for (let m = 0; m < 3; m++) n.send(1, 40);
    n.store.log.commit();
    n.publish();
  }
  return cluster as [LaneNode, LaneNode, LaneNode];
}

const entryOf = (n: LaneNode) => n.O.regions.get('out')!.offset / 4;
const ringOf = (n: LaneNode) => n.O.i32[entryOf(n) + OUT_BLOCK]!;

describe('a lane that cannot be', () => {
  it.each<[string, RegExp, (n: LaneNode) => void]>([
    ['a record of no words', /record of 0 words/, n => (n.O.i32[ringOf(n) + 16] = 0)],
    ['a record of a negative length', /record of -16 words/, n => (n.O.i32[ringOf(n) + 16] = -16)],
    ['a record that is not aligned', /record of 17 words/, n => (n.O.i32[ringOf(n) + 16] = 17)],
    [
      'a record beyond the tail',
      /record of 64 words at position 16, 32 words before the tail/,
      n => (n.O.i32[ringOf(n) + 16] = 64),
    ],
    ['a ring outside of the data region', /not inside the data region/, n => (n.O.i32[entryOf(n) + OUT_BLOCK] = 12)],
    ['a ring behind the segment', /not inside the data region/, n => (n.O.i32[entryOf(n) + OUT_BLOCK] = 0x7fff_0000)],
    [
      'a ring of a size that is no power of two',
      /not inside the data region/,
      n => (n.O.i32[entryOf(n) + OUT_SIZE] = 16_383),
    ],
    ['a ring of a negative size', /not inside the data region/, n => (n.O.i32[entryOf(n) + OUT_SIZE] = -16_384)],
    [
      'a tail more than a ring ahead',
      /record of 16 words at position 0, 1000000 words before the tail/,
      n => (n.O.i32[entryOf(n) + OUT_TAIL] = 1_000_000),
    ],
  ])('%s: a coded error, once; other senders unharmed', (_, message, harm) => {
    const [a, b, c] = world();
    harm(a);
    b.drain(0);
    const got = b.gotFrom(0);
    expect(b.corrupt.map(({ code }) => code)).toEqual(['BUS_CORRUPT_LANE']);
    expect(b.corrupt[0]!.message).toMatch(message);
    b.drain(0);
    b.drain(0);
    expect(b.corrupt.length).toBe(1);
    expect(b.gotFrom(0)).toBe(got);
    b.drain(2);
    expect(b.gotFrom(2)).toBe(3);
    expect(b.wrong).toEqual([]);
    expect(b.check()).toEqual([]);
    b.publish();
    expect(c.check()).toEqual([]);
    // The next life of the receiver looks again: by then the sender may be sound.
    a.O.i32[entryOf(a)] = 0;
    a.restart();
    a.O.i32.copyWithin(ringOf(a) + 16, ringOf(a), ringOf(a) + 1);
    b.restart();
    b.corrupt.length = 0;
    expect(settle([a, b, c])).toEqual([]);
  });

  it('random bytes in a sender: never a crash, and the others come through', () => {
    const word = fc.oneof(fc.constantFrom(0, 1, -1, 16, 0x4000, 0x10000, 0x7fff_ffff, -0x8000_0000), fc.integer());
    fc.assert(
      fc.property(
        fc.array(fc.record({ place: fc.constantFrom('out', 'ring'), at: fc.nat(40), value: word }), {
          minLength: 1,
          maxLength: 12,
        }),
        harms => {
          const [a, b, c] = world();
          for (const { place, at, value } of harms)
            a.O.i32[
              (place === 'out'
                ? entryOf(a)
                : ringOf(a) < 0
                  ? entryOf(a)
                  : Math.min(ringOf(a) >>> 0, a.O.i32.length - 64)) + at
            ] = value;
          for (let k = 0; k < 3; k++) b.drain(0, 100);
          expect(b.corrupt.length).toBeLessThanOrEqual(1);
          b.drain(2);
          expect(b.gotFrom(2)).toBe(3);
          expect(b.check()).toEqual([]);
          b.publish();
          // The receiver's own sending goes on.
          b.store.log.begin();
          b.send(2, 40);
          b.store.log.commit();
          b.publish();
          c.drain(1);
          expect(c.gotFrom(1)).toBe(1);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('a record that has to wait', () => {
  it('stays the next one, and nothing of its transaction is left', () => {
    const [, b] = world();
    b.hold = (_, n) => n === 2;
    expect(b.drain(0)).toBe(1);
    expect(b.drain(0)).toBe(0);
    const before = Buffer.from(b.S.u8.slice(b.S.regions.get('root')!.offset));
    expect(b.drain(0)).toBe(0);
    expect(Buffer.from(b.S.u8.slice(b.S.regions.get('root')!.offset)).equals(before)).toBe(true);
    expect(b.gotFrom(0)).toBe(1);
    b.hold = () => false;
    expect(b.drain(0)).toBe(2);
    expect(b.wrong).toEqual([]);
  });

  it('does not keep other senders waiting, and is not suspected while it waits', () => {
    const [, b] = world();
    b.hold = sender => sender === 0;
    b.S.i32[1024 + 32] = 3;
    b.drain(0);
    expect(b.S.i32[1024 + 32]).toBe(3);
    expect(b.drain(2)).toBe(3);
    expect(b.S.i32[1024 + 32]).toBe(3);
  });

  it('names the sender and the committed position while a record is handled', () => {
    const [, b] = world();
    const seen: number[][] = [];
    b.onMessage = () => void seen.push([b.S.i32[1024 + 32]!, b.S.i32[1024 + 33]!]);
    b.S.i32[1024 + 32] = 2;
    b.drain(2);
    expect(seen).toEqual([
      [(3 << 8) | 2, 0],
      [(3 << 8) | 2, 16],
      [(3 << 8) | 2, 32],
    ]);
  });
});

describe('batches', () => {
  it('handle at most that many, over the seams between lanes too', () => {
    const cluster: LaneNode[] = [];
    for (let k = 0; k < 2; k++) new LaneNode(cluster, k).start();
    const [a, b] = cluster as [LaneNode, LaneNode];
    a.store.log.begin();
    let sent = 0;
    while (a.send(1, 9_000)) sent++;
    a.store.log.commit();
    a.publish();
    expect(a.outbox.lanes().length).toBe(2);
    for (let got = 0; got < sent; got += 3) {
      expect(b.drain(0, 3)).toBe(Math.min(3, sent - got));
      expect(b.gotFrom(0)).toBe(Math.min(sent, got + 3));
    }
    expect(b.drain(0, 3)).toBe(0);
    expect(b.wrong).toEqual([]);
    b.publish();
    expect(b.O.i32[b.O.regions.get('in')!.offset / 4]).toBe(a.outbox.lanes().at(-1)!.tail);
  });
});
