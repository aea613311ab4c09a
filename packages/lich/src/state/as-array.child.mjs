// A child process of the tests: the order of turns of a game is kept by tinyqueue, as it comes from npm, over an array in
// the segment. It runs the built dist/.
import { array, int, pool, ref, state, struct } from '@lich/schema';
import TinyQueue from 'tinyqueue';
import { asArray, storePlan } from 'lich/state';
import { killedOwner, violations } from '../testing/owner.mjs';

const UNITS = 60;
class Unit extends struct({ at: int, turns: int }) {}
const schema = state({ units: pool(Unit, { capacity: 256 }), turns: array(ref('units')), now: int, done: int });
const plan = storePlan(schema, { logWords: 1 << 16, heapBytes: 4 << 20 });
const byTime = (a, b) => a.at - b.at;

let queue;

/** What a life begins with: the package's own fields are made anew over what is in the segment. */
function begin({ log, state: s }) {
  log.begin();
  while (s.turns.length < UNITS) s.turns.push(s.units.create({ at: s.turns.length }));
  queue = new TinyQueue(asArray(s.turns), byTime);
  log.commit();
  // Its `length` is a field of its own: a rollback does not know it.
  log.onRollback(() => (queue.length = s.turns.length));
}

function audit(store) {
  const { state: s } = store;
  const wrong = violations(store);
  const all = s.turns.toArray().length === s.turns.length ? [...s.turns] : [];
  if (new Set(all).size !== s.units.size)
    wrong.push(`${s.units.size} units, ${new Set(all).size} of them in ${all.length} turns`);
  for (let k = 1; k < all.length; k++) {
    if (all[k].at < all[(k - 1) >> 1].at) wrong.push(`turn ${k} is before the one above it`);
  }
  let turns = 0;
  for (const unit of s.units) {
    turns += unit.turns;
    if (unit.at < s.now) wrong.push(`a unit waits for ${unit.at}, it is ${s.now}`);
  }
  if (turns !== s.done) wrong.push(`${turns} turns, ${s.done} were counted`);
  return { wrong, done: s.done, units: s.units.size };
}

killedOwner({
  name: 'turns',
  plan,
  times: 200,
  open(store) {
    // First what was left, then what a life begins with.
    const found = audit(store);
    begin(store);
    return found;
  },
  churn({ state: s }, random) {
    return () => {
      const unit = queue.pop();
      s.now = unit.at;
      s.done++;
      unit.turns++;
      if (random(40) === 0 && s.units.size < 200) queue.push(s.units.create({ at: s.now + random(50) }));
      unit.at += 1 + random(100);
      queue.push(unit);
    };
  },
});
