import * as fs from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { listSegments, runtimeDir } from './dir.ts';
import { ShmError } from './errors.ts';
import { OwnerLock } from './owner-lock.ts';
import { bootId, isAlive, nowNs, nsPid, startTimeOf, threadId } from './process.ts';
import { removeCluster, removeNode } from './remove.ts';
import { createSegment } from './make.ts';

let dir: string;
const locks: OwnerLock[] = [];
const open = (name = 'a') => {
  const lock = OwnerLock.open(dir, name);
  locks.push(lock);
  return lock;
};
const lockFile = (name = 'a') => join(dir, `${name}.lock`);

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof ShmError) return error.code;
    throw error;
  }
  return 'no error';
}

beforeEach(() => {
  dir = testDir();
});
afterEach(() => {
  for (const lock of locks.splice(0)) lock.release();
  removeTestDirs();
});

test('taken, seen, released', () => {
  const lock = open();
  expect([lock.held, lock.owner(), lock.epoch, lock.lastOwner()]).toEqual([false, undefined, 0, undefined]);
  expect(lock.tryAcquire()).toBe('acquired');
  expect(lock.held).toBe(true);
  expect(open().owner()).toMatchObject({
    pid: process.pid,
    tid: threadId(),
    startTime: startTimeOf(process.pid),
    bootId: Buffer.from(bootId()).toString('hex'),
    pidNamespace: nsPid(),
    epoch: 1,
  });
  lock.release();
  lock.release();
  expect([lock.held, lock.owner(), lock.lastOwner()?.pid]).toEqual([false, undefined, process.pid]);
  expect(lock.acquire(1000)).toBe('acquired');
  expect([lock.epoch, lock.owner()?.epoch]).toEqual([2, 2]);
  expect(fs.statSync(lockFile()).mode & 0o777).toBe(0o600);
});

test('a process that holds it cannot wait for itself', () => {
  const lock = open();
  lock.acquire();
  expect(codeOf(() => lock.acquire())).toBe('SHM_LOCK_HELD');
  expect(codeOf(() => lock.tryAcquire())).toBe('SHM_LOCK_HELD');
  expect(codeOf(() => open().acquire(10))).toBe('SHM_LOCK_HELD');
});

test('with the event loop running', async () => {
  const lock = open();
  expect(await lock.acquireWhenFree()).toBe('acquired');
  lock.release();
  const stop = new AbortController();
  stop.abort();
  expect(await lock.acquireWhenFree(stop.signal)).toBe('aborted');
});

test('what the supervisor wrote down about the last ends', () => {
  const lock = open();
  expect(lock.readExit(7)).toBeUndefined();
  lock.noteExit(7, { signal: 'SIGKILL', atMs: 1.5 });
  lock.noteExit(8, { code: 0, atMs: 2 });
  expect(open().readExit(7)).toEqual({ signal: 'SIGKILL', atMs: 1.5 });
  expect(open().readExit(8)).toEqual({ code: 0, atMs: 2 });
  lock.noteExit(7, { code: 3, atMs: 9 });
  expect(lock.readExit(7)).toEqual({ code: 3, atMs: 9 });
  for (let pid = 100; pid < 115; pid++) lock.noteExit(pid, { signal: 'SIGABRT', atMs: pid });
  expect([lock.readExit(7), lock.readExit(8), lock.readExit(114)]).toEqual([
    { code: 3, atMs: 9 },
    undefined,
    { signal: 'SIGABRT', atMs: 114 },
  ]);
});

describe('a lock file that is not ours is refused and left as it is', () => {
  const forge = (change: (page: Buffer) => void) => () => {
    const page = fs.readFileSync(lockFile());
    change(page);
    page.writeUInt32LE(crc32(page.subarray(0, 1020)), 1020);
    fs.writeFileSync(lockFile(), page);
  };
  test.each<[string, () => void, string]>([
    ['empty', () => fs.truncateSync(lockFile(), 0), 'SHM_LOCK_CORRUPT'],
    ['truncated', () => fs.truncateSync(lockFile(), 4095), 'SHM_LOCK_CORRUPT'],
    ['garbage', () => fs.writeFileSync(lockFile(), Buffer.alloc(4096, 'x')), 'SHM_LOCK_CORRUPT'],
    ['foreign magic', forge(page => page.write('x', 0)), 'SHM_LOCK_CORRUPT'],
    ['older format', forge(page => page.writeUInt32LE(0, 8)), 'SHM_VERSION'],
    ['mutex elsewhere', forge(page => page.writeUInt32LE(64, 16)), 'SHM_LOCK_CORRUPT'],
    ['made by another uid', forge(page => page.writeUInt32LE(4711, 20)), 'SHM_ACCESS'],
    ['another kind of mutex', forge(page => page.writeUInt32LE(0, 1024 + 16)), 'SHM_LOCK_CORRUPT'],
    ['bytes after the mutex', forge(page => page.writeUInt8(1, 1024 + 63)), 'SHM_LOCK_CORRUPT'],
    ['reserved bytes', forge(page => page.writeUInt8(1, 4000)), 'SHM_LOCK_CORRUPT'],
    ['writable by all', () => fs.chmodSync(lockFile(), 0o666), 'SHM_ACCESS'],
    [
      'a directory',
      () => {
        fs.rmSync(lockFile());
        fs.mkdirSync(lockFile());
      },
      'SHM_BAD_FILE',
    ],
  ])('%s', (_, spoil, code) => {
    // A name that this process has not mapped: it is made by formatting under another one.
    OwnerLock.open(dir, 'a');
    const copy = fs.readFileSync(lockFile());
    fs.rmSync(lockFile());
    fs.writeFileSync(lockFile(), copy, { mode: 0o600 });
    spoil();
    const body = () => (fs.statSync(lockFile()).isFile() ? fs.readFileSync(lockFile(), 'hex') : undefined);
    const before = body();
    expect(codeOf(() => open())).toBe(code);
    expect(body()).toBe(before);
  });

  test('each bit before the mutex', () => {
    OwnerLock.open(dir, 'a');
    const page = fs.readFileSync(lockFile());
    fs.rmSync(lockFile());
    fs.writeFileSync(lockFile(), page, { mode: 0o600 });
    const fd = fs.openSync(lockFile(), 'r+');
    const codes = new Set<string>();
    for (let bit = 0; bit < 1024 * 8; bit++) {
      const bad = Buffer.of(page[bit >>> 3] ^ (1 << (bit & 7)));
      fs.writeSync(fd, bad, 0, 1, bit >>> 3);
      codes.add(codeOf(() => open()));
      fs.writeSync(fd, page, bit >>> 3, 1, bit >>> 3);
    }
    fs.closeSync(fd);
    expect([...codes].sort()).toEqual(['SHM_LOCK_CORRUPT', 'SHM_VERSION']);
  });
});

