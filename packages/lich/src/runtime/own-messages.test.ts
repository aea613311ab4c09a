/** Own messages, with a clock that the test sets: their order, what is cancelled, what other code makes of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { command, int, own, protocol } from '@lich/schema';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { World } from '../testing/own-world.ts';
import { OWN, QUEUED } from './blame.ts';

describe('order', () => {
  it('due time; what was posted for later before what is posted at once; after(0) as if it were posted at once', () => {
    const w = new World({
      work(n, { own }) {
        if (n !== 100) return;
        own.post('plain', { n: 101 });
        own.after(0, 'plain', { n: 102 });
        own.post('plain', { n: 103 });
        own.after(0, 'plain', { n: 104 });
        own.after(0, 'plain', { n: 105 });
        own.post('plain', { n: 106 });
        own.after(1, 'plain', { n: 108 });
      },
    });
    w.transact(own => {
      own.after(5, 'plain', { n: 100 });
      own.after(5, 'plain', { n: 1 });
      own.after(5, 'plain', { n: 2 });
      own.after(4, 'plain', { n: 0 });
    });
    expect(w.run(1_000_004)).toEqual(['plain 0']);
    expect(w.run(1_000_005)).toEqual([100, 1, 2, 101, 102, 103, 104, 105, 106].map(n => `plain ${n}`));
    expect(w.run(1_000_006)).toEqual(['plain 108']);
  });

  it('a fraction of a ms is rounded up: never early', () => {
    const w = new World();
    w.transact(own => {
      own.after(2.1, 'plain', { n: 3 });
      own.after(2, 'plain', { n: 2 });
      own.after(0.001, 'plain', { n: 1 });
    });
    expect(w.run(1_000_000)).toEqual([]);
    expect(w.run(1_000_001)).toEqual(['plain 1']);
    expect(w.run(1_000_002)).toEqual(['plain 2']);
    expect(w.run(1_000_003)).toEqual(['plain 3']);
    w.transact(own => {
      for (const ms of [-1, NaN, Infinity, 1e20]) expect(() => own.after(ms, 'plain', { n: 1 })).toThrow(RangeError);
      for (const ms of [0, -1, 0.5, 1.5, NaN, Infinity])
        expect(() => own.every(ms, 'plain', { n: 1 })).toThrow(RangeError);
    });
    expect(w.own.size).toBe(0);
  });

  /** Handlers post, cancel and post again, in turns and late; held against a sorted array. */
  it('is that of a sorted array, whatever handlers post', () => {
    interface Entry {
      readonly n: number;
      due: number;
      /** Among those of one due time. */
      order: number;
      readonly period: number;
      readonly handle: number;
      readonly isLater: boolean;
    }
    type Step = { readonly wait: number; readonly acts: readonly [kind: number, ms: number][] };
    const steps = fc.array(
      fc.record({
        wait: fc.oneof(fc.nat(3), fc.nat(100), fc.nat(3_000)),
        acts: fc.array(fc.tuple(fc.nat(4), fc.oneof(fc.nat(2), fc.nat(300), fc.nat(100_000))), { maxLength: 8 }),
      }),
      { maxLength: 40, size: 'max' },
    );
    fc.assert(
      fc.property(steps, (all: readonly Step[]) => {
        const entries: Entry[] = [];
        let next = 0;
        const act = ({ own, now }: World, [kind, ms]: readonly [number, number]): void => {
          const n = ++next;
          if (kind === 4) {
            const one = entries.length > 0 ? entries[ms % entries.length]! : undefined;
            if (one === undefined || one.handle === 0) return;
            expect(own.cancel(one.handle)).toBe(true);
            expect(own.cancel(one.handle)).toBe(false);
            entries.splice(entries.indexOf(one), 1);
          } else if (kind === 0) {
            own.post('plain', { n });
            entries.push({ n, due: now, order: n, period: 0, handle: 0, isLater: false });
          } else if (kind === 1) {
            const period = 50 + (ms % 200);
            const handle = own.every(period, 'plain', { n });
            entries.push({ n, due: now + period, order: n, period, handle, isLater: true });
          } else {
            const handle = own.after(ms, 'plain', { n });
            entries.push({ n, due: now + ms, order: n, period: 0, handle, isLater: ms > 0 });
          }
        };
        let left: readonly [number, number][] = [];
        const w = new World({
          work: (n, world) => {
            const firstOf = (some: Entry[]): Entry | undefined =>
              some.sort((a, b) => a.due - b.due || a.order - b.order)[0];
            const queued = firstOf(entries.filter(({ handle }) => handle === 0));
            const timer = firstOf(entries.filter(({ handle }) => handle !== 0));
            const isQueued =
              queued !== undefined &&
              (timer === undefined ||
                queued.due < timer.due ||
                (queued.due === timer.due && !timer.isLater && queued.order < timer.order));
            const first = (isQueued ? queued : timer)!;
            expect(n).toBe(first.n);
            expect(first.due).toBeLessThanOrEqual(world.now);
            if (first.period > 0) Object.assign(first, { due: first.due + first.period, order: ++next });
            else entries.splice(entries.indexOf(first), 1);
            const [one, ...rest] = left;
            left = rest;
            if (one !== undefined) act(world, one);
          },
        });
        for (const { wait, acts } of all) {
          w.transact(() => acts.slice(0, 4).forEach(one => act(w, one)));
          left = acts.slice(4);
          // Where much is late the clock goes on in between.
          for (let turn = 0; w.own.step((w.now += turn === 0 ? wait : 1)) > 0 && turn < 50; turn++);
        }
        expect(w.store.check()).toEqual([]);
        expect(w.own.size).toBe(entries.length);
      }),
      { numRuns: process.env.LICH_SOAK ? 3_000 : 100 },
    );
  });
});

