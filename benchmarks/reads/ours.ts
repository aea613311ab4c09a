/** A reader in a process of its own beside a writer at full speed. */
import { join } from 'node:path';
import { nowNs } from 'lich/shm';
import { attach } from 'lich/state';
import { type Measured, median } from '../lib/bench.ts';
import { Helper, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { GROUP, GROUPS, RATE, RECORDS, schema, sizes, verify } from './work.ts';
import type { Written } from './writer.ts';

/** Snapshots in one go while the writer's loss is measured: one go a millisecond. */
const BURST = RATE / 1_000;
/** Blocks of the writer in a stretch that counts. */
const BLOCKS_LEAST = 5;
/** What the reader does in one stretch after the other. */
const KINDS = ['alone', 'one', 'alone', 'views'] as const;

export default async function ours({ size }: TrialInput): Promise<Measured> {
  pin(0);
  const dir = scratchDir();
  const writer = new Helper(join(import.meta.dirname, 'writer.js'), { dir });
  await writer.next();
  const reader = attach(dir, { as: 'reader', node: 'writer', schema });
  const slots = Array.from({ length: GROUPS }, (_, group) =>
    Array.from({ length: GROUP }, (__, k) => group * GROUP + k),
  );

  const one = (k: number): void => {
    const unit = reader.snapshot(s => s.record('units', (k * 97) % RECORDS)) as { hp: number };
    if (unit.hp !== 100) throw new Error(`hp is ${unit.hp}`);
  };
  const views = (k: number): void => {
    const sum = reader.read(s => {
      let gold = 0;
      for (const unit of s.units.group(slots[k % GROUPS])) gold += unit!.gold;
      return gold;
    });
    verify(sum);
  };
  const plain = (k: number): void => {
    const group = reader.snapshot(s => s.group('units', slots[k % GROUPS]));
    verify(group.reduce((sum, entry) => sum + (entry!.value.gold as number), 0));
  };
  const scan = (): void => {
    let sum = 0;
    let count = 0;
    reader.snapshot(s => {
      sum = count = 0;
      s.scan('units', ({ value }) => {
        sum += value.gold as number;
        count++;
      });
    });
    if (count !== RECORDS) throw new Error(`${count} records of ${RECORDS}`);
    verify(sum);
  };
  const { one: ones, group, scan: scans, phases, phaseMs } = sizes[size];
  /** Steps a second, of the whole run: readers begin again where the log lapped them, and that counts. */
  const rate = (count: number, step: (k: number) => void): number => {
    for (let k = 0; k < count / 10; k++) step(k);
    const from = nowNs();
    for (let k = 0; k < count; k++) step(k);
    return (count * 1e9) / (nowNs() - from);
  };
  const figures: Record<string, number> = {
    one: rate(ones, one),
    views: rate(group, views),
    plain: rate(group, plain),
    scan: rate(scans, scan),
  };

  // The writer alone and beside the reader, in turns.
  const stretches: { kind: (typeof KINDS)[number]; from: number; to: number }[] = [];
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  let snapshots = 0;
  const busyNs = { one: 0, views: 0 };
  const made = { one: 0, views: 0 };
  for (let phase = 0; phase < phases; phase++) {
    const kind = KINDS[phase % KINDS.length];
    const from = nowNs();
    for (let ms = 0; ms < phaseMs; ms++) {
      const due = from + (ms + 1) * 1e6;
      if (kind !== 'alone') {
        const began = nowNs();
        for (let k = 0; k < BURST; k++) (kind === 'one' ? one : views)(snapshots++);
        busyNs[kind] += nowNs() - began;
        made[kind] += BURST;
      }
      const leftMs = (due - nowNs()) / 1e6;
      if (leftMs > 0) Atomics.wait(sleeper, 0, 0, leftMs);
    }
    stretches.push({ kind, from, to: nowNs() });
  }
  writer.process.send('stop');
  const written = await writer.next<Written>();
  await writer.end();
  reader.close();

  // A stretch in which the writer did not run, because something else had its core, says nothing.
  const taken = stretches.map(({ from, to }) => {
    const ns = written.ns.filter((_, k) => written.ends[k] > from + 2e6 && written.ends[k] < to);
    return ns.length < BLOCKS_LEAST ? Number.NaN : median(ns);
  });
  const sound = (values: readonly number[]): number[] => values.filter(value => !Number.isNaN(value));
  const alone = median(sound(taken.filter((_, k) => stretches[k].kind === 'alone')));
  figures.alone = Number.isNaN(alone) ? 0 : alone;
  for (const kind of ['one', 'views'] as const) {
    const mine = stretches.filter(stretch => stretch.kind === kind);
    // What drifts, drifts over both neighbours, where the writer is alone.
    const ratios = sound(
      taken.map((ns, k) =>
        stretches[k].kind === kind ? (2 * ns) / (taken[k - 1] + (taken[k + 1] ?? Number.NaN)) : Number.NaN,
      ),
    );
    if (ratios.length === 0 && size === 'full') throw new Error('the writer hardly ran: something else has its core');
    const allNs = mine.reduce((sum, { from, to }) => sum + to - from, 0);
    figures[`${kind}Beside`] = figures.alone * (ratios.length === 0 ? 1 : median(ratios));
    figures[`${kind}Reached`] = (made[kind] * 1e9) / allNs;
    figures[`${kind}Busy`] = (busyNs[kind] / allNs) * 100;
  }
  return { figures };
}
