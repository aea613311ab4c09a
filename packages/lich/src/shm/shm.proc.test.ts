/** The room with real processes: races, kills, stops, limits. Children run the built dist/. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { need } from '../../../../scripts/lib/capability.mjs';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';
import { Bells } from './doorbell.ts';
import { nowNs } from './process.ts';
import { OwnerLock } from './owner-lock.ts';
import { createSegment } from './make.ts';
import { attachSegment } from './segment.ts';

const obey = join(import.meta.dirname, 'shm.child.mjs');
const children: Child[] = [];
const child = (launcher?: string[]) => {
  const made = new Child(obey, launcher);
  children.push(made);
  return made;
};
const soak = process.env.LICH_SOAK === '1';
const WORD = 6000;
const regions = [{ name: 'pool', bytes: 65_536, reserve: true }];
let dir: string;

beforeEach(() => {
  dir = testDir();
});
afterEach(async () => {
  for (const one of children.splice(0)) await one.kill();
  removeTestDirs();
});

describe('exclusive creation', () => {
  const N = 8;
  const tries = soak ? 1000 : 50;

  test(`of ${N} processes that start at once one creates and the rest attach, ${tries} times`, async () => {
    const racers = Array.from({ length: N }, () => child());
    await Promise.all(racers.map(racer => racer.ask('hello')));
    for (let round = 0; round < tries; round++) {
      const name = `r${round}`;
      const order = { dir, name, atNs: nowNs() + 2e6, regions };
      const outcomes = (await Promise.all(racers.map(racer => racer.ask('race', order)))).map(({ outcome }) => outcome);
      expect(outcomes.filter(outcome => outcome === 'created').length).toBe(1);
      expect(outcomes.filter(outcome => outcome === 'attached').length).toBe(N - 1);
      const creator = racers[outcomes.indexOf('created')].pid;
      const seen = await Promise.all(racers.map(racer => racer.ask('read', { name, index: 5000 })));
      expect(new Set(seen.map(({ value }) => value))).toEqual(new Set([creator]));
      await Promise.all(racers.map(racer => racer.ask('close', { name })));
      expect(fs.readdirSync(dir)).toEqual([`${name}.state`]);
      fs.rmSync(join(dir, `${name}.state`));
    }
  });

  test('a creator that is killed leaves nothing, or a whole segment', async () => {
    const large = [{ name: 'pool', bytes: 256 << 20, reserve: true }];
    for (let round = 0; round < (soak ? 100 : 10); round++) {
      const maker = child();
      await maker.ask('hello');
      maker.process.send({ do: 'create', dir, name: 'a', regions: large });
      await new Promise(resolve => setTimeout(resolve, round * 10));
      await maker.kill();
      const left = fs.readdirSync(dir);
      expect(['', 'a.state']).toContain(left.join());
      if (left.length > 0) {
        attachSegment({ dir, name: 'a', kind: 'state', layoutHash: 'test' }).close();
        fs.rmSync(join(dir, 'a.state'));
      }
    }
  });
});

describe('the owner lock', () => {
  const pair = async () => {
    const [owner, standby] = [child(), child()];
    for (const one of [owner, standby]) await one.ask('lock', { dir, name: 'a' });
    expect((await owner.ask('tryAcquire', { name: 'a' })).got).toBe('acquired');
    expect((await standby.ask('tryAcquire', { name: 'a' })).got).toBe('busy');
    return [owner, standby] as const;
  };

  test.each(['acquire', 'acquireWhenFree'])('passes to the waiter when its owner is killed (%s)', async how => {
    const [owner, standby] = await pair();
    expect((await standby.ask('owner', { name: 'a' })).owner.pid).toBe(owner.pid);
    await standby.ask(how, { name: 'a' });
    const then = nowNs();
    owner.process.kill('SIGKILL');
    const { got, atNs } = await standby.next();
    expect(got).toBe('died');
    console.log(`${how}: ${((atNs - then) / 1e6).toFixed(2)} ms from SIGKILL to the lock`);
    const lock = OwnerLock.open(dir, 'a');
    expect(lock.owner()).toMatchObject({ pid: standby.pid, epoch: 2 });
    await standby.kill();
    expect(lock.owner()).toBeUndefined();
    expect(lock.tryAcquire()).toBe('died');
    lock.release();
    expect(lock.tryAcquire()).toBe('acquired');
    lock.release();
  });

  test.each([
    ['released', 'release', 'acquired'],
    ['left by exit code 0', 'exit 0', 'acquired'],
    ['left by exit code 1', 'exit 1', 'died'],
  ])('%s: the waiter gets it', async (_, how, expected) => {
    const [owner, standby] = await pair();
    await standby.ask('acquire', { name: 'a' });
    if (how === 'release') await owner.ask('release', { name: 'a' });
    else owner.process.send({ do: 'exit', code: Number(how.slice(5)) });
    expect((await standby.next()).got).toBe(expected);
  });

  test('passes along a row of waiters, each killed in turn', async () => {
    const [owner, ...waiters] = Array.from({ length: 5 }, () => child());
    for (const one of [owner, ...waiters]) await one.ask('lock', { dir, name: 'a' });
    await owner.ask('acquire', { name: 'a' });
    expect((await owner.next()).got).toBe('acquired');
    const answers = new Map<Child, Promise<{ waiter: Child; got: string }>>();
    for (const [i, waiter] of waiters.entries()) {
      await waiter.ask(i % 2 ? 'acquireWhenFree' : 'acquire', { name: 'a' });
      answers.set(
        waiter,
        waiter.next().then(({ got }) => ({ waiter, got })),
      );
    }
    for (let holder = owner; answers.size > 0; ) {
      await holder.kill();
      const { waiter, got } = await Promise.race(answers.values());
      expect(got).toBe('died');
      answers.delete(waiter);
      holder = waiter;
    }
  });

  test('stays with a stopped owner, which goes on; killed while stopped, it passes, and nothing is written', async () => {
    const [owner, standby] = await pair();
    await owner.ask('create', { dir, name: 'a', regions });
    const seen = attachSegment({ dir, name: 'a', kind: 'state', layoutHash: 'test' });
    const word = () => Atomics.load(seen.i32, WORD);
    const grows = async () => {
      for (const then = word(); word() === then; ) await new Promise(resolve => setImmediate(resolve));
    };
    const stopped = async () => {
      owner.process.kill('SIGSTOP');
      while (fs.readFileSync(`/proc/${owner.pid}/stat`, 'latin1').split(') ')[1][0] !== 'T') {
        await new Promise(resolve => setImmediate(resolve));
      }
    };
    await owner.ask('keepWriting', { name: 'a', index: WORD });
    await grows();

    await stopped();
    const still = word();
    await standby.ask('acquire', { name: 'a', timeoutMs: soak ? 10_000 : 1000 });
    expect((await standby.next()).got).toBe('timeout');
    expect(OwnerLock.open(dir, 'a').owner()?.pid).toBe(owner.pid);
    expect(word()).toBe(still);
    owner.process.kill('SIGCONT');
    await grows();

    await stopped();
    const last = word();
    const image = Buffer.from(seen.u8.slice()).toString('base64');
    await standby.ask('acquire', { name: 'a' });
    owner.process.kill('SIGKILL');
    expect((await standby.next()).got).toBe('died');
    await standby.ask('attach', { dir, name: 'a', write: true });
    await owner.ended;
    expect(word()).toBe(last);
    // What changed is what the new owner's opening writes: nothing, on the same boot with an open segment.
    expect(Buffer.from(seen.u8.slice()).toString('base64')).toBe(image);
    seen.close();
  });
});

describe('a stray write of a reader', () => {
  test('ends the reader, not the segment', async () => {
    const made = createSegment({ dir, name: 'a', kind: 'state', layoutHash: 'test', regions });
    made.i32[WORD] = 5;
    const reader = child();
    await reader.ask('attach', { dir, name: 'a' });
    reader.process.send({ do: 'write', name: 'a', index: WORD, value: 6 });
    expect((await reader.ended).signal).toBe('SIGSEGV');
    expect(made.i32[WORD]).toBe(5);
    made.close();
  });

  test('a standby writes once it holds the lock', async () => {
    const made = createSegment({ dir, name: 'a', kind: 'state', layoutHash: 'test', regions });
    const standby = child();
    await standby.ask('attach', { dir, name: 'a' });
    expect((await standby.order('makeWritable', { name: 'a' })).error?.code).toBe('SHM_NOT_OWNER');
    await standby.ask('lock', { dir, name: 'a' });
    await standby.ask('tryAcquire', { name: 'a' });
    await standby.ask('makeWritable', { name: 'a' });
    await standby.ask('write', { name: 'a', index: WORD, value: 7 });
    expect(made.i32[WORD]).toBe(7);
    made.close();
  });
});

test('a segment outlives kill -9 of its only process', async () => {
  const one = child();
  await one.ask('create', { dir, name: 'a', regions });
  await one.ask('write', { name: 'a', index: WORD, value: 42 });
  await one.kill();
  const two = child();
  await two.ask('attach', { dir, name: 'a' });
  expect((await two.ask('read', { name: 'a', index: WORD })).value).toBe(42);
});

test.skipIf(!need('setarch'))('the same bytes with address randomization off and on', async () => {
  const fixed = ['/usr/bin/setarch', '-R', process.execPath];
  const launchers = [fixed, undefined, fixed, undefined];
  let value = 1;
  for (const [i, launcher] of launchers.entries()) {
    const one = child(launcher);
    if (i === 0) await one.ask('create', { dir, name: 'a', regions });
    else await one.ask('attach', { dir, name: 'a' });
    const found = i > 0 ? (await one.ask('read', { name: 'a', index: WORD })).value : value;
    expect(found).toBe(value);
    value = i + 2;
    await one.ask('lock', { dir, name: 'a' });
    await one.ask('tryAcquire', { name: 'a' });
    if (i > 0) await one.ask('makeWritable', { name: 'a' });
    await one.ask('write', { name: 'a', index: WORD, value });
    await one.kill();
  }
});

describe('memory that is not there', () => {
  const large = [{ name: 'pool', bytes: 1 << 30 }];
  const sized = (bytes: number) => [{ name: 'pool', bytes, reserve: true }];

  test.skipIf(!need('mount'))('a full tmpfs is a coded error, and the process lives', async () => {
    const point = join(dir, 'small');
    fs.mkdirSync(point, { mode: 0o700 });
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0700', 'lich-test', point]).status).toBe(0);
    try {
      const one = child();
      const refused = await one.order('create', { dir: point, name: 'big', regions: sized(8 << 20) });
      expect(refused.error?.code).toBe('SHM_NO_MEMORY');
      expect(refused.error?.message).toMatch(/8\d{6} bytes and 4\d{6} of 4194304 are free in file system of/);
      expect(fs.readdirSync(point)).toEqual([]);
      await one.ask('create', { dir: point, name: 'a', regions: large });
      await one.ask('reserve', { name: 'a', offset: 65_536, bytes: 1 << 20 });
      const over = await one.order('reserve', { name: 'a', offset: 65_536, bytes: 100 << 20 });
      expect(over.error?.code).toBe('SHM_NO_MEMORY');
      fs.writeFileSync(join(point, 'ballast'), Buffer.alloc(fs.statfsSync(point).bavail * 4096));
      expect((await one.order('reserve', { name: 'a', offset: 4 << 20, bytes: 1 })).error?.code).toBe('SHM_NO_MEMORY');
      await one.ask('write', { name: 'a', index: (1 << 20) / 4, value: 5 }); // reserved before
      expect((await one.ask('read', { name: 'a', index: (1 << 20) / 4 })).value).toBe(5);
      expect((await one.order('create', { dir: point, name: 'b', regions: large })).error?.code).toBe('SHM_NO_MEMORY');
      expect((await one.order('lock', { dir: point, name: 'b' })).error?.code).toBe('SHM_NO_MEMORY');
      expect((await one.ask('hello')).pid).toBe(one.pid);
      await one.kill();
    } finally {
      spawnSync('umount', ['-l', point]);
    }
  });

  const cgroup = need('memory-cgroup') ? limitedCgroup() : undefined;
  afterAll(() => cgroup?.remove());

  test.skipIf(!cgroup)("past a container's limit is a coded error, not an OOM kill", async () => {
    const one = child();
    await one.ask('create', { dir, name: 'a', regions: large });
    await one.ask('cgroup', { file: cgroup!.procs });
    await one.ask('reserve', { name: 'a', offset: 65_536, bytes: 8 << 20 });
    const over = await one.order('reserve', { name: 'a', offset: 65_536, bytes: 200 << 20 });
    expect(over.error?.code).toBe('SHM_NO_MEMORY');
    expect(over.error?.message).toMatch(
      /\d+ bytes and \d+ of 134217728 are free in memory cgroup .*: raise .*memory\.(max|limit_in_bytes)/,
    );
    const created = await one.order('create', { dir, name: 'b', regions: sized(200 << 20) });
    expect(created.error?.code).toBe('SHM_NO_MEMORY');
    // Up to the limit in steps: it stops by itself.
    let at = 16 << 20;
    for (; ; at += 4 << 20) {
      const { error } = await one.order('reserve', { name: 'a', offset: at, bytes: 4 << 20 });
      if (!error) continue;
      expect(error.code).toBe('SHM_NO_MEMORY');
      break;
    }
    expect(at).toBeGreaterThan(32 << 20);
    expect((await one.ask('hello')).pid).toBe(one.pid);
    await one.kill();
  });
});

/** A memory cgroup of 128 MiB below our own. */
function limitedCgroup(): { procs: string; remove(): void } | undefined {
  const lines = fs.readFileSync('/proc/self/cgroup', 'latin1').split('\n');
  const v1 = lines.find(line => line.split(':')[1] === 'memory')?.split(':')[2];
  const v2 = lines.find(line => line.startsWith('0::'))?.slice(3);
  const parent = v1 === undefined ? join('/sys/fs/cgroup', v2!) : join('/sys/fs/cgroup/memory', v1);
  const at = join(parent, `lich-test-${process.pid}`);
  fs.mkdirSync(at);
  fs.writeFileSync(join(at, v1 === undefined ? 'memory.max' : 'memory.limit_in_bytes'), String(128 << 20));
  return { procs: join(at, 'cgroup.procs'), remove: () => fs.rmdirSync(at) };
}

describe('bells between two processes', () => {
  test.each(['loop', 'blocked'])('every ring is heard, both asleep (%s)', async how => {
    const bells = Bells.open(dir);
    bells.claim(0);
    bells.takeReady(0, () => {});
    const peer = child();
    await peer.ask('bells', { dir, index: 1 });
    await peer.ask('echo', { index: 1, peer: 0, how });
    for (let turn = 0; turn < 2000; turn++) {
      bells.setReady(1, 0);
      bells.ring(1);
      let answered = false;
      while (!answered) {
        const seen = bells.rings(0);
        bells.arm(0);
        if (!bells.anyReady(0)) bells.blockUntilRung(0, seen, 60_000);
        bells.disarm(0);
        answered = bells.takeReady(0, sender => expect(sender).toBe(1)) > 0;
      }
    }
    await peer.kill();
    expect(bells.ring(1)).toBeTypeOf('boolean'); // a dead sleeper harms nobody
    bells.close();
  });
});
