// A child process of the tests: the owner of a state. It runs the built dist/ and obeys orders sent over IPC.
import { i32, int, map, pool, state, struct, text } from '@lich/schema';
import { storePlan } from 'lich/state';
import { obey, own } from '../testing/owner.mjs';

class Account extends struct({ up: int, down: int, twin: i32, label: text(20), items: map(int, i32, 6) }) {}
const schema = state({
  accounts: pool(Account, { capacity: 256 }),
  uids: map(int, text(12), 64),
  total: int,
  moved: int,
});

let store;

const orders = {
  hello: () => ({ pid: process.pid }),
  /** Become the owner: make the segment, or take over what is there. */
  open({ dir, logWords }) {
    const plan = storePlan(schema, { logWords });
    const owned = own(dir, 'bank', plan);
    store = owned.store;
    const { took, undone } = owned;
    return { took, outcome: store.segment.outcome, undone, violations: store.check() };
  },
  put({ key, value }) {
    store.log.begin();
    store.state.uids.set(key, value);
    store.log.commit();
    return {};
  },
  /** Leave a transaction open. */
  putOpen({ key, value }) {
    store.log.begin();
    store.state.uids.set(key, value);
    store.state.accounts.create({ label: 'never' });
    return { size: store.state.uids.size };
  },
  get: ({ key }) => ({
    value: store.state.uids.get(key),
    size: store.state.uids.size,
    accounts: store.state.accounts.size,
  }),
  /** Write at full speed until killed. What holds at each commit: sum of up + down = 0; twin and label follow up; a map
   * holds the keys of one residue. Every third transaction is rolled back, after it has broken all of that. */
  storm({ accounts }) {
    const { log, state: s } = store;
    log.begin();
    for (let k = s.accounts.size; k < accounts; k++) s.accounts.create({ label: 'L0' });
    log.commit();
    const all = [...s.accounts];
    let seed = 777;
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
    const transact = () => {
      const [x, y] = [random() % all.length, random() % all.length];
      const by = (random() & 15) - 7;
      log.begin();
      touch(all[x], by);
      if (y !== x) touch(all[y], -by);
      else touch(all[x], -by);
      const residue = random() & 7;
      all[x].items.clear();
      for (let k = 0; k < 4; k++) all[x].items.set(k * 8 + residue, k);
      s.moved++;
      if (random() % 3 === 0) {
        all[y].up += 1e9;
        all[y].label = 'broken';
        s.total = 13;
        if (random() % 2 === 0) s.accounts.destroy(all[y]);
        log.rollback();
      } else log.commit();
    };
    const loop = () => {
      for (let k = 0; k < 2_000; k++) transact();
      setImmediate(loop);
    };
    for (let k = 0; k < 2_000; k++) transact();
    setImmediate(loop);
    return { pid: process.pid };
  },
};

obey(orders);