describe('a period', () => {
  it('does not drift, however late its times are handled; one handle all the time', () => {
    const dues: number[] = [];
    const w = new World({ work: (_, world) => void dues.push(world.now) });
    const handle = w.transact(own => own.every(7, 'plain', { n: 1 }));
    let handled = 0;
    for (let now = 1_000_000; now < 1_010_000; now += 1 + ((now * 7919) % 23)) {
      handled += w.run(now).length;
      expect(handled).toBe(Math.floor((now - 1_000_000) / 7));
    }
    expect(w.transact(own => own.cancel(handle))).toBe(true);
    expect(w.own.size).toBe(0);
  });

  it('is ended by its own handler', () => {
    const w = new World({
      work: (n, { own, store }) => void (n === 1 && expect(own.cancel(store.state.handle)).toBe(true)),
    });
    w.transact(own => (w.store.state.handle = own.every(5, 'plain', { n: 1 })));
    expect(w.run(1_000_100)).toEqual(['plain 1']);
    expect(w.own.size).toBe(0);
  });

  it('goes on after a time that throws: that one is undone', () => {
    const w = new World({
      work(_, { store }) {
        if (store.state.sum === 2) throw new Error('the second');
      },
    });
    w.transact(own => own.every(5, 'plain', { n: 1 }));
    w.run(1_000_020);
    expect([w.said.length, w.store.state.sum, w.counts]).toEqual([4, 1, { handled: 1, failed: 3, skipped: 0 }]);
  });
});

describe('cancel', () => {
  it('a handle names one timer, and nothing once that is over', () => {
    const w = new World({ work: (n, { own }) => void (n < 5 && expect(own.cancel(first)).toBe(false)) });
    let first = 0;
    w.transact(own => {
      first = own.after(5, 'plain', { n: 1 });
      const second = own.after(5, 'plain', { n: 2 });
      expect(Number.isSafeInteger(first) && first > 0 && first !== second).toBe(true);
      expect(own.cancel(second)).toBe(true);
      expect(own.cancel(second)).toBe(false);
      expect(own.cancel(0)).toBe(false);
      expect(() => own.cancel(undefined as never)).toThrow(TypeError);
    });
    expect(w.run(1_000_005)).toEqual(['plain 1']);
    w.transact(own => {
      const third = own.after(5, 'plain', { n: 9 });
      expect(third).not.toBe(first);
      expect(own.cancel(first)).toBe(false);
    });
    expect(w.run(1_000_010)).toEqual(['plain 9']);
  });

  it('is undone with what it was part of', () => {
    const w = new World();
    const handle = w.transact(own => own.after(5, 'big', { n: 1, a: 1, b: 2, c: 3, d: 4, level: 5 }));
    const { log } = w.store;
    log.begin();
    w.own.cancel(handle);
    log.rollback();
    log.begin();
    const before = log.savepoint();
    expect(w.own.cancel(handle)).toBe(true);
    w.own.after(1, 'plain', { n: 2 });
    log.rollbackTo(before);
    log.commit();
    expect(w.run(1_000_005)).toEqual(['big 1']);
  });
});

