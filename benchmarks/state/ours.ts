/** Records of a pool in a segment on tmpfs, through their public accessors, inside transactions. */
import { f32, i32, pool, state, struct } from '@lich/schema';
import { createSegment } from 'lich/shm';
import { openStore, storePlan } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { digestOf, initial, PER_TRANSACTION, sizes } from './work.ts';

class Unit extends struct({ hp: i32, x: f32, y: f32, z: f32 }) {}

export default function ours({ size }: TrialInput): Measured {
  pin(1);
  const { records, rounds, warm } = sizes[size];
  const schema = state({ units: pool(Unit, { capacity: records + 1 }) });
  const plan = storePlan(schema);
  const segment = createSegment({ ...plan, dir: scratchDir(), name: 'bench', kind: 'state' });
  const { log, state: root } = openStore(segment, plan);
  const { units } = root;
  const all: Unit[] = [];
  log.begin();
  for (let k = 0; k < records; k++) all.push(units.create(initial));
  log.commit();

  const write = (per: number) => () => {
    for (let k = 0; k < records; ) {
      log.begin();
      for (const end = Math.min(records, k + per); k < end; k++) {
        const unit = all[k];
        unit.hp = (unit.hp - 1) | 0;
        unit.x += 0.5;
        unit.y += unit.x * 0.25;
        unit.z += unit.hp;
      }
      log.commit();
    }
  };
  const figures: Record<string, number> = {};
  for (const per of PER_TRANSACTION) figures[`write${per}`] = bestNs(rounds, warm, records, write(per));

  let sum = 0;
  figures.read = bestNs(rounds, warm, records, () => {
    sum = 0;
    for (let k = 0; k < records; k++) {
      const unit = all[k];
      sum += unit.hp + unit.x + unit.y + unit.z;
    }
  });
  let walked = 0;
  figures.walk = bestNs(rounds, warm, records, () => {
    walked = 0;
    units.forEach(unit => {
      walked += unit.hp;
    });
  });
  figures.churn = bestNs(rounds, warm, records, () => {
    for (let k = 0; k < records; k++) {
      log.begin();
      units.destroy(units.create(initial));
      log.commit();
    }
  });
  const work = `${digestOf(units)} ${sum} ${walked} ${units.size}`;
  segment.close(true);
  return { figures, work };
}
