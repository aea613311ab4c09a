// A child process of the tests: an owner whose state grows and shrinks in all ways that a schema knows. It runs the built
// dist/.
import {
  array,
  bits,
  bytes,
  int,
  list,
  map,
  optional,
  pool,
  queue,
  ref,
  set,
  sorted,
  state,
  struct,
  text,
} from '@lich/schema';
import { storePlan } from 'lich/state';
import { killedOwner, violations } from '../testing/owner.mjs';

class Item extends struct({ kind: int, label: text(), charges: array(int) }) {}
class Unit extends struct({
  name: text(),
  mate: ref('units'),
  bag: map(int, Item),
  path: array(int),
  tags: set(text()),
  log: queue(text()),
  best: optional(Item),
  seen: bits(),
  nested: list(list(int)),
}) {}
const schema = state({
  units: pool(Unit),
  names: map(text(), int),
  scores: sorted(int, text()),
  items: list(Item),
  words: array(text()),
  things: array(Item),
  raw: bytes(),
  sum: int,
  done: int,
});
const plan = storePlan(schema, { logWords: 1 << 18, heapBytes: 16 << 20 });

/** All that can be added up, beside `sum`, which every transaction keeps. */
function sumOf(s) {
  let sum = 0;
  for (const unit of s.units) {
    sum += unit.bag.size + unit.path.length + unit.tags.size + unit.log.length + unit.seen.count + unit.nested.length;
    if (unit.best !== undefined) sum += unit.best.charges.length;
  }
  return sum + s.names.size + s.scores.size + s.items.length + s.words.length + s.things.length + s.raw.length;
}

killedOwner({
  name: 'growing',
  plan,
  times: 50,
  open(store) {
    const { state: s } = store;
    // With the audit: a block of the heap that nothing owns is a violation.
    const wrong = violations(store);
    if (sumOf(s) !== s.sum) wrong.push(`the sum over all is ${sumOf(s)}, ${s.sum} was committed`);
    return { wrong, done: s.done };
  },
  churn(store, random) {
    const word = () => 'abcdefghij'.repeat(1 + random(12)).slice(random(10));
    const item = () => ({ kind: random(99), label: word(), charges: Array.from({ length: random(9) }, (_, k) => k) });
    const { state: s } = store;
    const change = () => {
      const units = s.units.size;
      if (units < 10 || (units < 60 && random(20) === 0)) s.units.create({ name: word() });
      const at = random(s.units.high);
      const unit = s.units.get(at);
      switch (random(18)) {
        case 0:
          if (unit && random(4) === 0) s.units.destroy(unit);
          break;
        case 1:
          unit?.bag.set(random(30), item());
          break;
        case 2:
          unit?.bag.delete(random(30));
          break;
        case 3:
          if (unit && random(3)) unit.path.push(random(9));
          else unit?.path.splice(0, random(4));
          break;
        case 4:
          if (unit && random(2)) unit.tags.add(word());
          else unit?.tags.clear();
          break;
        case 5:
          if (unit && random(2)) unit.log.push(word());
          else unit?.log.shift();
          break;
        case 6:
          if (unit) unit.best = random(2) ? item() : undefined;
          break;
        case 7:
          if (unit && random(9)) unit.seen.set(random(900));
          else unit?.seen.clear();
          break;
        case 8:
          if (unit && random(4)) unit.nested.push([1, 2, 3]);
          else unit?.nested.clear();
          break;
        case 9:
          if (random(3)) s.names.set(word(), 1);
          else s.names.clear();
          break;
        case 10:
          if (random(2)) s.scores.set(random(200), word());
          else s.scores.delete(random(200));
          break;
        case 11:
          if (random(2)) s.items.push(item());
          else s.items.shift();
          break;
        case 12:
          if (random(2)) s.words.push(word());
          else s.words.splice(random(9), 2, word());
          break;
        case 13:
          if (random(2)) s.things.push(item());
          else s.things.pop();
          break;
        case 14:
          s.raw = new Uint8Array(random(500));
          break;
        case 15:
          if (unit) unit.name = word();
          break;
        case 16:
          if (unit) unit.mate = s.units.get(random(s.units.high));
          break;
        default:
          if (random(50) === 0) {
            s.words.clear();
            s.things.clear();
            s.items.clear();
          }
      }
    };
    return () => {
      for (let n = 1 + random(6); n > 0; n--) change();
      s.sum = sumOf(s);
      s.done++;
    };
  },
});
