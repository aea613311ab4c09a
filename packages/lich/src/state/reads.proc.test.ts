/** The hunt for torn reads: one process changes a state at full speed and takes a third of it back, another reads and looks
 * for what never holds at a commit. Counts, not times, say how long. Each step of the protocol is left out once, to see
 * that the hunt finds what it is for. */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attachSegment, type Segment } from '../shm/index.ts';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';
import { attach, copyCommitted, openReader, type Snapshot, StateError, type StoreReader } from './index.ts';
import type { MirrorFlaws } from './mirror.ts';
import { undoLog } from './undo-log.ts';
import { COM_POS, LOG_POS } from './words.ts';

const soak = process.env.LICH_SOAK === '1' ? 60 : 1;
const ACCOUNTS = 64;
const seed = Number(process.env.LICH_SEED ?? Date.now() % 2 ** 31) || 1;
const SLOTS = Array.from({ length: ACCOUNTS }, (_, k) => k);

let dir: string;
let owner: Child;
beforeEach(() => {
  dir = testDir();
});
afterEach(async () => {
  await owner.kill();
  removeTestDirs();
});

async function start(logWords: number, pauseMs = 0): Promise<void> {
  owner = new Child(join(import.meta.dirname, 'reads.child.mjs'));
  await owner.ask('open', { dir, logWords, accounts: ACCOUNTS });
  await owner.ask('storm', { seed, pauseMs });
}

