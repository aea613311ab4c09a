// A child process of the tests: what a walk costs is remembered by memoize, as it comes from npm, whose cache is a map in
// the segment. It runs the built dist/.
import { f64, int, map, state, struct, text } from '@lich/schema';
import memoize, { memoizeClear } from 'memoize';
import { attachSegment, createSegment, OwnerLock } from '../../dist/shm/index.js';
import { openStore, storePlan } from '../../dist/state/index.js';

/** What memoize keeps for each key. */
class Answer extends struct({ data: f64, maxAge: f64 }) {}
const schema = state({ answers: map(text(), Answer), worked: int, asked: int });
const plan = storePlan(schema, { logWords: 1 << 16, heapBytes: 4 << 20 });
const PLACES = 60;

let store;
let costOf;

const cost = (from, to) => Math.hypot((from % 8) - (to % 8), (from >> 3) - (to >> 3)) * (1 + ((from ^ to) & 3));

/** What a life begins with: the package's function, over the map as it is. */
function begin() {
  const { state: s } = store;
  const work = (from, to) => {
    s.worked++;
    return cost(from, to);
  };
  costOf = memoize(work, { cache: s.answers, cacheKey: ([from, to]) => `${from} to ${to}` });
}

function audit() {
  const { state: s } = store;
  const wrong = store.check().map(({ where, what }) => `${where}: ${what}`);
  // Each answer was worked out once, and none was lost.
  if (s.answers.size !== s.worked) wrong.push(`${s.answers.size} answers, ${s.worked} worked out`);
  for (const [key, { data }] of s.answers) {
    const [from, to] = key.split(' to ').map(Number);
    if (data !== cost(from, to)) wrong.push(`${key}: ${data}, not ${cost(from, to)}`);
  }
  return { wrong, asked: s.asked, answers: s.answers.size };
}

const orders = {
  open({ dir }) {
    const lock = OwnerLock.open(dir, 'walks');
    const took = lock.tryAcquire();
    const id = { dir, name: 'walks', kind: 'state', layoutHash: plan.layoutHash };
    let segment;
    try {
      segment = attachSegment({ ...id, write: true });
    } catch (error) {
      if (error.code !== 'SHM_NOT_FOUND') throw error;
      segment = createSegment({ ...id, regions: plan.regions, catalog: plan.catalog });
    }
    store = openStore(segment, plan);
    const { undone } = store.recover();
    const found = audit();
    begin();
    return { took, undone, ...found };
  },
  churn({ seed }) {
    let x = seed >>> 0 || 1;
    const random = n => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) % n;
    };
    const { log, state: s } = store;
    const transact = () => {
      log.begin();
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
      if (random(5) === 0) log.rollback();
      else log.commit();
    };
    const loop = () => {
      for (let k = 0; k < 200; k++) transact();
      setImmediate(loop);
    };
    setImmediate(loop);
    return {};
  },
};

process.on('message', order => {
  try {
    process.send(orders[order.do](order));
  } catch (error) {
    process.send({ error: { name: error.name, code: error.code, message: error.message } });
  }
});
process.on('disconnect', () => process.exit(0));
