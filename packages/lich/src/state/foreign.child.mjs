// A child process of the tests: an owner whose state is held twice, by Lich and by a C library in WASM in the same segment.
// It runs the built dist/.
import { readFileSync } from 'node:fs';
import { array, f64, state, u32 } from '@lich/schema';
import { foreign, foreignModule, storePlan } from 'lich/state';
import { killedOwner, violations } from '../testing/owner.mjs';

const NAMES = 200;
const wasm = readFileSync(new URL('../testing/fixtures/foreign/board.wasm', import.meta.url));
/** 0 = not on the board. */
const schema = state({ scores: array(f64, NAMES), done: u32 });
const plan = storePlan(schema, { logWords: 1 << 18, heapBytes: 4 << 20 });

let segment;
let memory;
let lib;
/** Where names are handed over. */
let scratch;

function name(k) {
  const bytes = Buffer.from(`player number ${k}`);
  segment.u8.set(bytes, scratch);
  return [scratch, bytes.length];
}

/** Do both hold the same? */
function audit(store) {
  const wrong = violations(store);
  const faults = lib.board_check(memory.root);
  if (faults !== 0) wrong.push(`the board has ${faults} faults`);
  let on = 0;
  for (let k = 0; k < NAMES; k++) {
    const entry = lib.board_find(memory.root, ...name(k)) >>> 0;
    const score = entry === 0 ? 0 : lib.entry_score(entry);
    if (score !== 0) on++;
    if (score !== store.state.scores.at(k))
      wrong.push(`name ${k}: ${score} on the board, ${store.state.scores.at(k)} in the state`);
  }
  if (lib.board_count(memory.root) !== on)
    wrong.push(`the board counts ${lib.board_count(memory.root)}, there are ${on}`);
  return { wrong, on, done: store.state.done, blocks: memory.size.blocks };
}

killedOwner({
  name: 'board',
  plan,
  times: 100,
  open(store) {
    segment = store.segment;
    store.log.begin();
    memory = foreign(store, 'board');
    lib = foreignModule(memory, wasm);
    scratch = memory.malloc(64);
    if (memory.root === 0) memory.root = lib.board_new() >>> 0;
    store.log.commit();
    const found = audit(store);
    // Names are handed over inside of transactions only: the next life takes its own room.
    store.log.begin();
    memory.free(scratch);
    store.log.commit();
    return found;
  },
  churn({ state: s }, random) {
    return () => {
      memory.guard('all', () => {
        scratch = memory.malloc(64);
        for (let n = 1 + random(4); n > 0; n--) {
          const k = random(NAMES);
          if (random(3) === 0) {
            lib.board_remove(memory.root, ...name(k));
            s.scores.set(k, 0);
          } else {
            const score = 1 + random(50);
            lib.board_put(memory.root, ...name(k), score);
            s.scores.set(k, score);
          }
        }
        memory.free(scratch);
      });
      s.done = (s.done + 1) >>> 0;
    };
  },
});
