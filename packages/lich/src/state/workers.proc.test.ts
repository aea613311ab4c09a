/** Worker threads as owners: a node is owned by a thread, and passes on when that thread ends, with its process or alone. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, Child, removeTestDirs, testDir } from '../testing/children.ts';
import { attach, type ReadState } from './index.ts';

const children: Child[] = [];
const readers: ReadState[] = [];
const soak = process.env.LICH_SOAK === '1';
let dir: string;
let host: Host;

/** A process with workers. */
class Host {
  readonly child = new Child(join(import.meta.dirname, 'workers.child.mjs'));

  constructor() {
    children.push(this.child);
  }

  async start(...names: string[]): Promise<void> {
    for (const name of names) await this.child.ask('start', { name, dir });
  }

  /** Have a worker, or the main thread, do something. */
  async ask(to: string, what: string, details: object = {}): Promise<Answer> {
    const order = { do: what, ...details };
    if (to === 'main') return this.child.ask('here', { dir, order });
    await this.child.ask('tell', { to, order });
    return this.child.ask('answer', { of: to });
  }

  tell(to: string, what: string, details: object = {}): Promise<Answer> {
    return this.child.ask('tell', { to, order: { do: what, ...details } });
  }
}

beforeEach(() => {
  dir = testDir();
  host = new Host();
});
afterEach(async () => {
  for (const reader of readers.splice(0)) reader.close();
  for (const one of children.splice(0)) await one.kill();
  removeTestDirs();
});

function read(node: string): ReadState {
  const reader = attach(dir, { as: 'reader', node });
  readers.push(reader);
  return reader;
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise(resolve => setTimeout(resolve, 5));
}

/** Somebody sleeps on the mutex: FUTEX_WAITERS is set. */
const waitedFor = (node: string) => (fs.readFileSync(join(dir, `${node}.lock`)).readUInt32LE(1024) & 0x8000_0000) !== 0;

/** '' when the thread has ended. */
function nameOf(comm: string): string {
  try {
    return fs.readFileSync(comm, 'latin1').trim();
  } catch {
    return '';
  }
}

async function more(reader: ReadState): Promise<void> {
  const before = reader.commitNo;
  await until(() => reader.commitNo > before);
}

const conserved = (reader: ReadState) =>
  reader.snapshot(s => {
    const sum = s.entries('notes').reduce((all, { value }) => all + (value['n'] as number), 0);
    return sum - (s.root()['total'] as number);
  });

test('two workers own a state each and write at once; killed with their process, both are as of a commit', async () => {
  await host.start('a', 'b');
  const [a, b] = [await host.ask('a', 'own', { node: 'a' }), await host.ask('b', 'own', { node: 'b' })];
  expect([a.outcome, b.outcome]).toEqual(['created', 'created']);
  expect(a.thread).not.toBe(b.thread);
  const refused = await host.child.order('here', { dir, order: { do: 'own', node: 'a' } });
  expect(refused.error).toMatchObject({ code: 'SHM_OWNER_ALIVE' });
  expect(refused.error!.message).toContain(`pid ${host.child.pid}, thread ${a.thread}`);
  for (const node of ['a', 'b']) await host.ask(node, 'writeOn', { node });
  const both = [read('a'), read('b')];
  for (const reader of [...both, ...both]) await more(reader);
  await host.child.kill();
  const heirs = new Host();
  await heirs.start('a', 'b');
  for (const node of ['a', 'b']) {
    const heir = await heirs.ask(node, 'inherit', { node, blocking: false });
    expect(heir).toMatchObject({ got: 'died', outcome: 'resumed', violations: [] });
    expect(heir.total).toBe(heir.sum);
  }
});

