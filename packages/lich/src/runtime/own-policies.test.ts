/** What becomes of own messages in a crash and in an outage, with a clock that the test sets. */
import { describe, expect, it } from 'vitest';
import { type Name, nothing, World } from '../testing/own-world.ts';
import { MustWait } from './outgoing.ts';
import type { OwnMessages } from './own-messages.ts';

describe("onCrash: 'skip'", () => {
  const post: [string, (own: OwnMessages, name: Name) => unknown][] = [
    ['at once', (own, name) => own.post(name, { n: 1 })],
    ['later', (own, name) => own.after(5, name, { n: 1 })],
    ['with a period', (own, name) => own.every(5, name, { n: 1 })],
  ];

  it.each(post)('%s: killed in its handler it does not run again, and onSkipped runs once', (how, say) => {
    let bytes: Uint8Array | undefined;
    const w = new World({ work: (_, { segment }) => (bytes = segment.u8.slice(0)) });
    w.transact(own => say(own, 'careful'));
    expect(w.run(1_000_005)).toEqual(['careful 1']);
    let next = w.next({ bytes });
    expect([next.store.state.sum, next.store.state.done]).toEqual([0, 0]);
    expect(next.run()).toEqual(['careful 1 skipped: crash']);
    expect([next.store.state.sum, next.store.state.done]).toEqual([0, 1]);
    expect(next.store.state.done).toBe(1);
    // And never again, in the lives after.
    next = next.next();
    expect(next.run()).toEqual([]);
    expect(next.run(1_000_010)).toEqual(how === 'with a period' ? ['careful 1'] : []);
  });

  it.each(post)('%s: one that throws does not run again, and onSkipped runs once', (how, say) => {
    const w = new World({
      work() {
        throw new Error('on purpose');
      },
    });
    w.transact(own => say(own, 'careful'));
    expect(w.run(1_000_005)).toEqual(['careful 1', 'careful 1 skipped: threw']);
    expect([w.store.state.sum, w.store.state.done, w.counts]).toEqual([0, 1, { handled: 0, failed: 1, skipped: 1 }]);
    w.work = nothing;
    expect(w.run(1_000_010)).toEqual(how === 'with a period' ? ['careful 1'] : []);
  });

  it.each(post)('%s: killed while onSkipped runs, that runs again, until it has committed', (_, say) => {
    let bytes: Uint8Array | undefined;
    const w = new World({ work: (_, { segment }) => (bytes = segment.u8.slice(0)) });
    w.transact(own => say(own, 'careful'));
    w.run(1_000_005);
    let next = w.next({ bytes });
    for (let k = 0; k < 3; k++) {
      next.skipped = () => (bytes = next.segment.u8.slice(0));
      next.run();
      expect(next.said).toEqual(['careful 1 skipped: crash']);
      next = next.next({ bytes });
      expect(next.store.state.done).toBe(0);
    }
    next.run();
    expect(next.store.state.done).toBe(1);
  });

  it.each(post)('%s: an onSkipped that throws is undone; the message is gone all the same', (_, say) => {
    const w = new World({
      work() {
        throw new Error('on purpose');
      },
    });
    w.skipped = () => {
      throw new Error('this one too');
    };
    w.transact(own => say(own, 'careful'));
    w.run(1_000_005);
    expect([w.store.state.done, w.counts.failed, w.counts.skipped]).toEqual([0, 2, 1]);
    w.work = nothing;
    expect(w.run(1_000_009)).toEqual([]);
  });

  it.each(post)('%s: one that has to wait, because a lane is full, is handled later: it was not skipped', (_, say) => {
    let waits = 2;
    const w = new World({
      work() {
        if (waits-- > 0) throw new MustWait(1);
      },
    });
    w.transact(own => say(own, 'careful'));
    for (let now = 1_000_005; now < 1_000_009; now++) w.run(now);
    expect([w.store.state.sum, w.counts.handled]).toEqual([0, 0]);
    // A kill while it waits does not skip it either.
    const next = w.next();
    for (let now = 1_000_010; now < 1_000_025; now += 5) next.run(now);
    expect(next.store.state.sum).toBeGreaterThanOrEqual(1);
    expect(next.counts.skipped).toBe(0);
  });

  it('a message that may be retried runs again after a kill', () => {
    let bytes: Uint8Array | undefined;
    const w = new World({ work: (_, { segment }) => (bytes = segment.u8.slice(0)) });
    w.transact(own => own.post('plain', { n: 5 }));
    w.run();
    const next = w.next({ bytes });
    expect(next.run()).toEqual(['plain 5']);
    expect(next.store.state.sum).toBe(5);
  });
});

