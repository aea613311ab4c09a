/** The same records as JSON texts, one a line, on tmpfs; a loop written for exactly this change reads, changes and writes
 * them. Nothing is checked, and what is removed is kept by hand for the way back. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { first, mustEqual, second, sizes, sorted } from './work.ts';

/** Lines are written in blocks of so many, and a file holds no more of them than a text may be long. */
const BLOCK = 1_000;
const FILE = 100_000;

export default function json({ size }: TrialInput): Measured {
  pin(1);
  const records = sizes[size];
  const dir = scratchDir();
  const path = (name: string, n: number) => join(dir, `${name}-${n / FILE}`);
  const write = (name: string, from: number, of: (n: number) => unknown): void => {
    const file = openSync(path(name, from), 'w');
    const end = Math.min(records, from + FILE);
    for (let n = from; n < end; ) {
      let lines = '';
      for (const stop = Math.min(end, n + BLOCK); n < stop; n++) lines += `${JSON.stringify(of(n))}\n`;
      writeSync(file, lines);
    }
    closeSync(file);
  };
  const read = (name: string, from: number): any[] =>
    readFileSync(path(name, from), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line));
  const files = Array.from({ length: Math.ceil(records / FILE) }, (_, k) => k * FILE);
  for (const from of files) write('v1', from, first);

  const figures: Record<string, number> = {};
  const go = (figure: string, step: (from: number) => void) => {
    const startNs = nowNs();
    for (const from of files) step(from);
    figures[figure] = (nowNs() - startNs) / 1e9 / (records / 1e6);
  };
  go('there', from => {
    const all = read('v1', from);
    write('v2', from, n => {
      const { luck: _, level, marks, bag, ...rest } = all[n - from];
      const items = bag.map(([key, item]: [number, object]) => [key, { bound: false, ...item }]);
      return { ...rest, rank: level, hp: 100, marks: [...marks, 0, 0], bag: items };
    });
  });
  go('back', from => {
    const all = read('v2', from);
    const before = read('v1', from);
    write('v3', from, n => {
      const { rank: level, hp: _, marks, bag, ...rest } = all[n - from];
      const items = bag.map(([key, { kind, count }]: [number, { kind: number; count: number }]) => [
        key,
        { kind, count },
      ]);
      return { ...rest, level, luck: before[n - from].luck, marks: marks.slice(0, 4), bag: items };
    });
  });

  const look = (name: string, want: (n: number) => object): string => {
    const hash = createHash('sha256');
    for (const from of files)
      read(name, from).forEach((value, k) => {
        mustEqual(value, want(from + k), `${name}[${from + k}]`);
        if ((from + k) % 1_000 === 0) hash.update(sorted(value));
      });
    return hash.digest('hex').slice(0, 16);
  };
  return { figures, work: `${look('v2', n => second(n, true))} ${look('v3', first)}` };
}
