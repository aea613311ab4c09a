// A child process of the tests: an owner that takes and gives back blocks of the heap. It runs the built dist/.
import { array, state, struct, u32 } from '@lich/schema';
import { attachSegment, createSegment, OwnerLock } from '../../dist/shm/index.js';
import { openStore, storePlan } from '../../dist/state/index.js';

const SLOTS = 512;
/** Each slot owns a block, or none: its link, its words, what it is filled with. */
class Slot extends struct({ link: u32, words: u32, fill: u32 }) {}
const schema = state({ slots: array(Slot, SLOTS), done: u32 });
const plan = storePlan(schema, { logWords: 1 << 16, heapBytes: 4 << 20 });

let store;

/** What the heap has and what the slots say, as one walk. */
function audit() {
  const { heap, segment, state: s } = store;
  const wrong = store
    .check()
    .map(({ where, what }) => `${where}: ${what}`)
    .filter(line => !line.includes('leaked'));
  const owned = new Map();
  for (const slot of s.slots) if (slot.link !== 0) owned.set(slot.link, slot);
  let leaked = 0;
  let blocks = 0;
  for (const { link, words } of heap.blocks()) {
    blocks++;
    const slot = owned.get(link);
    if (slot === undefined) {
      leaked++;
      continue;
    }
    owned.delete(link);
    if (words < slot.words) wrong.push(`the block at ${link} has ${words} words, ${slot.words} are wanted`);
    for (let k = 0; k < slot.words; k++) {
      if (segment.u32[heap.base + link + k] !== (slot.fill ^ k) >>> 0) {
        wrong.push(`word ${k} of the block at ${link} is not what was committed`);
        break;
      }
    }
  }
  if (owned.size > 0) wrong.push(`${owned.size} slots own blocks that are none`);
  return { blocks, leaked, wrong, done: s.done, used: heap.usedWords, high: heap.highWords };
}

const orders = {
  open({ dir }) {
    const lock = OwnerLock.open(dir, 'heap');
    const took = lock.tryAcquire();
    const id = { dir, name: 'heap', kind: 'state', layoutHash: plan.layoutHash };
    let segment;
    try {
      segment = attachSegment({ ...id, write: true });
    } catch (error) {
      if (error.code !== 'SHM_NOT_FOUND') throw error;
      segment = createSegment({ ...id, regions: plan.regions, catalog: plan.catalog });
    }
    store = openStore(segment, plan);
    const { undone } = store.recover();
    return { took, undone, ...audit() };
  },
  /** Transactions of 1 to 12 operations until killed; one in five is rolled back. */
  churn({ seed }) {
    let x = seed >>> 0 || 1;
    const random = n => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) % n;
    };
    const { heap, log, segment, state: s } = store;
    const slots = [...s.slots];
    const fill = (slot, words) => {
      slot.words = words;
      slot.fill = random(2 ** 31);
      log.keep(heap.base + slot.link, words);
      for (let k = 0; k < words; k++) segment.u32[heap.base + slot.link + k] = slot.fill ^ k;
    };
    const size = () => (random(20) === 0 ? random(1500) : random(4) === 0 ? random(120) : random(24));
    const transact = () => {
      log.begin();
      for (let k = 1 + random(12); k > 0; k--) {
        const slot = slots[random(SLOTS)];
        if (slot.link === 0) {
          const words = size();
          slot.link = heap.alloc(words);
          fill(slot, words);
        } else if (random(4) === 0) {
          const words = size();
          slot.link = heap.realloc(slot.link, words, Math.min(words, slot.words));
          fill(slot, words);
        } else {
          heap.free(slot.link);
          slot.link = 0;
        }
      }
      s.done = (s.done + 1) >>> 0;
      if (random(5) === 0) log.rollback();
      else log.commit();
    };
    const loop = () => {
      for (let k = 0; k < 500; k++) transact();
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