/** The owner has found nothing wrong itself, and was at work. */
async function finish(): Promise<void> {
  const end = await owner.ask('stop');
  expect(end.violations).toEqual([]);
  expect(end.transactions).toBeGreaterThan(0);
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const upTo = (n: number, of: (k: number) => unknown): unknown[] => Array.from({ length: n }, (_, k) => of(k + 1));

/** What is wrong with an account, of which all is plain. */
function torn(a: any): string | undefined {
  if (a.up + a.down !== 0) return `up ${a.up}, down ${a.down}`;
  if (a.twin !== (a.up | 0) || a.label !== `L${a.up}`) return `up ${a.up}, twin ${a.twin}, label ${a.label}`;
  const keys: number[] = a.bag.map(([key]: [number]) => key % 8);
  const sum = a.bag.reduce((all: number, [, v]: [number, number]) => all + v, 0);
  if (new Set(keys).size > 1 || sum !== a.sum) return `bag ${JSON.stringify(a.bag)}, sum ${a.sum}`;
  const n: number = a.steps;
  const expected = {
    log: upTo(n, k => ({ n: k, tag: `t${k}` })),
    note: 'x'.repeat(n),
    scores: upTo(n, () => 1),
    ranks: upTo(n, k => [((k as number) * 7) % 25, k]).sort((x: any, y: any) => x[0] - y[0]),
    seen: upTo(n, k => k),
    waiting: upTo(n, k => k),
    flags: upTo(n, k => k * 3),
    extra: n === 0 ? undefined : { n, tag: 'e' },
  } as Record<string, unknown>;
  for (const [name, value] of Object.entries(expected))
    if (!same(a[name], value)) return `${n} steps, ${name} is ${JSON.stringify(a[name])}`;
  return undefined;
}

/** What is wrong with all of it. */
function tornWhole(s: Snapshot): string | undefined {
  let total = 0;
  const root = s.root();
  const orders = s.entries('book');
  for (const { slot, value } of s.entries('accounts')) {
    const what = torn(value);
    if (what !== undefined) return `account ${slot}: ${what}`;
    total += value['up'] as number;
  }
  if (total !== 0 || root['total'] !== 0) return `sum ${total}, root.total ${String(root['total'])}`;
  if (orders.length !== root['orders']) return `${orders.length} orders, root.orders ${String(root['orders'])}`;
  const odd = orders.find(({ value }) => value['a'] !== value['b']);
  return odd && `order ${odd.slot}: ${JSON.stringify(odd.value)}`;
}

/** The same through views: by key, by index, by rank. */
function tornView(a: any): string | undefined {
  const n: number = a.steps;
  if (a.up + a.down !== 0 || a.label !== `L${a.up}`) return `up ${a.up}, down ${a.down}, label ${a.label}`;
  let sum = 0;
  for (const key of a.bag.keys()) sum += a.bag.get(key);
  if (sum !== a.sum) return `bag of ${a.bag.size}, sum ${sum}, not ${a.sum}`;
  const lengths = [a.log.length, a.note.length, a.scores.length, a.ranks.size, a.seen.size, a.waiting.length];
  if (lengths.some(length => length !== n) || a.flags.count !== n) return `${n} steps, lengths ${lengths.join(' ')}`;
  if (n === 0) return a.extra === undefined ? undefined : 'extra of no steps';
  if (a.log.last.n !== n || a.log.at(0).tag !== 't1' || a.ranks.get((n * 7) % 25) !== n || a.waiting.at(-1) !== n)
    return `${n} steps, log ends with ${a.log.last.n}, ranks ${a.ranks.get((n * 7) % 25)}`;
  if (!a.seen.has(n) || a.seen.has(n + 1) || !a.flags.get(n * 3) || a.extra.n !== n || a.scores.get(n - 1) !== 1)
    return `${n} steps, extra ${a.extra.n}`;
  return undefined;
}

/** Values read, or undefined when the ring was lapped too often; that is an answer, too. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof StateError && error.code === 'STATE_SNAPSHOT') return undefined;
    throw error;
  }
}

describe(`seed ${seed}`, () => {
  const reads = 4_000 * soak;

  it(`none of ${reads} records, nor of ${reads / 100} whole states, is torn`, async () => {
    await start(1 << 20);
    const reader = attach(dir, { as: 'tool', node: 'bank' });
    const before = reader.commitNo;
    const wrong: string[] = [];
    for (let k = 0; (k < reads || reader.commitNo - before < 1_000) && wrong.length < 5; k++) {
      const what = torn(reader.snapshot(s => s.record('accounts', k % ACCOUNTS)));
      if (what !== undefined) wrong.push(`read ${k}: ${what}`);
      if (k % 100 === 0) {
        const whole = reader.snapshot(tornWhole);
        if (whole !== undefined) wrong.push(`state at read ${k}: ${whole}`);
      }
      if (k % 1_000 === 0) wrong.push(...reader.check().map(({ where, what: bad }) => `${where}: ${bad}`));
    }
    expect(wrong).toEqual([]);
    reader.close();
    await finish();
  });

  it(`none of ${reads / 2} views is torn`, async () => {
    await start(1 << 20);
    const reader = attach(dir, { as: 'reader', node: 'bank' });
    const wrong: string[] = [];
    for (let k = 0; k < reads / 2 && wrong.length < 5; k++) {
      const what = reader.read(s => {
        if (k % 50 !== 0) return tornView(s['accounts'].get(k % ACCOUNTS));
        let total = 0;
        for (const a of s['accounts']) {
          const bad = tornView(a);
          if (bad !== undefined) return bad;
          total += a.up;
        }
        return total === 0 && s['book'].size === s['orders'] ? undefined : `sum ${total}, orders ${s['orders']}`;
      });
      if (what !== undefined) wrong.push(`read ${k}: ${what}`);
    }
    expect(wrong).toEqual([]);
    reader.close();
    await finish();
  });

  it('none is torn with a ring that is lapped all the time', async () => {
    await start(1 << 13);
    const reader = attach(dir, { as: 'tool', node: 'bank' });
    const wrong: string[] = [];
    let seen = 0;
    for (let k = 0; seen < reads / 4 && wrong.length < 5; k++) {
      const record = attempt(() => reader.snapshot(s => s.record('accounts', k % ACCOUNTS)));
      const what = record && torn(record);
      if (what !== undefined) wrong.push(`read ${k}: ${what}`);
      if (record !== undefined) seen++;
      if (k % 50 !== 0) continue;
      for (const entry of attempt(() => reader.snapshot(s => s.group('accounts', [1, 2, 3]))) ?? []) {
        const bad = torn(entry!.value);
        if (bad !== undefined) wrong.push(`group at read ${k}: ${bad}`);
      }
      const whole = k % 500 === 0 ? attempt(() => [reader.snapshot(tornWhole)]) : undefined;
      if (whole?.[0] !== undefined) wrong.push(`state at read ${k}: ${whole[0]}`);
    }
    expect(wrong).toEqual([]);
    reader.close();
    await finish();
  });
});

describe(`private copies, seed ${seed}`, () => {
  const COPIES = 12 * soak;
  const LOG_WORDS = 1 << 20;

  /** Undo what was open in the copy, or committed since it was begun. */
  function recover(segment: Segment): number {
    const log = segment.regions.get('log')!;
    const area = { base: log.offset / 4, words: LOG_WORDS, from: 0, to: segment.sizeBytes / 4, name: 'copy' };
    const undone = (segment.i32[LOG_POS]! - segment.i32[COM_POS]!) | 0;
    undoLog(segment.i32, area, segment.i32[COM_POS]!);
    segment.i32[COM_POS] = segment.i32[LOG_POS]!;
    return undone;
  }

  it(`${COPIES} whole copies are each as of a commit, and nothing of them reaches the owner`, async () => {
    await start(LOG_WORDS);
    const segment = attachSegment({ dir, name: 'bank', kind: 'state' });
    const wrong: string[] = [];
    let copies = 0;
    let undone = 0;
    while (copies < COPIES && wrong.length < 5) {
      if (copyCommitted(segment) !== 'copied') continue;
      copies++;
      undone += recover(segment);
      const reader = openReader(segment);
      const what = reader.snapshot(tornWhole);
      if (what !== undefined) wrong.push(`copy ${copies}: ${what}`);
      wrong.push(...reader.check().map(({ where, what: bad }) => `${where}: ${bad}`));
      segment.u8.fill(255, segment.regions.get('root')!.offset);
      segment.giveBack();
    }
    expect(wrong).toEqual([]);
    expect(undone).toBeGreaterThan(0);
    segment.close();
    await finish();
  });

  it('one that is not undone is found', async () => {
    await start(LOG_WORDS);
    const segment = attachSegment({ dir, name: 'bank', kind: 'state' });
    let found: string | undefined;
    while (found === undefined) {
      if (copyCommitted(segment) !== 'copied') continue;
      segment.i32[COM_POS] = segment.i32[LOG_POS]!;
      try {
        found = openReader(segment).snapshot(tornWhole);
      } catch (error) {
        found = (error as Error).message;
      }
      segment.giveBack();
    }
    expect(found).toBeDefined();
    segment.close();
    await finish();
  });

  it('one during which the ring is lapped is refused', async () => {
    await start(1 << 12);
    const segment = attachSegment({ dir, name: 'bank', kind: 'state' });
    while (copyCommitted(segment) !== 'lapped') segment.giveBack();
    expect(segment.writable).toBe(false);
    segment.close();
    await finish();
  });
});

