// A child process of the tests: what a walk costs is remembered by memoize, as it comes from npm, whose cache is a map in
// the segment. It runs the built dist/.
import { f64, int, map, state, struct, text } from '@lich/schema';
import memoize, { memoizeClear } from 'memoize';
import { storePlan } from 'lich/state';
import { killedOwner, violations } from '../testing/owner.mjs';

/** What memoize keeps for each key. */
class Answer extends struct({ data: f64, maxAge: f64 }) {}
const schema = state({ answers: map(text(), Answer), worked: int, asked: int });
const plan = storePlan(schema, { logWords: 1 << 16, heapBytes: 4 << 20 });
const PLACES = 60;

let costOf;

const cost = (from, to) => Math.hypot((from % 8) - (to % 8), (from >> 3) - (to >> 3)) * (1 + ((from ^ to) & 3));

/** What a life begins with: the package's function, over the map as it is. */
function begin({ state: s }) {
  const work = (from, to) => {
    s.worked++;
    return cost(from, to);
  };
  costOf = memoize(work, { cache: s.answers, cacheKey: ([from, to]) => `${from} to ${to}` });
}

function audit(store) {
  const { state: s } = store;
  const wrong = violations(store);
  // Each answer was worked out once, and none was lost.
  if (s.answers.size !== s.worked) wrong.push(`${s.answers.size} answers, ${s.worked} worked out`);
  for (const [key, { data }] of s.answers) {
    const [from, to] = key.split(' to ').map(Number);
    if (data !== cost(from, to)) wrong.push(`${key}: ${data}, not ${cost(from, to)}`);
  }
  return { wrong, done: s.asked };
}

killedOwner({
  name: 'walks',
  plan,
  times: 200,
  open(store) {
    const found = audit(store);
    begin(store);
    return found;
  },
  churn({ state: s }, random) {
    return () => {
      for (let k = 1 + random(4); k > 0; k--) {
        const from = random(PLACES);
        const to = random(PLACES);
        if (costOf(from, to) !== cost(from, to)) process.abort();
        s.asked++;
      }
      if (random(2_000) === 0) {
        memoizeClear(costOf);
        s.worked = 0;
      }
    };
  },
});