describe('an outage', () => {
  it("'fire': what fell due in it is handled late, each time of a period too", () => {
    const w = new World();
    w.transact(own => {
      own.after(5, 'plain', { n: 1 });
      own.every(10, 'plain', { n: 2 });
    });
    expect(w.next({ now: 1_000_045 }).run()).toEqual([1, 2, 2, 2, 2].map(n => `plain ${n}`));
  });

  it("'skip': what fell due in it is dropped and said; a period goes on with its next time", () => {
    const w = new World();
    w.transact(own => {
      own.after(5, 'dropped', { n: 1 });
      own.after(100, 'dropped', { n: 2 });
      own.after(101, 'dropped', { n: 3 });
      own.every(10, 'dropped', { n: 4 });
    });
    // Late already when the process ended, at 1_000_006: that is another matter.
    w.now = 1_000_006;
    const next = w.next({ now: 1_000_100 });
    expect(next.run()).toEqual(['dropped 1', 'dropped 2 skipped: outage']);
    expect(next.counts.skipped).toBe(1 + 10);
    expect(next.run(1_000_110)).toEqual(['dropped 3', 'dropped 4']);
    expect(next.run(1_000_120)).toEqual(['dropped 4']);
  });

  it("'shift': the time of an outage does not count for it", () => {
    const w = new World();
    let handle = 0;
    w.transact(own => {
      own.after(50, 'paused', { n: 1 });
      own.after(5_000, 'paused', { n: 2 });
      handle = own.every(20, 'paused', { n: 3 });
      own.after(50, 'plain', { n: 4 });
    });
    expect(w.run(1_000_010)).toEqual([]);
    // 10 ms have passed; then 1,000 ms are lost, and the clock goes on for 5; then 100 ms are lost again.
    let next = w.next({ now: 1_001_010 });
    expect(next.run()).toEqual(['plain 4']);
    expect(next.run(1_001_015)).toEqual([]);
    next = next.next({ now: 1_001_115 });
    expect(next.run(1_001_119)).toEqual([]);
    expect(next.run(1_001_120)).toEqual(['paused 3']);
    expect(next.run(1_001_149)).toEqual(['paused 3']);
    expect(next.run(1_001_150)).toEqual(['paused 1']);
    expect(next.transact(own => own.cancel(handle))).toBe(true);
    expect(next.run(1_006_099)).toEqual([]);
    expect(next.run(1_006_100)).toEqual(['paused 2']);
  });

  it('a message at once was due when it was posted: it is handled', () => {
    const w = new World();
    w.transact(own => {
      own.post('dropped', { n: 1 });
      own.after(0, 'dropped', { n: 2 });
    });
    expect(w.next({ now: 2_000_000 }).run()).toEqual(['dropped 1', 'dropped 2']);
  });

  it('several, and killed before what is late was handled: each message knows whether it fell due in one', () => {
    const dues = Array.from({ length: 400 }, (_, k) => k * 10 + 5);
    let w = new World({ now: 1_000_000 });
    w.transact(own => {
      for (const [n, ms] of dues.entries()) own.after(ms, 'dropped', { n });
    });
    const outages = [
      [100, 300],
      [310, 900],
      [910, 1_400],
      [1_400, 1_405],
      [2_000, 3_000],
    ] as const;
    for (const [from, to] of outages) {
      // The clock goes on, but nothing is handled.
      w.now = 1_000_000 + from;
      w = w.next({ now: 1_000_000 + to });
    }
    const said = w.run(1_010_000);
    const wanted = dues.map((ms, n) =>
      outages.some(([from, to]) => ms > from && ms <= to) ? `dropped ${n} skipped: outage` : `dropped ${n}`,
    );
    expect(said).toEqual(wanted);
  });

  it('that is noted twice, because the life that noted it was killed before its clock moved, counts once', () => {
    const w = new World();
    w.transact(own => own.after(50, 'paused', { n: 1 }));
    const first = w.next();
    first.own.outage(1_000_000, 1_000_500);
    const second = first.next();
    second.own.outage(1_000_000, 1_000_800);
    expect(second.run(1_000_849)).toEqual([]);
    expect(second.run(1_000_850)).toEqual(['paused 1']);
  });

  it('more of them than are kept, while nothing could be handled: none is lost', () => {
    let w = new World();
    w.transact(own => own.after(5, 'dropped', { n: 1 }));
    for (let k = 0; k < 30; k++) {
      w.now += 3;
      w = w.next({ now: w.now + 10 });
    }
    expect(w.run()).toEqual(['dropped 1 skipped: outage']);
  });

  it('skips one that is to be skipped after a crash too, once, for the crash', () => {
    let bytes: Uint8Array | undefined;
    const w = new World({ work: (_, { segment }) => (bytes = segment.u8.slice(0)) });
    w.transact(own => own.after(5, 'both', { n: 1 }));
    w.run(1_000_005);
    expect(w.next({ bytes, now: 1_000_500 }).run()).toEqual(['both 1 skipped: crash']);
  });
});
