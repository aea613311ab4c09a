/** One DataView, records of 64 bytes: how binary state is usually written by hand. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, type TrialInput } from '../lib/tools.ts';
import { digestOf, initial, PER_TRANSACTION, sizes } from './work.ts';

const BYTES = 64;

export default function dataview({ size }: TrialInput): Measured {
  pin(1);
  nowNs();
  const { records, rounds, warm } = sizes[size];
  const view = new DataView(new SharedArrayBuffer(records * BYTES));
  for (let b = 0; b < records * BYTES; b += BYTES) {
    view.setInt32(b + 16, initial.hp, true);
    view.setFloat32(b + 20, initial.x, true);
    view.setFloat32(b + 24, initial.y, true);
    view.setFloat32(b + 28, initial.z, true);
  }
  const write = () => {
    for (let b = 0; b < records * BYTES; b += BYTES) {
      view.setInt32(b + 16, view.getInt32(b + 16, true) - 1, true);
      view.setFloat32(b + 20, view.getFloat32(b + 20, true) + 0.5, true);
      view.setFloat32(b + 24, view.getFloat32(b + 24, true) + view.getFloat32(b + 20, true) * 0.25, true);
      view.setFloat32(b + 28, view.getFloat32(b + 28, true) + view.getInt32(b + 16, true), true);
    }
  };
  const figures: Record<string, number> = {};
  for (const per of PER_TRANSACTION) figures[`write${per}`] = bestNs(rounds, warm, records, write);
  let sum = 0;
  figures.read = bestNs(rounds, warm, records, () => {
    sum = 0;
    for (let b = 0; b < records * BYTES; b += BYTES) {
      sum +=
        view.getInt32(b + 16, true) +
        view.getFloat32(b + 20, true) +
        view.getFloat32(b + 24, true) +
        view.getFloat32(b + 28, true);
    }
  });
  let walked = 0;
  figures.walk = bestNs(rounds, warm, records, () => {
    walked = 0;
    for (let b = 0; b < records * BYTES; b += BYTES) walked += view.getInt32(b + 16, true);
  });
  const fields = Array.from({ length: records }, (_, k) => ({
    hp: view.getInt32(k * BYTES + 16, true),
    x: view.getFloat32(k * BYTES + 20, true),
    y: view.getFloat32(k * BYTES + 24, true),
    z: view.getFloat32(k * BYTES + 28, true),
  }));
  return { figures, work: `${digestOf(fields)} ${sum} ${walked} ${records}` };
}
