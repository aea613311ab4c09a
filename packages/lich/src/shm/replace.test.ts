import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createReplacement, createSegment, dropBefore, takeBack } from './make.ts';
import { OwnerLock } from './owner-lock.ts';
import { removeCluster, removeNode } from './remove.ts';
import { attachSegment } from './segment.ts';

let dir: string;
const locks: OwnerLock[] = [];

beforeEach(() => (dir = fs.mkdtempSync('/dev/shm/lich-test-')));
afterEach(() => {
  for (const lock of locks.splice(0)) lock.release();
  fs.rmSync(dir, { recursive: true, force: true });
});

const id = () => ({ dir, name: 'n', kind: 'state' as const });
const options = (layoutHash: string) => ({ ...id(), layoutHash, regions: [{ name: 'data', bytes: 4096 }] });

function made(layoutHash: string): void {
  createSegment(options(layoutHash)).close();
}

function hold(): void {
  const lock = OwnerLock.open(dir, 'n');
  lock.tryAcquire();
  locks.push(lock);
}

function nameLeadsTo(layoutHash: string): boolean {
  const segment = attachSegment({ ...id(), layoutHash });
  segment.close();
  return true;
}

describe('a segment that takes the place of another', () => {
  it('is not seen before, has the name after, and the old one can have it back', () => {
    made('old');
    hold();
    const next = createReplacement(options('new'));
    expect(nameLeadsTo('old')).toBe(true);
    expect(fs.readdirSync(dir).sort()).toEqual(['n.lock', 'n.state']);
    next.take();
    expect(next.segment.isCurrent()).toBe(true);
    next.segment.close();
    expect(nameLeadsTo('new')).toBe(true);
    expect(fs.readdirSync(dir).sort()).toEqual(['.before-n.state', 'n.lock', 'n.state']);
    expect(takeBack(id())).toBe(true);
    expect(nameLeadsTo('old')).toBe(true);
    expect(takeBack(id())).toBe(false);
  });

  it('whoever maps the old one keeps it', () => {
    made('old');
    hold();
    const old = attachSegment(id());
    const next = createReplacement(options('new'));
    next.take();
    next.segment.close();
    expect(old.isCurrent()).toBe(false);
    expect(() => old.makeWritable()).toThrow(expect.objectContaining({ code: 'SHM_STALE' }));
    old.close();
    dropBefore(id());
    expect(takeBack(id())).toBe(false);
  });

  it('what a killed one left is in nobody’s way, and goes with the node', () => {
    made('old');
    hold();
    fs.writeFileSync(join(dir, '.next-n.state'), 'half');
    fs.writeFileSync(join(dir, '.before-n.state'), 'older');
    const next = createReplacement(options('new'));
    next.take();
    next.segment.close();
    expect(nameLeadsTo('new')).toBe(true);
    locks.pop()!.release();
    removeNode(dir, 'n');
    expect(fs.readdirSync(dir)).toEqual([]);
    expect(removeCluster(dir)).toBe(true);
  });

  it('takes the name only for the holder of the lock', () => {
    made('old');
    const next = createReplacement(options('new'));
    expect(() => next.take()).toThrow(expect.objectContaining({ code: 'SHM_NOT_OWNER' }));
    expect(() => takeBack(id())).toThrow(expect.objectContaining({ code: 'SHM_NOT_OWNER' }));
    next.discard();
    expect(nameLeadsTo('old')).toBe(true);
    expect(fs.readdirSync(dir)).not.toContain('.next-n.state');
  });
});
