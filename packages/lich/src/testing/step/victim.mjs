// A process that commits transactions as fast as it can, for the single-stepper: `node victim.mjs DIR good|swapped`.
// `swapped` stores the data before its log entry, which is the bug that the stepper must find.
import { state, array, u32 } from '@lich/schema';
import { createSegment, OwnerLock } from '../../../dist/shm/index.js';
import { openStore, storePlan, WORDS } from '../../../dist/state/index.js';

const [dir, variant] = process.argv.slice(2);
const plan = storePlan(state({ words: array(u32, 64) }), { logWords: 1 << 14 });
OwnerLock.open(dir, 'victim').acquire();
const { regions, catalog, layoutHash } = plan;
const segment = createSegment({ dir, name: 'victim', kind: 'state', regions, catalog, layoutHash });
createSegment({ dir, name: 'victim', kind: 'lanes', regions: [{ name: 'out', bytes: 4096 }], layoutHash: 1n });
const store = openStore(segment, plan);
store.recover();

const S = segment.i32;
const log = segment.regions.get('log').offset / 4;
const root = segment.regions.get('root').offset / 4;
const mask = plan.logWords - 1;
const { LOG_POS } = WORDS;

function swapped(word, value) {
  const q = S[LOG_POS];
  const k = log + (q & mask);
  const old = S[word];
  S[word] = value;
  S[k] = word;
  S[k + 1] = old;
  S[LOG_POS] = (q + 2) | 0;
}

const write = variant === 'swapped' ? swapped : store.log.write;
let seed = 1;
function transaction() {
  store.log.begin();
  for (let n = 0; n < 8; n++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    const word = root + (seed >>> 26);
    write(word, (S[word] + 1) | 0);
  }
  if ((seed & 7) === 0) store.log.rollback();
  else store.log.commit();
}

for (let n = 0; n < 200_000; n++) transaction();
process.stdout.write('ready\n');
setImmediate(function turn() {
  for (let n = 0; n < 1_000; n++) transaction();
  setImmediate(turn);
});
