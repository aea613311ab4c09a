/** The state in real processes: what a killed owner leaves, and reads from outside while the owner writes at full speed. */
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attachSegment } from '../shm/index.ts';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';
import { openReader, type StoreReader } from './index.ts';

const obey = join(import.meta.dirname, 'state.child.mjs');
const soak = process.env.LICH_SOAK === '1';
const children: Child[] = [];
const child = (launcher?: string[]) => {
  const made = new Child(obey, launcher);
  children.push(made);
  return made;
};
let dir: string;

beforeEach(() => {
  dir = testDir();
});
afterEach(async () => {
  for (const one of children.splice(0)) await one.kill();
  removeTestDirs();
});

const hasSetarch = spawnSync('setarch', ['-R', 'true']).status === 0;

describe('a killed owner', () => {
  for (const [name, launcher] of [
    ['ASLR as it is', undefined],
    ['ASLR off, then on', ['setarch', '-R', process.execPath]],
  ] as const) {
    it.skipIf(launcher !== undefined && !hasSetarch)(`leaves its last commit: ${name}`, async () => {
      const first = child(launcher && [...launcher]);
      expect((await first.ask('open', { dir, logWords: 1 << 14 })).outcome).toBe('created');
      await first.ask('put', { key: 100, value: 'a hundred' });
      expect((await first.ask('putOpen', { key: 101, value: 'never' })).size).toBe(2);
      await first.kill();

      const second = child();
      const opened = await second.ask('open', { dir, logWords: 1 << 14 });
      expect(opened).toMatchObject({ took: 'died', outcome: 'resumed', violations: [] });
      expect(opened.undone).toBeGreaterThan(0);
      expect(await second.ask('get', { key: 100 })).toEqual({ value: 'a hundred', size: 1, accounts: 0 });
      expect((await second.ask('get', { key: 101 })).value).toBeUndefined();
    });
  }

  it('is read from outside as of its last commit, its transaction still open', async () => {
    const owner = child();
    await owner.ask('open', { dir, logWords: 1 << 14 });
    await owner.ask('put', { key: 1, value: 'one' });
    await owner.ask('putOpen', { key: 2, value: 'two' });
    await owner.kill();
    const segment = attachSegment({ dir, name: 'bank', kind: 'state' });
    const reader = openReader(segment);
    expect(reader.snapshot(s => s.root())).toMatchObject({ uids: [[1, 'one']] });
    expect(reader.snapshot(s => s.pool('accounts').size)).toBe(0);
    expect(reader.check()).toEqual([]);
    segment.close();
  });
});

interface Account {
  up: number;
  down: number;
  twin: number;
  label: string;
  items: [number, number][];
}

function torn(a: Account): string | undefined {
  if (a.up + a.down !== 0) return `up ${a.up}, down ${a.down}`;
  if (a.twin !== (a.up | 0)) return `up ${a.up}, twin ${a.twin}`;
  if (a.label !== `L${a.up}`) return `up ${a.up}, label ${a.label}`;
  const residues = new Set(a.items.map(([key]) => key % 8));
  if (residues.size > 1 || (a.items.length !== 0 && a.items.length !== 4)) return `items ${JSON.stringify(a.items)}`;
  return undefined;
}

describe('reads from outside', () => {
  const reads = soak ? 3_000_000 : 40_000;

  it(`none of ${reads} reads of a record, nor of whole pools, is torn while the owner writes at full speed`, async () => {
    const ACCOUNTS = 64;
    const owner = child();
    await owner.ask('open', { dir, logWords: 1 << 18 });
    await owner.ask('storm', { accounts: ACCOUNTS });
    const segment = attachSegment({ dir, name: 'bank', kind: 'state' });
    const reader: StoreReader = openReader(segment);
    const before = reader.commitNo;
    const wrong: string[] = [];
    let seed = 1;
    for (let n = 0; n < reads; n++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      const slot = (seed >>> 8) % ACCOUNTS;
      const found = reader.snapshot(s => s.record('accounts', slot)) as Account | undefined;
      const what = found === undefined ? 'gone' : torn(found);
      if (what !== undefined) wrong.push(`read ${n}, slot ${slot}: ${what}`);
      if (n % 200 === 0) {
        // One commit over all records and the root: the sum over all is 0 at each commit.
        const sum = reader.snapshot(s => {
          let total = 0;
          for (const a of s.pool('accounts').values()) total += (a as unknown as Account).up;
          return { total, count: s.pool('accounts').size, root: s.root()['total'] };
        });
        if (sum.total !== 0 || sum.count !== ACCOUNTS || sum.root !== 0)
          wrong.push(`pool at read ${n}: ${JSON.stringify(sum)}`);
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    // The writer was at work all the time.
    expect(reader.commitNo - before).toBeGreaterThan(1_000);
    segment.close();
  });
});
