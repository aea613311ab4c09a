/** Objects of a class, in an array by number: what a server keeps its state in otherwise. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { pin } from '../lib/tools.ts';
import { measureTicks, type TickWork, tickSizes } from './tick.ts';

class Unit {
  kind = 0;
  hp = 100;
  gold: number;
  x = 0;
  y = 0;
  vx = 1;
  vy = 2;
  stats = { level: 1, experience: 0 };
  items = Array.from({ length: 4 }, () => ({ kind: 0, count: 2 }));

  constructor(gold: number) {
    this.gold = gold;
  }
}

export default function plain({ size }: TickWork): Measured {
  pin(1);
  nowNs();
  const sizes = tickSizes[size];
  const units: Unit[] = [];
  for (let k = 0; k < sizes.records; k++) units.push(new Unit(k));
  return measureTicks(
    {
      tick(hits, dead) {
        for (const { who, dx, dy, damage } of hits) {
          const unit = units[who];
          unit.vx = dx;
          unit.vy = dy;
          unit.x += dx;
          unit.y += dy;
          unit.hp = unit.hp > damage ? unit.hp - damage : 100;
          unit.gold++;
        }
        for (const who of dead) units[who] = new Unit(units[who].gold + 1);
      },
      sum() {
        let sum = 0;
        for (const { hp, gold, x, y, stats, items } of units) {
          sum = (sum + hp + gold + x + y) % 1e9;
          if (gold % 1_000 === 0) sum += stats.level + items[3].count;
        }
        return sum;
      },
    },
    sizes,
  );
}
