/** Typed arrays over one shared buffer, no objects and no log: a record is the number of its first word, found in a list as
 * an object would be. The floor for state that lies outside of the heap. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, type TrialInput } from '../lib/tools.ts';
import { digestOf, initial, PER_TRANSACTION, sizes } from './work.ts';

const WORDS = 16;

export default function arrays({ size }: TrialInput): Measured {
  pin(1);
  nowNs();
  const { records, rounds, warm } = sizes[size];
  const buffer = new SharedArrayBuffer(records * WORDS * 4);
  const I = new Int32Array(buffer);
  const F = new Float32Array(buffer);
  for (let k = 0; k < records; k++) {
    I[k * WORDS + 4] = initial.hp;
    F[k * WORDS + 5] = initial.x;
    F[k * WORDS + 6] = initial.y;
    F[k * WORDS + 7] = initial.z;
  }
  const all = Array.from({ length: records }, (_, k) => k * WORDS);
  const write = () => {
    for (let k = 0; k < records; k++) {
      const b = all[k];
      I[b + 4] = (I[b + 4] - 1) | 0;
      F[b + 5] += 0.5;
      F[b + 6] += F[b + 5] * 0.25;
      F[b + 7] += I[b + 4];
    }
  };
  const figures: Record<string, number> = {};
  for (const per of PER_TRANSACTION) figures[`write${per}`] = bestNs(rounds, warm, records, write);
  let sum = 0;
  figures.read = bestNs(rounds, warm, records, () => {
    sum = 0;
    for (let k = 0; k < records; k++) {
      const b = all[k];
      sum += I[b + 4] + F[b + 5] + F[b + 6] + F[b + 7];
    }
  });
  let walked = 0;
  figures.walk = bestNs(rounds, warm, records, () => {
    walked = 0;
    for (let k = 0; k < records; k++) walked += I[k * WORDS + 4];
  });
  const fields = all.map(b => ({ hp: I[b + 4], x: F[b + 5], y: F[b + 6], z: F[b + 7] }));
  return { figures, work: `${digestOf(fields)} ${sum} ${walked} ${all.length}` };
}