test('a lock file of an earlier boot is replaced, whoever its mutex names', () => {
  OwnerLock.open(dir, 'a');
  const page = fs.readFileSync(lockFile());
  page.fill(9, 24, 40);
  page.writeUInt32LE(1, 1024); // owned by thread 1 of that boot
  page.writeUInt32LE(crc32(page.subarray(0, 1020)), 1020);
  fs.rmSync(lockFile());
  fs.writeFileSync(lockFile(), page, { mode: 0o600 });
  expect(open().acquire(1000)).toBe('acquired');
  expect(fs.readdirSync(dir)).toEqual(['a.lock']);
});

describe('a file that changes its name under a waiter', () => {
  test('replaced: the new one is taken', () => {
    const lock = open();
    fs.rmSync(lockFile());
    OwnerLock.open(dir, 'a');
    expect(lock.tryAcquire()).toBe('acquired');
    expect(open().owner()?.pid).toBe(process.pid);
  });

  test('removed: coded, and not held', () => {
    const lock = open();
    fs.rmSync(lockFile());
    expect(codeOf(() => lock.tryAcquire())).toBe('SHM_LOCK_STALE');
    expect(codeOf(() => lock.acquire())).toBe('SHM_LOCK_STALE');
    expect([lock.held, lock.owner()]).toEqual([false, undefined]);
  });
});

describe('what lies in a directory', () => {
  const segment = (name: string, kind: 'state' | 'lanes') =>
    createSegment({ dir, name, kind, layoutHash: 1n, regions: [{ name: 'x', bytes: 64 }] });

  test('nodes with owners, uses and problems', () => {
    const state = segment('arena.1', 'state');
    state.nextEpoch();
    segment('arena.1', 'lanes');
    segment('world', 'state').close();
    fs.writeFileSync(join(dir, 'bad.state'), 'x', { mode: 0o600 });
    fs.writeFileSync(join(dir, 'note.txt'), 'x');
    open('arena.1').acquire();
    const found = listSegments(dir);
    expect(found.map(({ name, owner }) => [name, owner?.pid])).toEqual([
      ['arena.1', process.pid],
      ['bad', undefined],
      ['world', undefined],
    ]);
    expect(
      found[0].segments.map(({ kind, epoch, resumable, usedBytes }) => [kind, epoch, resumable, usedBytes]),
    ).toEqual([
      ['state', 1, true, 65_536],
      ['lanes', 0, true, 65_536],
    ]);
    expect(found[1].segments[0]).toMatchObject({ resumable: false, problem: { code: 'SHM_FOREIGN' } });
  });

  test('removed, but not while an owner lives', () => {
    segment('a', 'state').close();
    segment('a', 'lanes').close();
    const lock = open();
    lock.acquire();
    expect(codeOf(() => removeNode(dir, 'a'))).toBe('SHM_OWNER_ALIVE');
    expect(() => removeNode(dir, 'a')).toThrow(`${process.pid}`);
    expect(fs.readdirSync(dir).length).toBe(3);
    expect(removeCluster(dir)).toBe(false);
    lock.release();
    expect(removeNode(dir, 'a').length).toBe(3);
    expect(removeNode(dir, 'a')).toEqual([]);
    expect(removeCluster(dir)).toBe(true);
  });

  test('$LICH_DIR is made 0700, and refused when others may write it', () => {
    const before = process.env.LICH_DIR;
    try {
      process.env.LICH_DIR = join(dir, 'x/y');
      expect(runtimeDir()).toBe(join(dir, 'x/y'));
      expect(fs.statSync(join(dir, 'x/y')).mode & 0o777).toBe(0o700);
      fs.chmodSync(join(dir, 'x/y'), 0o777);
      expect(codeOf(() => runtimeDir())).toBe('SHM_ACCESS');
    } finally {
      if (before === undefined) delete process.env.LICH_DIR;
      else process.env.LICH_DIR = before;
    }
  });
});

test('processes, and the clock they share', () => {
  expect(startTimeOf(process.pid)).toBeGreaterThan(0);
  expect(isAlive(process.pid, startTimeOf(process.pid)!)).toBe(true);
  expect(isAlive(process.pid, 1)).toBe(false);
  expect(startTimeOf(2 ** 22 + 1)).toBeUndefined();
  expect(bootId().length).toBe(16);
  expect(bootId().some(byte => byte !== 0)).toBe(true);
  const then = nowNs();
  expect(nowNs()).toBeGreaterThanOrEqual(then);
});