describe('bounds', () => {
  it('limits.timers counts what waits, at once and later', () => {
    const w = new World({ limit: 3 });
    w.transact(own => {
      own.post('plain', { n: 1 });
      own.after(1, 'plain', { n: 2 });
      own.every(1, 'plain', { n: 3 });
      for (const post of [
        () => own.post('plain', { n: 4 }),
        () => own.after(1, 'plain', { n: 4 }),
        () => own.every(1, 'plain', { n: 4 }),
      ])
        expect(post).toThrow(expect.objectContaining({ code: 'RUNTIME_TIMERS_FULL' }));
    });
    expect(w.own.size).toBe(3);
  });

  it('a payload that does not fit leaves nothing, in the heap neither', () => {
    const w = new World();
    const { usedWords } = w.store.heap;
    w.transact(own => {
      const bad = { n: 1, a: 1, b: 2, c: 3, d: 4, level: 999 };
      expect(() => own.post('big', bad)).toThrow(expect.objectContaining({ code: 'SCHEMA_RANGE' }));
      expect(() => own.after(5, 'big', bad)).toThrow(expect.objectContaining({ code: 'SCHEMA_RANGE' }));
    });
    expect(w.own.size).toBe(0);
    expect(w.store.check()).toEqual([]);
    expect(w.store.heap.usedWords).toBe(usedWords);
  });

  it('a heap that is full is a coded error, and what is undone leaves nothing', () => {
    const w = new World();
    const { log } = w.store;
    log.begin();
    expect(() => {
      for (;;) {
        w.own.after(1_000, 'plain', { n: 1 });
        if (w.own.size % 500 === 0) {
          log.commit();
          log.begin();
        }
      }
    }).toThrow(expect.objectContaining({ code: 'STATE_HEAP_FULL' }));
    log.rollback();
    expect(w.own.size % 500).toBe(0);
    expect(w.store.check()).toEqual([]);
    expect(w.run(1_002_000).length).toBeGreaterThan(1_000);
  });
});

describe('whom the last life was handling', () => {
  it('is told apart from what came after it in the same slot, and from other times of one period', () => {
    const w = new World();
    const seen: [number, number, number][] = [];
    const note = () =>
      void seen.push([w.segment.i32[1024 + 32]! >>> 8, w.segment.i32[1024 + 33]!, w.segment.i32[1024 + 34]!]);
    w.work = note;
    w.transact(own => {
      own.post('plain', { n: 1 });
      own.post('plain', { n: 2 });
      own.every(5, 'plain', { n: 3 });
    });
    w.run();
    expect(seen.map(([code]) => code)).toEqual([QUEUED, QUEUED]);
    for (const [code, pos, more] of seen) expect(w.own.isWaiting(code, pos, more)).toBe(false);
    w.run(1_000_010);
    expect(seen.slice(2).map(([code]) => code)).toEqual([OWN, OWN]);
    expect(seen[2]![1]).toBe(seen[3]![1]);
    for (const [code, pos, more] of seen) expect(w.own.isWaiting(code, pos, more)).toBe(false);
    // A kill inside: it is still to be handled.
    let waits: boolean | undefined;
    w.work = (_, world) => {
      const next = world.next({ bytes: world.segment.u8.slice(0) });
      waits = next.own.isWaiting(OWN, next.segment.i32[1024 + 33]!, next.segment.i32[1024 + 34]!);
    };
    w.run(1_000_015);
    expect(waits).toBe(true);
  });
});

describe('code with other messages', () => {
  afterEach(removeTestDirs);

  it('finds its own again, in whatever order; what it does not have, or has with other fields, is set aside', () => {
    const dir = testDir();
    const before = protocol({ a: own({ n: int }), b: own({ n: int }), c: own({ n: int }), gone: own({ n: int }) });
    const after = protocol({ x: command({}), c: own({ n: int }), b: own({ n: int, more: int }), a: own({ n: int }) });
    const w = new World({ protocol: before, dir });
    w.transact(own => {
      for (const [n, name] of ['a', 'b', 'c', 'gone'].entries()) {
        own.post(name, { n });
        own.after(5, name, { n: n + 10 });
      }
    });
    const next = new World({ protocol: after, dir, bytes: w.segment.u8.slice(0) });
    expect(next.run(1_000_005)).toEqual(['a 0', 'c 2', 'a 10', 'c 12']);
    const folders = readdirSync(`${dir}/quarantine`);
    const aside = folders.map(id => JSON.parse(readFileSync(`${dir}/quarantine/${id}/entry.json`, 'utf8')));
    const numbers = aside.map(({ payload }) => Buffer.from(payload as string, 'base64').readDoubleLE(0));
    expect(numbers.sort((a, b) => a - b)).toEqual([1, 3, 11, 13]);
    // Both ways, and with new ones in between.
    next.transact(own => {
      own.post('b', { n: 20, more: 1 });
      own.post('c', { n: 21 });
    });
    const third = new World({ protocol: after, dir, bytes: next.segment.u8.slice(0) });
    third.transact(own => own.post('a', { n: 22 }));
    expect(third.run()).toEqual(['b 20', 'c 21', 'a 22']);
    third.transact(own => own.post('c', { n: 30 }));
    const back = new World({ protocol: before, dir, bytes: third.segment.u8.slice(0) });
    back.transact(own => own.post('gone', { n: 31 }));
    expect(back.run()).toEqual(['c 30', 'gone 31']);
  });
});
