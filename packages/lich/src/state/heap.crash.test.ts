/** Crash points of the heap: every path of alloc, free and realloc, stopped after every store, recovered as a new process
 * would, checked, and compared byte by byte with the segment before or after the transaction. */
import { state, u32 } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { dataBeforeLog } from '../testing/crash.ts';
import { RolledBack, StoreRun } from '../testing/store-run.ts';
import { type Store, storePlan } from './index.ts';
import { LOG_POS } from './words.ts';

const plan = storePlan(state({ n: u32 }), { logWords: 1 << 12, heapBytes: 65_536 });

/** Transactions in order, over links by name. `fail` is thrown to roll one back. */
type Links = Map<string, number>;
type Step = (store: Store, links: Links) => void;

const fill = ({ heap, log, segment }: Store, link: number, value: number): void => {
  const words = Math.min(heap.wordsOf(link), 9);
  log.keep(heap.base + link, words);
  for (let k = 0; k < words; k++) segment.u32[heap.base + link + k] = value * 256 + k;
};
const take =
  (name: string, words: number, foreign = false): Step =>
  (store, links) => {
    links.set(name, store.heap.alloc(words, foreign));
    fill(store, links.get(name)!, links.size);
  };
const give =
  (name: string): Step =>
  ({ heap }, links) => {
    heap.free(links.get(name)!);
    links.delete(name);
  };
const resize =
  (name: string, words: number, keep: number): Step =>
  ({ heap }, links) =>
    void links.set(name, heap.realloc(links.get(name)!, words, keep));
const undone =
  (...steps: Step[]): Step =>
  (store, links) => {
    const here = store.log.savepoint();
    const before = new Map(links);
    for (const step of steps) step(store, links);
    store.log.rollbackTo(here);
    links.clear();
    for (const [name, link] of before) links.set(name, link);
  };
const fail: Step = () => {
  throw new RolledBack();
};
const many = (count: number, step: (k: number) => Step): Step[] => Array.from({ length: count }, (_, k) => step(k));

const work: Step[][] = [
  [take('a', 3), take('b', 100), take('c', 0, true)],
  [give('a'), take('d', 3), take('e', 70)],
  [give('b'), take('f', 80)], // from the end of b; what is left is in another bin
  [give('d'), give('c'), take('g', 1), take('h', 4), fail],
  [resize('e', 90, 70), resize('e', 200, 40), fill2('e')],
  [give('f'), resize('e', 80, 80), resize('e', 2, 2)], // shrinks: the rest merges with what follows
  [take('i', 500), take('j', 300), take('k', 40), take('l', 300), take('m', 65)],
  [give('i'), give('l')],
  [undone(give('j'), take('x', 900), give('k')), give('j')], // merges with both neighbours
  [take('n', 65), take('o', 64), resize('m', 66, 65)],
  [undone(take('x', 12), give('n')), give('o'), give('m'), take('p', 62)],
  many(24, k => take(`q${k}`, 44)),
  many(12, k => give(`q${2 * k}`)),
  [give('p')],
  // More than may wait on quick lists: some go to the bins, and take others with them.
  many(40, k => take(`r${k}`, 60)),
  [give('r0')],
  many(38, k => give(`r${k + 1}`)),
  many(12, k => give(`q${2 * k + 1}`)),
  [give('r39'), fail],
  [give('r39'), give('n'), give('k'), give('e'), give('c')],
];
function fill2(name: string): Step {
  return (store, links) => fill(store, links.get(name)!, 9);
}

/** Nothing owns the blocks here but the model: what is left of them is no leak. */
const broken = (store: Store) => store.check().filter(({ what }) => !/leaked|has no owner/.test(what));

function record(): StoreRun {
  const run = new StoreRun(plan);
  let links: Links = new Map();
  run.start();
  for (const steps of work) {
    const before = new Map(links);
    const committed = run.transact(store => steps.forEach(step => step(store, links)));
    if (!committed) links = before;
  }
  run.trace.stop();
  const left = [...run.store.heap.blocks()].map(block => block.link);
  expect(left).toEqual([...links.values()].sort((a, b) => a - b));
  expect(broken(run.store)).toEqual([]);
  return run;
}

describe('crash points of the heap', () => {
  it('recovered to before or after, byte by byte', () => {
    const run = record();
    const { points, wrong, undone } = run.verify(1, broken);
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(points).toBeGreaterThan(3_000);
    expect(undone).toBeGreaterThan(10_000);
  });

  it('finds the planted bug: data before its log position', () => {
    const run = record();
    run.trace.mutate(stores => dataBeforeLog(stores, 'S', LOG_POS * 4));
    expect(run.verify(7, broken).wrong.length).toBeGreaterThan(50);
  });
});
