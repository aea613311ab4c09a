import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSegment } from './make.ts';
import { OwnerLock } from './owner-lock.ts';
import { attachSegment } from './segment.ts';

let dir: string;
let lock: OwnerLock;

beforeEach(() => {
  dir = fs.mkdtempSync('/dev/shm/lich-test-');
  lock = OwnerLock.open(dir, 'n');
  lock.tryAcquire();
});
afterEach(() => {
  lock.release();
  fs.rmSync(dir, { recursive: true, force: true });
});

const id = () => ({ dir, name: 'n', kind: 'state' as const });
const MIB = 1_048_576;

function made(bytes = 8 * MIB) {
  const segment = createSegment({ ...id(), layoutHash: 'x', regions: [{ name: 'data', bytes }] });
  const { offset } = segment.regions.get('data')!;
  segment.reserve(offset, MIB);
  segment.u8.fill(7, offset, offset + MIB);
  return { segment, at: offset };
}

describe('a segment that is kept ready for writing', () => {
  it('is opened by laying its shadow over the views, which then write the file', () => {
    const { segment: owner, at } = made();
    const standby = attachSegment(id());
    standby.touchNew();
    owner.reserve(at + 2 * MIB, MIB);
    owner.u8[at + 2 * MIB] = 9;
    standby.touchNew();
    expect(standby.u8[at + 2 * MIB]).toBe(9);
    standby.makeWritable();
    expect(standby.writable).toBe(true);
    standby.u8[at + 5] = 42;
    expect(owner.u8[at + 5]).toBe(42);
    standby.close();
    expect(standby.u8[at]).toBe(0);
    standby.u8[at] = 1;
    expect(owner.u8[at]).toBe(7);
    owner.close();
  });

  it('allocates nothing where nothing is reserved', () => {
    const { segment: owner } = made();
    const before = fs.statSync(owner.path).blocks;
    const standby = attachSegment(id());
    standby.touchNew();
    standby.makeWritable();
    expect(fs.statSync(owner.path).blocks).toBe(before);
    standby.close();
    owner.close();
  });

  it('is dropped with the segment, and not made for a reader', () => {
    const { segment: owner } = made();
    const maps = () => fs.readFileSync('/proc/self/maps', 'utf8').split(owner.path).length - 1;
    const alone = maps();
    const reader = attachSegment({ ...id(), readOnly: true });
    reader.touchNew();
    expect(maps()).toBe(alone + 1);
    const standby = attachSegment(id());
    standby.touchNew();
    expect(maps()).toBe(alone + 3);
    standby.close();
    reader.close();
    expect(maps()).toBe(alone);
    owner.close();
  });
});

describe('a detached segment', () => {
  it('has a copy of what was asked for; its writes and reservations reach no file', () => {
    const { segment: owner, at } = made();
    const standby = attachSegment(id());
    const before = fs.statSync(owner.path).blocks;
    standby.detach();
    standby.copyIn(at + 4096, 8192);
    expect([standby.u8[at + 4095], standby.u8[at + 4096], standby.u8[at + 12_287], standby.u8[at + 12_288]]).toEqual([
      0, 7, 7, 0,
    ]);
    standby.u8[at + 4096] = 1;
    standby.reserve(at + 4 * MIB, MIB);
    standby.nextEpoch();
    owner.u8[at + 4097] = 99;
    expect(standby.u8[at + 4097]).toBe(7);
    expect(standby.wordInFile((at + 4096) / 4) & 0xffff).toBe(0x6307);
    standby.giveBack();
    expect(standby.writable).toBe(false);
    expect([standby.u8[at + 4096], standby.u8[at + 4097], standby.epoch]).toEqual([7, 99, 0]);
    expect(fs.statSync(owner.path).blocks).toBe(before);
    standby.close();
    owner.close();
  });

  it('is opened for writing after it was given back, by its shadow too', () => {
    const { segment: owner, at } = made();
    const standby = attachSegment(id());
    standby.touchNew();
    standby.detach();
    standby.u8[at] = 1;
    standby.giveBack();
    standby.makeWritable();
    standby.u8[at + 1] = 3;
    expect([owner.u8[at], owner.u8[at + 1]]).toEqual([7, 3]);
    standby.close();
    owner.close();
  });

  it('an owner’s is refused', () => {
    const { segment: owner } = made();
    expect(() => owner.detach()).toThrow(TypeError);
    owner.close();
  });
});
