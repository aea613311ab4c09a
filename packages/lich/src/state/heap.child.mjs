// A child process of the tests: an owner that takes and gives back blocks of the heap. It runs the built dist/.
import { array, state, struct, u32 } from '@lich/schema';
import { storePlan } from 'lich/state';
import { killedOwner, violations } from '../testing/owner.mjs';

const SLOTS = 512;
/** Each slot owns a block, or none: its link, its words, what it is filled with. */
class Slot extends struct({ link: u32, words: u32, fill: u32 }) {}
const schema = state({ slots: array(Slot, SLOTS), done: u32 });
const plan = storePlan(schema, { logWords: 1 << 16, heapBytes: 4 << 20 });

/** What the heap has and what the slots say, as one walk. */
function audit(store) {
  const { heap, segment, state: s } = store;
  const wrong = violations(store).filter(line => !line.includes('leaked'));
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

killedOwner({
  name: 'heap',
  plan,
  times: 500,
  open: audit,
  /** 1 to 12 operations a transaction. */
  churn(store, random) {
    const { heap, log, segment, state: s } = store;
    const slots = [...s.slots];
    const fill = (slot, words) => {
      slot.words = words;
      slot.fill = random(2 ** 31);
      log.keep(heap.base + slot.link, words);
      for (let k = 0; k < words; k++) segment.u32[heap.base + slot.link + k] = slot.fill ^ k;
    };
    const size = () => (random(20) === 0 ? random(1500) : random(4) === 0 ? random(120) : random(24));
    return () => {
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
    };
  },
});
