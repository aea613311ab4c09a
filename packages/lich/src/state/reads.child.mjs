// A child process of the tests: owns a state and changes it at full speed, a third of it in vain. Runs the built dist/.
//
// What holds at each commit:
//   account    up + down = 0 · twin = up · label says up · the bag's keys are of one residue and its values sum to `sum` ·
//              the log is as long as `steps` and ascends · note is `steps` letters long · scores sum to `steps`
//   all        the sum of all ups is 0 · root.total, too · as many orders as root.orders · each order's pair is its twin
import {
  bits,
  int,
  i32,
  list,
  map,
  array,
  optional,
  pool,
  queue,
  set,
  sorted,
  state,
  struct,
  text,
} from '@lich/schema';
import { attach } from 'lich/state';

class Entry extends struct({ n: i32, tag: text(6) }) {}
class Account extends struct({
  up: int,
  down: int,
  twin: i32,
  label: text(20),
  bag: map(int, i32),
  sum: int,
  log: list(Entry),
  steps: int,
  note: text(),
  scores: array(i32),
  ranks: sorted(int, i32),
  seen: set(int),
  waiting: queue(i32),
  flags: bits(),
  extra: optional(Entry),
}) {}
class Order extends struct({ a: int, b: int }) {}
export const schema = state({ accounts: pool(Account, { capacity: 256 }), book: pool(Order), total: int, orders: int });

let owner;
let stop = false;

const orders = {
  open({ dir, logWords, accounts }) {
    owner = attach(dir, { as: 'owner', node: 'bank', schema, logWords, heapBytes: 64 << 20 });
    const { log, state: s } = owner.store;
    log.begin();
    for (let k = 0; k < accounts; k++) s.accounts.create({ label: 'L0' });
    log.commit();
    return { outcome: owner.outcome };
  },
  /** Write until `stop`. @param slow pause between batches, for readers that look at much at a time */
  storm({ seed, pauseMs = 0 }) {
    const { log, state: s } = owner.store;
    const all = [...s.accounts];
    const random = () => {
      seed ^= seed << 13;
      seed ^= seed >>> 17;
      seed ^= seed << 5;
      return seed >>> 0;
    };
    const touch = (a, by) => {
      a.up += by;
      a.down -= by;
      a.twin = a.up | 0;
      a.label = `L${a.up}`;
    };
    const fill = a => {
      const residue = random() & 7;
      a.bag.clear();
      a.sum = 0;
      for (let k = random() % 12; k > 0; k--) {
        const v = random() & 255;
        a.bag.set(k * 8 + residue, v);
        a.sum += v;
      }
    };
    const step = a => {
      if (a.steps >= 24) {
        a.steps = 0;
        a.log.clear();
        a.scores.clear();
        a.ranks.clear();
        a.seen.clear();
        a.waiting.clear();
        a.flags.clear();
        a.note = '';
        a.extra = undefined;
        return;
      }
      a.steps++;
      a.log.push({ n: a.steps, tag: `t${a.steps}` });
      a.scores.push(1);
      a.ranks.set((a.steps * 7) % 25, a.steps);
      a.seen.add(a.steps);
      a.waiting.push(a.steps);
      a.flags.set(a.steps * 3);
      a.note = 'x'.repeat(a.steps);
      a.extra = { n: a.steps, tag: 'e' };
    };
    let transactions = 0;
    const transact = () => {
      const [x, y] = [random() % all.length, random() % all.length];
      const by = (random() & 15) - 7;
      log.begin();
      touch(all[x], by);
      touch(all[y], -by);
      if (transactions % 2 === 0) fill(all[x]);
      else step(all[y]);
      if (random() % 4 === 0) {
        if (s.book.size > 200) s.book.destroy([...s.book][random() % 100]);
        else s.book.create({ a: by, b: by });
        s.orders = s.book.size;
      }
      if (random() % 3 === 0) {
        all[y].up += 1e9;
        all[y].label = 'broken';
        all[x].bag.set(1e6, 1e6);
        all[x].log.push({ n: -1 });
        all[y].note = 'broken';
        s.total = 13;
        s.book.create({ a: 1, b: 2 });
        if (random() % 2 === 0) s.accounts.destroy(all[y]);
        log.rollback();
      } else log.commit();
      transactions++;
    };
    const loop = () => {
      for (let k = 0; k < 500; k++) transact();
      if (stop) {
        process.send({ transactions, violations: owner.store.check() });
        return;
      }
      if (pauseMs > 0) setTimeout(loop, pauseMs);
      else setImmediate(loop);
    };
    setImmediate(loop);
    return {};
  },
  stop() {
    stop = true;
  },
};

process.on('message', order => {
  try {
    const answer = orders[order.do](order);
    if (answer !== undefined) process.send(answer);
  } catch (error) {
    process.send({ error: { name: error.name, code: error.code, message: error.stack } });
  }
});
process.on('disconnect', () => process.exit(0));
