/** Registration and the making of a lane, by processes that are killed before their n-th step. LICH_SOAK: before each. */
import { type ChildProcess, fork } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { BusLook, Directory } from '../bus/index.ts';
import { listSegments } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Peer, until } from '../testing/service-rig.ts';

const CHILD = fileURLToPath(new URL('./registration.child.mjs', import.meta.url));
/** Steps that are tried, spread over all. */
const TRIES = process.env.LICH_SOAK ? Number.POSITIVE_INFINITY : 5;

const children: ChildProcess[] = [];
let peers: Peer[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const peer of peers.splice(0)) await peer.stop();
  removeTestDirs();
});

interface Said {
  readonly count: number;
  readonly names: string[];
}

/** @returns what it said, or undefined when it was killed before */
function run(dir: string, what: 'register' | 'lane', at: number): Promise<Said | undefined> {
  const child = fork(CHILD, [JSON.stringify({ dir, name: 'a-1', at, what })]);
  children.push(child);
  return new Promise((resolve, reject) => {
    let said: Said | undefined;
    child.once('message', message => {
      said = message as Said;
      child.kill('SIGKILL');
    });
    child.once('exit', (_, signal) => (signal === 'SIGKILL' ? resolve(said) : reject(new Error('it ended by itself'))));
  });
}

/** @returns at most TRIES numbers of 1..count, the ends among them */
function spread(count: number): number[] {
  const tries = Math.min(count, TRIES);
  return Array.from({ length: tries }, (_, k) => 1 + Math.round((k * (count - 1)) / Math.max(1, tries - 1)));
}

const namesIn = (dir: string): string[] => (fs.readdirSync(dir, { recursive: true }) as string[]).sort();

it('a node that is killed while it registers leaves nothing half-made', async () => {
  const whole = testDir();
  const { count, names } = (await run(whole, 'register', 0))!;
  const all = namesIn(whole);
  for (const at of spread(count)) {
    const where = `step ${at} of ${count}: ${names[at - 1]}`;
    const dir = testDir();
    expect(await run(dir, 'register', at), where).toBeUndefined();
    for (const node of listSegments(dir)) {
      expect([node.owner, node.lockProblem], where).toEqual([undefined, undefined]);
      for (const segment of node.segments) expect(segment.problem, where).toBeUndefined();
    }
    // The next process of the node; that of the kill takes no place of its own.
    expect(await run(dir, 'register', 0), where).toBeDefined();
    expect(namesIn(dir), where).toEqual(all);
    expect(new Directory(dir, 256).all(), where).toMatchObject([{ index: 0, name: 'a-1' }]);
  }
});

it('a sender that is killed while it makes a lane: both messages or none, and no room is lost', async () => {
  const dir = testDir();
  const b = await Peer.start(dir, 'b-1');
  peers.push(b);
  const look = new BusLook(dir);
  const first = await run(dir, 'lane', 0);
  let heard = b.heard.length;
  const settle = async (where: string): Promise<void> => {
    // The node goes on in this process: what was committed is shown, by whoever comes next.
    const a = await Peer.start(dir, 'a-1');
    peers = [b, a];
    a.say(b.index, 7 << 16, 99, 0);
    await until(() => b.heard.length > heard && b.heard.at(-1)!.a === 99);
    const got = b.heard.slice(heard).map(({ a: n }) => n);
    expect([[99], [1, 2, 99]], where).toContainEqual(got);
    await until(() => look.pairs()[0]!.waitingBytes === 0);
    // Given back: the next one makes it anew, and all of the rings' memory is free.
    a.core.bus.outbox.tidy(1e15, 0);
    a.core.bus.outbox.tidy(2e15, 0);
    expect(a.core.bus.outbox.lanes(), where).toEqual([]);
    const root = a.core.store;
    expect(root.check(), where).toEqual([]);
    await a.stop();
    peers = [b];
    heard = b.heard.length;
  };
  await settle('none');
  for (const at of spread(first!.count)) {
    const where = `step ${at} of ${first!.count}: ${first!.names[at - 1]}`;
    // One that finds its receiver awake has fewer steps: it need not ring.
    const said = await run(dir, 'lane', at);
    if (said !== undefined) expect(said.count, where).toBeLessThan(at);
    await settle(where);
  }
  look.close();
});
