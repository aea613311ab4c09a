// A child process of the tests: an owner whose state is held twice, by Lich and by a C library in WASM in the same segment.
// It runs the built dist/.
import { readFileSync } from 'node:fs';
import { array, f64, state, u32 } from '@lich/schema';
import { attachSegment, createSegment, OwnerLock } from '../../dist/shm/index.js';
import { foreign, foreignModule, openStore, storePlan } from '../../dist/state/index.js';

const NAMES = 200;
const wasm = readFileSync(new URL('../testing/fixtures/foreign/board.wasm', import.meta.url));
/** 0 = not on the board. */
const schema = state({ scores: array(f64, NAMES), done: u32 });
const plan = storePlan(schema, { logWords: 1 << 18, heapBytes: 4 << 20 });

let store;
let memory;
let lib;
/** Where names are handed over. */
let scratch;

function name(k) {
  const bytes = Buffer.from(`player number ${k}`);
  store.segment.u8.set(bytes, scratch);
  return [scratch, bytes.length];
}

/** Do both hold the same? */
function audit() {
  const wrong = store.check().map(({ where, what }) => `${where}: ${what}`);
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

const orders = {
  open({ dir }) {
    const lock = OwnerLock.open(dir, 'board');
    const took = lock.tryAcquire();
    const id = { dir, name: 'board', kind: 'state', layoutHash: plan.layoutHash };
    let segment;
    try {
      segment = attachSegment({ ...id, write: true });
    } catch (error) {
      if (error.code !== 'SHM_NOT_FOUND') throw error;
      segment = createSegment({ ...id, regions: plan.regions, catalog: plan.catalog });
    }
    store = openStore(segment, plan);
    const { undone } = store.recover();
    store.log.begin();
    memory = foreign(store, 'board');
    lib = foreignModule(memory, wasm);
    scratch = memory.malloc(64);
    if (memory.root === 0) memory.root = lib.board_new() >>> 0;
    store.log.commit();
    const found = audit();
    // Names are handed over inside of transactions only: the next life takes its own room.
    store.log.begin();
    memory.free(scratch);
    store.log.commit();
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
      if (random(5) === 0) log.rollback();
      else log.commit();
    };
    const loop = () => {
      for (let k = 0; k < 100; k++) transact();
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
