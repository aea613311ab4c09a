/** `spread` over a pool that grows, in a segment on tmpfs, under the undo log: what a tick pays. */
import { i32, int, pool, state, struct } from '@lich/schema';
import { createSegment } from 'lich/shm';
import { openStore, storePlan, WORDS } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { EVERY_MS, figuresOf, frameMs, HZ, sizes } from './work.ts';

class Unit extends struct({ hp: i32, seen: int, x: int, y: int, kind: i32, rank: i32 }) {}
const Schema = state({ units: pool(Unit) });
const START_MS = 1_700_000_000_000;

export default function ours({ size }: TrialInput): Measured {
  pin(1);
  const { units: count, rounds, churn } = sizes[size];
  const plan = storePlan(Schema);
  const segment = createSegment({ ...plan, dir: scratchDir(), name: 'bench', kind: 'state' });
  const { log, state } = openStore(segment, plan);
  const { units } = state;
  for (let k = 0; k < count; ) {
    log.begin();
    for (const end = Math.min(count, k + 1_000); k < end; k++) units.create({ kind: k % 7 });
    log.commit();
  }
  const frames = HZ * (rounds + 1);
  const costs = new Float64Array(frames);
  const perFrame = new Float64Array(frames);
  let visits = 0;
  const visit = (unit: Unit): void => {
    visits++;
    unit.seen++;
    if (unit.hp < 100) unit.hp++;
  };
  for (let frame = 0; frame < frames; frame++) {
    segment.f64[WORDS.NOW >> 1] = START_MS + frameMs(frame);
    log.begin();
    for (let k = 0; k < churn; k++) {
      units.destroy(units.get(((frame * churn + k) * 7_919) % count)!);
      units.create({});
    }
    log.commit();
    log.nextStamp();
    const before = visits;
    const began = performance.now();
    log.begin();
    units.spread(EVERY_MS, visit);
    log.commit();
    costs[frame] = (performance.now() - began) * 1e3;
    perFrame[frame] = visits - before;
  }
  segment.close(true);
  const expected = count * rounds;
  const parts = perFrame.slice(1).sort();
  const even = parts[parts.length - 1] / parts[parts.length >> 1];
  return { figures: { ...figuresOf(costs), even }, work: visits >= expected ? 'all' : `${visits}` };
}
