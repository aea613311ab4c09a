/* oxlint-disable vitest/no-standalone-expect -- each operation compares while it runs */
/** Sorted maps against a sorted array, on the bed of testing/containers.test-bed.ts. Keys of which a node holds eight make trees
 * of several levels out of a few hundred entries. */
import { sorted, text } from '@lich/schema';
import { describe, expect } from 'vitest';
import {
  asGiven,
  atLeast,
  type Bed,
  code,
  KEYS,
  OPTIONAL,
  type Sort,
  SORTS,
  tryOut,
  type World,
} from '../testing/containers.test-bed.ts';

type Entries = [key: any, value: any][];

/** Keys by number, up to 2^14 of them. */
const ORDERED: Record<string, Sort> = {
  ...KEYS,
  i32: { kind: KEYS.i32!.kind, value: n => (n - 8000) * 0x0002_0001 },
  u32: { kind: KEYS.u32!.kind, value: n => n * 0x0003_0001 },
  int: { kind: KEYS.int!.kind, value: n => (n - 8000) * 2 ** 38 + 0 },
  i64: { kind: KEYS.i64!.kind, value: n => BigInt(n - 8000) * 0x1_0000_0001_0000n },
  u8: { kind: KEYS.u8!.kind, value: n => n % 256 },
  oneOf: { kind: KEYS.oneOf!.kind, value: n => `name ${n % 64}` },
  'text(5)': { kind: KEYS['text(5)']!.kind, value: n => `${n % 2 === 0 ? 'k' : '\u{1F480}'}${n % 1000}` },
  'text(60)': { kind: text(60), value: n => 'x'.repeat(n % 50) + n },
};

function place(key: Sort, world: World, value: any): any {
  if (key.kind.tag === 'oneOf') return key.kind.names.indexOf(value);
  if (key.kind.tag !== 'ref') return value;
  const ref = asGiven(world, value);
  return ref === undefined ? -1 : ref.slot * 2 ** 20 + ref.generation;
}

function sortedBed(key: Sort, sort: Sort): Bed<Entries> {
  return {
    kind: sorted(key.kind, sort.kind),
    empty: () => [],
    plain: model => model,
    apply(real, model, { verb, at, value }, world, put) {
      const order = (k: any) => place(key, world, k);
      /** The first entry that is not below. */
      const find = (list: Entries, k: any): number => {
        const wanted = order(k);
        let lo = 0;
        let hi = list.length;
        while (lo < hi) {
          const mid = (lo + hi) >>> 1;
          if (order(list[mid]![0]) < wanted) lo = mid + 1;
          else hi = mid;
        }
        return lo;
      };
      const isAt = (list: Entries, index: number, k: any) => index < list.length && order(list[index]![0]) === order(k);
      const out = [...model];
      const set = (n: number, m: number) => {
        const k = key.value(n, world);
        const given = sort.value(m, world);
        const stored = real.set(k, given);
        if (sort.change === undefined) expect(asGiven(world, stored)).toEqual(given);
        const index = find(out, k);
        out.splice(index, isAt(out, index, k) ? 1 : 0, [k, given]);
      };
      const remove = (k: any) => {
        const index = find(out, k);
        const has = isAt(out, index, k);
        expect(real.delete(k)).toBe(has);
        if (has) out.splice(index, 1);
      };
      const entry = (e: any) =>
        e && [asGiven(world, e[0]), sort.change === undefined ? asGiven(world, e[1]) : (e[1]?.toJSON() ?? e[1])];
      const n = (at * 401 + value * 59) & 0x3fff;
      const k = model.length > 0 && verb % 2 === 0 ? model[n % model.length]![0] : key.value(n, world);
      const index = find(model, k);
      const has = isAt(model, index, k);
      expect(real.size).toBe(model.length);
      if (verb < 30) {
        set(n, value);
        return out;
      }
      if (verb < 40) {
        // Runs of keys: up, down, and spread.
        const step = [1, -1, 977][verb % 3]!;
        const count = sort.change === undefined ? value % 100 : value % 12;
        for (let j = 0; j < count; j++) set((n + j * step) & 0x3fff, (value + j) % 256);
        return out;
      }
      if (verb < 60) {
        const view = sort.change === undefined ? undefined : real.get(k);
        remove(k);
        if (view !== undefined) expect(() => JSON.stringify(view)).toThrow(code('STATE_FREED'));
        return out;
      }
      if (verb < 68) {
        // A range of what there is, from its end or its beginning.
        const gone = model.slice(index, index + value).map(e => e[0]);
        if (verb % 2 === 0) gone.reverse();
        for (const one of gone) remove(one);
        return out;
      }
      if (verb < 69) {
        real.clear();
        return [];
      }
      if (verb < 71) {
        const all = model.filter((_, j) => j % 3 === 0).reverse();
        put(all);
        return all.reverse();
      }
      if (verb < 72) {
        put(real);
        return model;
      }
      if (verb < 80) {
        expect(real.has(k)).toBe(has);
        if (has) expect(entry([k, real.get(k)])).toEqual(model[index]);
        else expect(real.get(k)).toBeUndefined();
        expect(real.rank(k)).toBe(index);
        expect(entry(real.ceil(k))).toEqual(model[index]);
        expect(entry(real.floor(k))).toEqual(has ? model[index] : model[index - 1]);
        expect(entry(real.at(index))).toEqual(model[index]);
        expect(entry(real.at(-1 - index))).toEqual(model.at(-1 - index));
        expect(entry(real.first)).toEqual(model[0]);
        expect(entry(real.last)).toEqual(model.at(-1));
        return model;
      }
      if (verb < 90) {
        if (sort.change === undefined || !has) return model;
        const view = real.get(k);
        out[index] = [k, sort.change(view, model[index]![1], value)];
        if (view !== undefined) expect(real.get(k)).toBe(view);
        return out;
      }
      const other = key.value((n * 7 + value) & 0x3fff, world);
      const [from, to] = order(k) <= order(other) ? [k, other] : [other, k];
      const part = model.slice(find(model, from), find(model, to));
      const [low, high] = from === undefined || to === undefined ? [undefined, undefined] : [from, to];
      if (low === undefined) return model;
      expect([...real.range({ from: low, to: high })].map(entry)).toEqual(part);
      expect([...real.range({ from: low, to: high, reverse: true })].map(entry)).toEqual(part.reverse());
      if (verb > 97) {
        expect([...real.range({ to: high, reverse: verb === 98 })].map(entry).length).toBe(find(model, to));
        expect([...real.keys()].map(one => asGiven(world, one))).toEqual(model.map(e => e[0]));
        expect([...real].map(entry)).toEqual(model);
        expect([...real.values()].length).toBe(model.length);
      }
      return model;
    },
  };
}

// Runs of sets and deletes are counted as one operation.
describe('sorted', () => {
  atLeast(100_000);
  for (const name of Object.keys(ORDERED)) tryOut(`from ${name}`, sortedBed(ORDERED[name]!, SORTS.i32!), 18);
  for (const name of ['text(6)', 'text()', 'bytes()', 'int', 'ref'])
    tryOut(`to ${name}`, sortedBed(ORDERED.int!, SORTS[name]!), 6);
  for (const name of ['Plain', 'Part', 'list(text())'])
    tryOut(`to ${name}`, sortedBed(ORDERED['text(60)']!, SORTS[name]!), 6);
  for (const name of Object.keys(OPTIONAL)) tryOut(`to ${name}`, sortedBed(ORDERED['text()']!, OPTIONAL[name]!), 6);
});
