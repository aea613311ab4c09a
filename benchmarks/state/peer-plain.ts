/** Plain objects of a class, in an array: what a server keeps its state in otherwise. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, type TrialInput } from '../lib/tools.ts';
import { digestOf, type Fields, initial, PER_TRANSACTION, sizes } from './work.ts';

// Initialised in place: a field that is declared first and assigned in the constructor holds boxed numbers, and each write
// allocates (three times the cost).
class Unit implements Fields {
  hp = initial.hp;
  x = initial.x;
  y = initial.y;
  z = initial.z;
}

export default function plain({ size }: TrialInput): Measured {
  pin(1);
  nowNs();
  const { records, rounds, warm } = sizes[size];
  const all: Unit[] = [];
  for (let k = 0; k < records; k++) all.push(new Unit());
  const write = () => {
    for (let k = 0; k < records; k++) {
      const unit = all[k];
      unit.hp = (unit.hp - 1) | 0;
      unit.x += 0.5;
      unit.y += unit.x * 0.25;
      unit.z += unit.hp;
    }
  };
  const figures: Record<string, number> = {};
  for (const per of PER_TRANSACTION) figures[`write${per}`] = bestNs(rounds, warm, records, write);
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
    all.forEach(unit => {
      walked += unit.hp;
    });
  });
  figures.churn = bestNs(rounds, warm, records, () => {
    for (let k = 0; k < records; k++) {
      all.push(new Unit());
      all.pop();
    }
  });
  return { figures, work: `${digestOf(all)} ${sum} ${walked} ${all.length}` };
}
