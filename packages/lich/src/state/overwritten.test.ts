/** Lists, maps and sets of which a word was overwritten, by whatever writes where it must not: whoever uses them comes to an
 * end, with values or with a coded error, and what they did is undone. */
import { CodedError, i32, int, list, map, set, state, struct, text, u32 } from '@lich/schema';
import { beforeEach, describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, plain, type Store, storePlan } from './index.ts';

class Part extends struct({ n: i32, name: text() }) {}
const Schema = state({
  row: list(u32),
  short: list(u32, 24),
  parts: list(Part),
  map: map(int, i32),
  few: map(u32, i32, 24),
  named: map(text(8), Part),
  set: set(int),
  fewer: set(text(8), 24),
});
const plan = storePlan(Schema, { logWords: 1 << 17, heapBytes: 1 << 20 });
const MOST = 2_000;
class Endless extends Error {}
/** Elements that are added, and taken away again. */
const [ADDED, GONE] = process.env.LICH_SOAK ? [22, 5] : [7, 2];
const WRONG = process.env.LICH_SOAK ? [0, 1, 2, 3, 5, 19, 40, 0x7fff_ffff, 0xffff_ffff] : [1, 5, 0xffff_ffff];

let store: Store<any>;
let s: any;
let words: Uint32Array;
beforeEach(() => {
  const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
  store = openStore(segment, plan) as unknown as Store<any>;
  s = store.state;
  words = segment.u32;
});

/** Come to an end, or say that it does not. */
function bounded(values: Iterable<unknown>): void {
  let n = 0;
  for (const _ of values) if (n++ > MOST) throw new Endless();
}

type Ops = Record<string, (c: any) => void>;
const LIST: Ops = {
  walk: c => bounded(c),
  forEach: c => {
    let n = 0;
    c.forEach(() => {
      if (n++ > MOST) throw new Endless();
    });
  },
  at: c => [0, 3, 9, 14, 19, -2].map(k => c.at(k)),
  ends: c => [c.first, c.last],
  cursors: c => {
    let n = 0;
    for (let at = c.cursor(0); at !== undefined; at = c.next(at)) if (n++ > MOST) throw new Endless();
    for (let at = c.cursor(c.length - 1); at !== undefined; at = c.prev(at)) if (n++ > MOST) throw new Endless();
  },
  find: c => c.remove(() => false),
  pop: c => [c.pop(), c.pop(), c.pop()],
  shift: c => [c.shift(), c.shift(), c.shift()],
  clear: c => c.clear(),
};
const KEYED: Ops = {
  walk: c => bounded(c),
  keys: c => bounded(c.keys()),
  clear: c => c.clear(),
};
const number = (k: number): number => k * 7;
const name = (k: number): string => `k${k}`;
const withKeys = (key: (k: number) => unknown): Ops => ({
  ...KEYED,
  has: c => Array.from({ length: 40 }, (_, k) => c.has(key(k))),
  delete: c => Array.from({ length: 20 }, (_, k) => c.delete(key(k))),
});
const value = (k: number): unknown => ({ n: k, name: `part ${k}` });
const CASES: Record<string, { fill: (c: any, k: number) => void; gone: (c: any, k: number) => void; ops: Ops }> = {
  row: {
    fill: (c, k) => c.push(k),
    gone: c => c.shift(),
    ops: { ...LIST, push: c => c.push(1), unshift: c => c.unshift(2) },
  },
  short: { fill: (c, k) => c.push(k), gone: c => c.shift(), ops: { ...LIST, push: c => c.push(1) } },
  parts: { fill: (c, k) => c.push(value(k)), gone: c => c.shift(), ops: { ...LIST, push: c => c.push(value(1)) } },
  map: {
    fill: (c, k) => c.set(number(k), k),
    gone: (c, k) => c.delete(number(k)),
    ops: { ...withKeys(number), set: c => c.set(9_999, 1) },
  },
  few: {
    fill: (c, k) => c.set(number(k), k),
    gone: (c, k) => c.delete(number(k)),
    ops: { ...withKeys(number), set: c => c.set(9_999, 1) },
  },
  named: {
    fill: (c, k) => c.set(name(k), value(k)),
    gone: (c, k) => c.delete(name(k)),
    ops: { ...withKeys(name), set: c => c.set('new', value(1)) },
  },
  set: {
    fill: (c, k) => c.add(number(k)),
    gone: (c, k) => c.delete(number(k)),
    ops: { ...withKeys(number), add: c => c.add(9_999) },
  },
  fewer: {
    fill: (c, k) => c.add(name(k)),
    gone: (c, k) => c.delete(name(k)),
    ops: { ...withKeys(name), add: c => c.add('new') },
  },
};

describe('a word is overwritten', () => {
  for (const [field, { fill, gone, ops }] of Object.entries(CASES)) {
    it(`in ${field}`, () => {
      const c = s[field];
      const { log } = store;
      const before = words.slice();
      log.begin();
      for (let k = 0; k < ADDED; k++) fill(c, k);
      for (let k = 0; k < GONE; k++) gone(c, k);
      log.commit();
      const end = store.segment.regions.get('log')!;
      const inLog = (word: number): boolean => word * 4 >= end.offset && word * 4 < end.offset + end.bytes;
      const first = store.segment.regions.get('root')!.offset / 4;
      const its: number[] = [];
      for (let word = first; word < words.length; word++)
        if (words[word] !== before[word] && !inLog(word)) its.push(word);
      expect(its.length).toBeGreaterThan(20);
      const sound = words.slice();
      const held = plain(s);
      let refused = 0;
      for (const word of its)
        for (const wrong of [...WRONG, sound[word]! + 1])
          for (const [what, op] of Object.entries(ops)) {
            const about = `${what} after word ${word} became ${wrong}, was ${sound[word]}`;
            log.begin();
            words[word] = wrong;
            try {
              op(c);
            } catch (error) {
              if (error instanceof Endless) throw new Error(about, { cause: error });
              // A text whose length is overwritten is refused by who decodes it.
              if (error instanceof CodedError && error.code === 'STATE_CORRUPT') refused++;
            }
            words[word] = wrong;
            log.rollback();
            words[word] = sound[word]!;
          }
      expect(refused).toBeGreaterThan(20);
      // What was undone is there; memory that no commit leads to may hold anything.
      expect(plain(s)).toEqual(held);
      // The heap's own words are among them: with these wrong it writes to what it takes for fresh, which is not logged.
      expect(store.check().filter(({ where }) => where !== 'heap')).toEqual([]);
    });
  }
});