describe('a worker that ends in a transaction', () => {
  const ends = ['terminated', 'uncaught error'] as const;
  const heirs = ['a thread that blocks', 'a thread that watches', 'a process that blocks', 'a process that watches'];

  test('passes its state on to who waits, rolled back; the other worker goes on', async () => {
    const other = new Host();
    await host.start('busy');
    await host.ask('busy', 'own', { node: 'busy' });
    await host.ask('busy', 'writeOn', { node: 'busy' });
    const busy = read('busy');
    for (const [k, end] of ends.entries()) {
      for (const [h, heir] of heirs.entries()) {
        if (!soak && (k === 0) !== (h % 3 === 0)) continue;
        const node = `n${k}${h}`;
        const from = heir.startsWith('a thread') ? host : other;
        await host.start(node);
        await from.start(`${node}heir`);
        await host.ask(node, 'own', { node });
        await host.ask(node, 'write', { node, n: 30 });
        if (end === 'terminated') await host.ask(node, 'begin', { node, n: 7 });
        await from.tell(`${node}heir`, 'inherit', { node, blocking: heir.endsWith('blocks') });
        await until(() => waitedFor(node));
        if (end === 'terminated') await host.child.ask('terminate', { name: node });
        else await host.ask(node, 'throwIn', { node, n: 7 });
        const ended = await host.child.ask('ended', { name: node });
        const got = await from.child.ask('answer', { of: `${node}heir` });
        const what = `${end}, ${heir}`;
        expect({ what, ...ended }).toMatchObject({ what, code: 1 });
        expect({ what, ...got }).toMatchObject({
          what,
          got: 'died',
          outcome: 'resumed',
          total: 30,
          sum: 30,
          violations: [],
        });
        expect(got.undone).toBeGreaterThan(0);
        await host.child.ask('terminate', { name: node });
        await more(busy);
      }
    }
    expect(conserved(busy)).toBe(0);
    expect(busy.check()).toEqual([]);
  });

  const times = soak ? 500 : 3;

  test(`at any moment, ${times} times`, async () => {
    await host.start('busy');
    await host.ask('busy', 'own', { node: 'busy' });
    await host.ask('busy', 'writeOn', { node: 'busy' });
    const busy = read('busy');
    for (let k = 0; k < times; k++) {
      await host.start(`w${k}`);
      const found = await host.ask(`w${k}`, 'inherit', { node: 'passed', blocking: false });
      expect(found).toMatchObject({ got: k === 0 ? 'acquired' : 'died', violations: [] });
      expect(found.sum).toBe(found.total);
      await host.ask(`w${k}`, 'writeOn', { node: 'passed', hard: true });
      await more(busy);
      await host.child.ask('terminate', { name: `w${k}` });
    }
    const passed = read('passed');
    expect(conserved(passed)).toBe(0);
    // Nothing of the threads that ended is left: each lock file is mapped once, and no state but those in use.
    const maps = fs.readFileSync(`/proc/${host.child.pid}/maps`, 'latin1').split('\n');
    const inodes = maps.map(line => line.split(/ +/)[4]);
    const of = (file: string) => inodes.filter(inode => inode === String(fs.statSync(join(dir, file)).ino)).length;
    expect(['passed.lock', 'busy.lock', 'passed.state', 'busy.state'].map(of)).toEqual([1, 1, 0, 1]);
  });
});

test('a worker that ends in order lets its lock go; it cannot be a node of a cluster', async () => {
  await host.start('a');
  await expect(host.ask('a', 'serve', { node: 'a' })).rejects.toThrow('RUNTIME_WORKER');
  await host.ask('a', 'own', { node: 'a' });
  await host.tell('a', 'end');
  expect(await host.child.ask('ended', { name: 'a' })).toMatchObject({ code: 0 });
  expect(await host.ask('main', 'inherit', { node: 'a', blocking: true })).toMatchObject({ got: 'acquired' });
});

test('a worker that waits can be terminated, and its process can exit; the owner is not disturbed', async () => {
  const owner = new Host();
  await owner.ask('main', 'own', { node: 'a' });
  const tasks = `/proc/${host.child.pid}/task`;
  const watches = () => fs.readdirSync(tasks).some(tid => nameOf(`${tasks}/${tid}/comm`) === 'lich watch');
  for (const [k, name] of ['first', 'second'].entries()) {
    // The only thread with the addon: Node unloads it when this one ends, while a watcher of it still runs.
    await host.start(name);
    await host.tell(name, 'inherit', { node: 'a', blocking: k === 0 });
    await until(() => (k === 0 ? waitedFor('a') : watches()));
    await host.child.ask('terminate', { name });
    await until(() => !watches());
  }
  await host.start('third');
  await host.tell('third', 'inherit', { node: 'a', blocking: true });
  host.child.process.send({ do: 'exit' });
  expect(await host.child.ended).toEqual({ code: 0, signal: null });
  await owner.ask('main', 'write', { node: 'a', n: 3 });
  expect(read('a').snapshot(s => s.root()['total'])).toBe(3);
});
