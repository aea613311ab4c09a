/** Records of a pool in a segment on tmpfs; a tick is a transaction. Views are made ahead, as a warm standby has them. */
import { array, f32, i32, int, pool, state, struct, u16 } from '@lich/schema';
import { createSegment } from 'lich/shm';
import { openStore, storePlan } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { pin, scratchDir } from '../lib/tools.ts';
import { measureTicks, type TickWork, tickSizes } from './tick.ts';

class Item extends struct({ kind: u16, count: i32.init(2) }) {}
class Stats extends struct({ level: i32.init(1), experience: i32 }) {}
class Unit extends struct({
  kind: u16,
  hp: i32,
  gold: int,
  x: f32,
  y: f32,
  vx: f32,
  vy: f32,
  stats: Stats,
  items: array(Item, 4),
}) {}

export default function ours({ size }: TickWork): Measured {
  pin(1);
  const sizes = tickSizes[size];
  const schema = state({ units: pool(Unit, { capacity: sizes.records + 1 }) });
  const plan = storePlan(schema);
  const segment = createSegment({ ...plan, dir: scratchDir(), name: 'bench', kind: 'state' });
  const store = openStore(segment, plan);
  const { log, state: root, pools } = store;
  const { units } = root;
  for (let k = 0; k < sizes.records; ) {
    log.begin();
    for (const end = Math.min(sizes.records, k + 1_000); k < end; k++) units.create({ hp: 100, gold: k, vx: 1, vy: 2 });
    log.commit();
  }
  const prepared = pools.get('units')!;
  for (let k = 0; k < sizes.records; k++) units.get(k);
  const result = measureTicks(
    {
      tick(hits, dead) {
        log.begin();
        for (const { who, dx, dy, damage } of hits) {
          const unit = units.get(who)!;
          unit.vx = dx;
          unit.vy = dy;
          unit.x += dx;
          unit.y += dy;
          unit.hp = unit.hp > damage ? unit.hp - damage : 100;
          unit.gold++;
        }
        for (const who of dead) {
          // The slot that was given back last is the one that is taken.
          const { gold } = units.get(who)!;
          units.destroy(units.get(who)!);
          units.create({ hp: 100, gold: gold + 1, vx: 1, vy: 2 });
        }
        log.commit();
      },
      idle: () => prepared.prepare(sizes.births),
      sum() {
        let sum = 0;
        units.forEach(unit => {
          const { hp, gold, x, y } = unit;
          sum = (sum + hp + gold + x + y) % 1e9;
          if (gold % 1_000 === 0) sum += unit.stats.level + unit.items.get(3).count;
        });
        return sum;
      },
    },
    sizes,
  );
  segment.close(true);
  return result;
}
