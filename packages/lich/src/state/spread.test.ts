/** Spreads in virtual time: even parts, outages, kills, keys. Random ones are in pool.prop.test.ts. */
import { int, pool, state, struct } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, type Store, storePlan } from './index.ts';
import { NOW } from './words.ts';

class Unit extends struct({ n: int, seen: int }) {}
const Schema = state({ units: pool(Unit) });
const plan = storePlan(Schema, { logWords: 1 << 18, heapBytes: 1 << 20 });
const parts = { regions: plan.regions, catalog: plan.catalog };

class Game {
  segment = memorySegment(parts);
  store: Store<any> = openStore(this.segment, plan) as Store<any>;

  constructor(units: number) {
    this.store.recover();
    this.do(() => {
      for (let n = 0; n < units; n++) this.units.create({ n });
    });
  }
  get units(): any {
    return this.store.state.units;
  }
  do(fn: () => void): void {
    this.store.log.begin();
    fn();
    this.store.log.commit();
  }
  /** One tick, `ms` after the last. @returns how many were visited */
  tick(ms: number, every = 1_000, fn: (unit: Unit) => void = () => {}): number {
    this.segment.f64[NOW >> 1]! += ms;
    let visited = 0;
    this.do(() =>
      this.units.spread(every, (unit: Unit) => {
        visited++;
        fn(unit);
      }),
    );
    return visited;
  }
  kill(): void {
    this.segment = memorySegment({ ...parts, bytes: new Uint8Array(this.segment.buffer) });
    this.store = openStore(this.segment, plan) as Store<any>;
    this.store.recover();
  }
}

/** Ticks of 60 Hz as service time has them: whole milliseconds. */
const frame = (k: number) => Math.floor(((k + 1) * 1000) / 60) - Math.floor((k * 1000) / 60);

describe('spread', () => {
  it('visits an even part in each frame, and each once a period', () => {
    const game = new Game(1_000);
    game.tick(0);
    for (let round = 1; round <= 3; round++) {
      const counts: number[] = [];
      for (let k = 0; k < 60; k++) counts.push(game.tick(frame(k), 1_000, unit => void unit.seen++));
      expect(counts.reduce((a, b) => a + b)).toBe(1_000);
      expect(Math.max(...counts)).toBeLessThanOrEqual(18);
      expect(Math.min(...counts)).toBeGreaterThanOrEqual(15);
      for (const unit of game.units) expect(unit.seen).toBe(round);
    }
    expect(game.store.check()).toEqual([]);
  });

  it('has a few take turns over the whole period', () => {
    const game = new Game(5);
    game.tick(0);
    const counts = Array.from({ length: 60 }, (_, k) => game.tick(frame(k)));
    expect(counts.reduce((a, b) => a + b)).toBe(5);
    expect(Math.max(...counts)).toBe(1);
    expect(counts.indexOf(1)).toBeGreaterThan(5);
    expect(counts.indexOf(1)).toBeLessThan(15);
  });

  it('does not make up for an outage: a call counts four steps at most', () => {
    const game = new Game(1_000);
    for (let k = 0; k < 31; k++) game.tick(17);
    game.kill();
    expect(game.tick(60_000)).toBeLessThanOrEqual(4 * 17 + 2);
    expect(game.tick(17)).toBeLessThanOrEqual(18);
    // What is left of the round takes its time.
    let visited = 0;
    for (let k = 0; k < 20; k++) visited += game.tick(17);
    expect(visited).toBeLessThan(360);
  });

  it('goes on after a kill where it stood', () => {
    const game = new Game(300);
    for (let k = 0; k < 31; k++) game.tick(17, 1_000, unit => void unit.seen++);
    const seen = [...game.units].filter((unit: any) => unit.seen === 1).length;
    expect(seen).toBeGreaterThan(140);
    // In the middle of a tick: it never was.
    game.segment.f64[NOW >> 1]! += 17;
    game.store.log.begin();
    game.units.spread(1_000, (unit: any) => void unit.seen++);
    game.kill();
    expect([...game.units].filter((unit: any) => unit.seen === 1).length).toBe(seen);
    for (let k = 0; k < 28; k++) game.tick(17, 1_000, unit => void unit.seen++);
    expect([...game.units].map((unit: any) => unit.seen)).toEqual(Array.from({ length: 300 }, () => 1));
  });

  it('follows a slower rate of ticks', () => {
    const game = new Game(100);
    for (let k = 0; k < 10; k++) game.tick(16, 10_000);
    let visited = 0;
    for (let k = 0; k < 30; k++) visited += game.tick(1_000, 10_000);
    expect(visited).toBeGreaterThan(200);
  });

  it('visits all in each call when the period is shorter than a tick, none twice', () => {
    const game = new Game(70);
    game.tick(0, 5);
    for (let k = 0; k < 5; k++) {
      const seen = new Set<number>();
      expect(game.tick(17, 5, unit => void seen.add(unit.n))).toBe(70);
      expect(seen.size).toBe(70);
    }
  });

  it('takes one call a tick of each, tells them apart by period and name', () => {
    const game = new Game(3);
    game.do(() => {
      const { units } = game;
      units.spread(100, () => {});
      units.spread(200, () => {});
      units.spread(100, () => {}, 'other');
      const twice = expect.objectContaining({ code: 'STATE_SPREAD', message: expect.stringContaining("'other'") });
      expect(() => units.spread(100, () => {}, 'other')).toThrow(twice);
    });
    game.tick(1, 100);
    expect(() => game.tick(1, 0)).toThrow(RangeError);
    game.store.log.rollback();
    expect(() => game.tick(1, Number.NaN)).toThrow(RangeError);
    game.store.log.rollback();
  });

  it('has room for eight; one that is not called any more makes room', () => {
    const game = new Game(3);
    for (let k = 1; k <= 8; k++) game.tick(1, k * 10);
    expect(() => game.tick(1, 90)).toThrow(expect.objectContaining({ code: 'STATE_SPREAD' }));
    game.store.log.rollback();
    for (let k = 2; k <= 8; k++) game.tick(k === 2 ? 60_000 : 0, k * 10);
    game.tick(1, 90);
    expect(() => game.tick(1, 10)).toThrow(expect.objectContaining({ code: 'STATE_SPREAD' }));
    game.store.log.rollback();
    expect(game.store.check()).toEqual([]);
  });

  it('is refused outside a transaction', () => {
    const game = new Game(3);
    expect(() => game.units.spread(100, () => {})).toThrow(expect.objectContaining({ code: 'STATE_NO_TRANSACTION' }));
  });
});
