import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { ASLEEP_LOOP, Bells, Doorbell } from './doorbell.ts';
import { ShmError } from './errors.ts';

let dir: string;
const closing: { close(): void }[] = [];
const bells = (maxNodes?: number) => {
  const made = Bells.open(dir, maxNodes);
  closing.push(made);
  return made;
};
const taken = (on: Bells, self: number) => {
  const out: number[] = [];
  expect(on.takeReady(self, sender => out.push(sender))).toBe(out.length);
  return out;
};

beforeEach(() => {
  dir = testDir();
});
afterEach(() => {
  for (const one of closing.splice(0).reverse()) one.close();
  removeTestDirs();
});

test.each([1, 31, 32, 33, 256, 513])('ready bits reach their row and no other, %i nodes', maxNodes => {
  const one = bells(maxNodes);
  const two = bells(maxNodes);
  const last = maxNodes - 1;
  const senders = [...new Set([0, 1, 31, 32, 63, 64, last])].filter(at => at <= last).sort((a, b) => a - b);
  for (const sender of senders) {
    one.setReady(last, sender);
    one.setReady(last, sender);
  }
  expect(two.anyReady(last)).toBe(true);
  expect(last > 0 && two.anyReady(last - 1)).toBe(false);
  expect(taken(two, last)).toEqual(senders);
  expect(taken(two, last)).toEqual([]);
});

test('a claimed index is awake and looks at everybody once', () => {
  const one = bells(40);
  one.arm(3);
  one.claim(3);
  expect(one.isArmed(3)).toBe(false);
  expect(taken(one, 3)).toEqual(Array.from({ length: 40 }, (_, i) => i));
  expect(() => one.claim(40)).toThrow(RangeError);
});

test('only the first ringer of a sleeper pays for the call', () => {
  const one = bells();
  const two = bells();
  expect(two.ring(5)).toBe(false);
  one.arm(5);
  const seen = one.rings(5);
  expect([two.ring(5), two.ring(5), one.isArmed(5)]).toEqual([true, false, false]);
  expect(one.rings(5)).toBe(seen + 1);
  // Rung between looking and sleeping: the word differs, so nobody sleeps.
  expect(one.blockUntilRung(5, seen, 60_000)).toBe(true);
  expect(one.blockUntilRung(5, one.rings(5), 1)).toBe(false);
});

test('all of a cluster agree on the number of nodes', () => {
  bells(64);
  expect(() => bells(65)).toThrow(ShmError);
  expect(() => bells(0)).toThrow(RangeError);
});

describe('in the event loop', () => {
  const doorbell = (on: Bells, self: number, ring: () => void) => {
    const made = new Doorbell(on, self, ring);
    closing.push(made);
    return made;
  };

  test('a ring is heard once for each sleep', async () => {
    const one = bells();
    let heard = 0;
    let rung!: () => void;
    const bell = doorbell(one, 7, () => {
      heard++;
      rung();
    });
    for (let turn = 1; turn <= 5; turn++) {
      const next = new Promise<void>(resolve => (rung = resolve));
      bell.sleep(60_000);
      expect([bell.asleep, one.isArmed(7)]).toEqual([true, true]);
      expect(one.ring(7)).toBe(true);
      await next;
      expect([heard, bell.asleep, one.isArmed(7), one.ring(7)]).toEqual([turn, false, false, false]);
    }
  });

  test('what was ready before it slept is heard, and so is the end of the time', async () => {
    const one = bells();
    let rung!: () => void;
    const bell = doorbell(one, 7, () => rung());
    one.setReady(7, 2);
    let next = new Promise<void>(resolve => (rung = resolve));
    bell.sleep(60_000);
    await next;
    expect(taken(one, 7)).toEqual([2]);
    next = new Promise<void>(resolve => (rung = resolve));
    bell.sleep(1);
    await next;
  });

  test('a dead or missing sleeper harms no ringer', () => {
    const one = bells();
    one.arm(9, ASLEEP_LOOP);
    expect(one.ring(9)).toBe(true); // no FIFO
    const bell = new Doorbell(one, 9, () => {});
    bell.sleep();
    expect(one.ring(9)).toBe(true);
    bell.close();
    for (let i = 0; i < 3; i++) {
      one.arm(9, ASLEEP_LOOP);
      expect(one.ring(9)).toBe(true); // nobody reads
    }
    expect(() => bell.sleep()).toThrow(ShmError);
  });

  test('a FIFO that is none is refused', () => {
    const one = bells();
    fs.writeFileSync(join(dir, '4.bell'), '');
    expect(() => new Doorbell(one, 4, () => {})).toThrow(ShmError);
  });
});