describe('a reader that leaves out a step is found:', () => {
  const MOST = 200_000;
  const read: Record<string, (reader: StoreReader, k: number) => string | undefined> = {
    group: reader =>
      reader.snapshot(s => {
        const all = s.group('accounts', SLOTS);
        let total = 0;
        for (const entry of all) {
          if (entry === undefined) return 'gone';
          const { up, down, label } = entry.value as { up: number; down: number; label: string };
          if (up + down !== 0 || label !== `L${up}`) return `up ${up}, down ${down}, label ${label}`;
          total += up;
        }
        return total === 0 ? undefined : `sum ${total}`;
      }),
    whole: reader => reader.snapshot(tornWhole),
  };
  const cases: [keyof MirrorFlaws, string, string, number][] = [
    ['noUndo', 'copies are not undone', 'group', 1 << 20],
    ['lateBegin', 'c0 is taken after the copy', 'group', 1 << 20],
    ['earlyLook', 'logPos is taken before the copy', 'group', 1 << 20],
    ['noLapCheck', 'a lap of the ring goes unnoticed', 'whole', 1 << 12],
  ];
  for (const [flaw, what, how, logWords] of cases) {
    it(`${flaw}: ${what}`, async () => {
      await start(logWords);
      const segment = attachSegment({ dir, name: 'bank', kind: 'state', readOnly: true });
      const reader = openReader(segment, { flaws: { [flaw]: true } });
      let found: string | undefined;
      for (let k = 0; k < MOST && found === undefined; k++) {
        try {
          found = read[how]!(reader, k);
        } catch (error) {
          // What is torn may lead anywhere.
          found = `${(error as Error).name}: ${(error as Error).message}`;
          if (error instanceof StateError && error.code === 'STATE_SNAPSHOT') found = undefined;
        }
      }
      expect(found).toBeDefined();
      segment.close();
      await finish();
    });
  }
});
