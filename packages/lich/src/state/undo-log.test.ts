import { i32, f64, pool, state, struct, text, u32, array } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, storePlan } from './index.ts';
import { COM_POS, COMMIT_NO, LOG_POS } from './words.ts';

class Cell extends struct({ n: i32, d: f64, name: text(2000) }) {}
const Schema = state({ cells: pool(Cell, { capacity: 4 }), n: i32, words: array(u32, 2000) });
const plan = storePlan(Schema, { logWords: 1 << 12 });

function open(bytes?: Uint8Array, writable = true) {
  const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog, writable, ...(bytes && { bytes }) });
  const store = openStore(segment, plan);
  const rootWord = segment.regions.get('root')!.offset / 4;
  return { segment, store, log: store.log, s: store.state, rootWord, I: segment.i32 };
}
const code = (value: string) => expect.objectContaining({ code: value });

describe('undo log', () => {
  it('writes an entry of index and old word, then logPos, as the table says', () => {
    const { log, I, segment, rootWord } = open();
    const base = segment.regions.get('log')!.offset / 4;
    log.begin();
    log.write(rootWord, 7);
    expect([I[base], I[base + 1], I[LOG_POS], I[COM_POS], I[rootWord]]).toEqual([rootWord, 0, 2, 0, 7]);
    log.write(rootWord, 9);
    expect([I[base + 2], I[base + 3], I[LOG_POS]]).toEqual([rootWord, 7, 4]);
    log.commit();
    expect(I[COM_POS]).toBe(4);
    log.begin();
    log.keep(rootWord, 3);
    // Old words, padded to even, then index with the range bit, and the count.
    expect([I[base + 4], I[base + 8], I[base + 9], I[LOG_POS]]).toEqual([9, rootWord | 0x8000_0000, 3, 10]);
    log.rollback();
    expect([I[LOG_POS], I[COM_POS]]).toEqual([10, 10]);
  });

  it('logs a 64-bit value in two entries', () => {
    const { log, I, segment, store } = open();
    log.begin();
    const word = segment.regions.get('root')!.offset / 4 + 2;
    log.writeF64(word, Math.PI);
    expect(I[LOG_POS]).toBe(4);
    expect(segment.f64[word / 2]).toBe(Math.PI);
    log.rollback();
    expect(segment.f64[word / 2]).toBe(0);
    expect(store.check()).toEqual([]);
  });

  it('refuses writes outside a transaction, in a reader, and past the end of the ring', () => {
    const { log, s, rootWord } = open();
    expect(() => (s.n = 1)).toThrow(code('STATE_NO_TRANSACTION'));
    expect(() => log.write(rootWord, 1)).toThrow(code('STATE_NO_TRANSACTION'));
    expect(() => s.cells.create()).toThrow(code('STATE_NO_TRANSACTION'));
    for (const act of [() => log.commit(), () => log.rollback(), () => log.savepoint(), () => log.rollbackTo(0)])
      expect(act).toThrow(code('STATE_NO_TRANSACTION'));
    log.begin();
    expect(() => log.begin()).toThrow(code('STATE_TRANSACTION_OPEN'));
    expect(() => log.nextStamp()).toThrow(code('STATE_TRANSACTION_OPEN'));
    expect(() => log.recover()).toThrow(code('STATE_TRANSACTION_OPEN'));
    s.n = 5;
    log.commit();
    expect(() => (s.n = 1)).toThrow(code('STATE_NO_TRANSACTION'));
    log.begin();
    let writes = 0;
    expect(() => {
      for (;;) {
        s.n = writes;
        writes++;
      }
    }).toThrow(code('STATE_LOG_FULL'));
    expect(writes).toBeGreaterThan(1_700);
    log.rollback();
    expect(s.n).toBe(5);
    const words = s.words;
    log.begin();
    words.set(0, 3);
    expect(() => {
      for (let k = 0; k < 3; k++) words.fill(k);
    }).toThrow(/raise limits.logBytes/);
    // What was cut off in the middle cannot be committed, even if somebody caught the error.
    expect(() => log.commit()).toThrow(code('STATE_LOG_FULL'));
    log.rollback();
    expect(words.get(0)).toBe(0);
    log.begin();
    const here = log.savepoint();
    expect(() => {
      for (let k = 0; k < 3; k++) words.fill(k);
    }).toThrow(code('STATE_LOG_FULL'));
    log.rollbackTo(here);
    expect(() => words.set(0, 1)).toThrow(code('STATE_LOG_FULL'));
    log.rollback();

    const reader = open(undefined, false);
    expect(() => reader.log.begin()).toThrow(code('STATE_READ_ONLY'));
    expect(() => (reader.s.n = 1)).toThrow(code('STATE_READ_ONLY'));
    expect(() => reader.store.recover()).toThrow(code('STATE_READ_ONLY'));
  });

  it('runs many times around the ring, and around 2^32 positions', () => {
    const { log, s, I, store } = open();
    I[LOG_POS] = I[COM_POS] = -400;
    for (let k = 0; k < 3_000; k++) {
      log.begin();
      s.n = k;
      if (k === 0) s.cells.create();
      s.cells.get(0)!.name = 'x'.repeat(k % 900);
      s.cells.get(0)!.d = k / 3;
      if (k % 5 === 4) log.rollback();
      else log.commit();
    }
    expect(s.n).toBe(2_998);
    expect(s.cells.get(0)!.name.length).toBe(2_998 % 900);
    expect(I[LOG_POS]).toBeGreaterThan(0);
    expect(store.check()).toEqual([]);
  });

  it('splits long ranges, and undoes them', () => {
    const { log, s } = open();
    log.begin();
    const c = s.cells.create({ name: 'a'.repeat(2000) });
    log.commit();
    log.begin();
    c.name = 'b'.repeat(1999);
    const here = log.savepoint();
    c.name = 'c'.repeat(1500);
    log.rollbackTo(here);
    expect(c.name).toBe('b'.repeat(1999));
    log.rollback();
    expect(c.name).toBe('a'.repeat(2000));
  });

  it('takes savepoints apart, also the same one twice, and refuses foreign ones', () => {
    const { log, s } = open();
    log.begin();
    s.n = 1;
    const one = log.savepoint();
    s.n = 2;
    const two = log.savepoint();
    s.n = 3;
    log.rollbackTo(two);
    expect(s.n).toBe(2);
    s.n = 4;
    log.rollbackTo(one);
    expect(s.n).toBe(1);
    s.n = 5;
    log.rollbackTo(one);
    expect(s.n).toBe(1);
    s.n = 6;
    log.commit();
    expect(s.n).toBe(6);
    log.begin();
    expect(() => log.rollbackTo(one)).toThrow(TypeError);
    log.rollback();
    expect(s.n).toBe(6);
  });

  it('tells who derived something from words that it was undone', () => {
    const { log, s, store } = open();
    let told = 0;
    store.onRollback(() => told++);
    log.begin();
    const here = log.savepoint();
    s.n = 1;
    log.rollbackTo(here);
    expect(told).toBe(1);
    log.rollback();
    expect(told).toBe(2);
  });

  it('recovers: undone, closed, a number that is not used again; twice is once', () => {
    const first = open();
    first.log.begin();
    first.s.n = 1;
    first.log.commit();
    first.log.begin();
    first.s.n = 2;
    first.s.cells.create({ n: 3 });
    const again = open(new Uint8Array(first.segment.buffer));
    const commitNo = again.log.commitNo;
    const stamp = again.log.stamp;
    expect(again.store.recover().undone).toBeGreaterThan(10);
    expect([again.s.n, again.s.cells.size]).toEqual([1, 0]);
    expect(again.log.commitNo).toBe(commitNo + 1);
    expect(again.log.stamp).toBe(stamp + 1);
    expect(again.store.recover()).toEqual({ undone: 0 });
    expect(again.store.check()).toEqual([]);
  });

  it('refuses a log that no Lich writes, and leaves the segment as it was', () => {
    const made = open();
    made.log.begin();
    made.s.n = 2;
    made.log.keep(made.rootWord, 5);
    made.s.n = 3;
    const good = new Uint8Array(made.segment.buffer).slice();
    const base = made.segment.regions.get('log')!.offset / 4;
    const logPos = made.I[LOG_POS];
    expect(() => open(good).log.recover()).not.toThrow();
    const damage: [string, (I: Int32Array, F: Float64Array) => void][] = [
      ['odd logPos', I => (I[LOG_POS] += 1)],
      ['odd comPos', I => (I[COM_POS] += 1)],
      ['comPos beyond logPos', I => (I[COM_POS] = I[LOG_POS] + 2)],
      ['more than the ring', I => (I[LOG_POS] = I[COM_POS] + 2 ** 20)],
      ['index in the header', I => (I[base + logPos - 2] = 3)],
      ['index in the words', I => (I[base + logPos - 2] = LOG_POS)],
      ['index past the end', I => (I[base + logPos - 2] = made.segment.sizeBytes / 4)],
      ['range past the end', I => (I[base + logPos - 2] = (made.segment.sizeBytes / 4 - 1) | 0x8000_0000)],
      [
        'range that is too long',
        I => void ((I[base + logPos - 2] = made.rootWord | 0x8000_0000), (I[base + logPos - 1] = 1000)),
      ],
      [
        'range before comPos',
        I => void ((I[base + logPos - 2] = made.rootWord | 0x8000_0000), (I[base + logPos - 1] = 100)),
      ],
      ['commitNo', (_, F) => (F[COMMIT_NO / 2] = Number.NaN)],
    ];
    for (const [what, change] of damage) {
      const bytes = good.slice();
      change(new Int32Array(bytes.buffer), new Float64Array(bytes.buffer));
      const bad = open(bytes);
      expect(() => bad.log.recover(), what).toThrow(code('STATE_CORRUPT'));
      expect(Buffer.from(bad.segment.buffer).equals(Buffer.from(bytes)), what).toBe(true);
    }
  });

  it('draws lines between stamps, also over 2^32', () => {
    const { log, s, I } = open();
    const seen = (since: number) => {
      const out: number[] = [];
      (s.cells as unknown as { changedSince(since: number, visit: (slot: number) => void): void }).changedSince(
        since,
        (slot: number) => out.push(slot),
      );
      return out;
    };
    log.begin();
    const [a, b] = [s.cells.create(), s.cells.create()];
    log.commit();
    const line = log.nextStamp();
    expect(seen(0)).toEqual([0, 1]);
    expect(seen(line)).toEqual([]);
    log.begin();
    b.n = 3;
    log.commit();
    expect(seen(line)).toEqual([1]);
    log.begin();
    a.n = 1;
    log.rollback();
    expect(seen(line)).toEqual([1]);
    log.begin();
    s.cells.destroy(a);
    log.commit();
    expect(seen(line)).toEqual([0, 1]);
    I[LOG_POS + 128] = -1; // stampLo
    const over = log.nextStamp();
    expect(over).toBe(2 ** 32 + 16);
    expect(seen(over)).toEqual([]);
    log.begin();
    b.d = 1;
    log.commit();
    expect(seen(over)).toEqual([1]);
  });
});
