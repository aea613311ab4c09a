// What child processes of tests share that own a store: each is an owner that obeys orders, takes over what the one before
// left, and changes it until it is killed. Runs the built dist/.
import { attachSegment, createSegment, OwnerLock } from 'lich/shm';
import { openStore } from 'lich/state';

/** Take the lock, make the segment or open what is there, and undo what was open. */
export function own(dir, name, plan) {
  const took = OwnerLock.open(dir, name).tryAcquire();
  const id = { dir, name, kind: 'state', layoutHash: plan.layoutHash };
  let segment;
  try {
    segment = attachSegment({ ...id, write: true });
  } catch (error) {
    if (error.code !== 'SHM_NOT_FOUND') throw error;
    segment = createSegment({ ...id, regions: plan.regions, catalog: plan.catalog });
  }
  const store = openStore(segment, plan);
  const { undone } = store.recover();
  return { store, took, undone };
}

/** What `check()` found, as lines. */
export const violations = store => store.check().map(({ where, what }) => `${where}: ${what}`);

/** @returns a function that draws whole numbers below its argument */
export function dice(seed) {
  let x = seed >>> 0 || 1;
  return n => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % n;
  };
}

/** Obey orders sent over IPC: `{ do, ...details }`. */
export function obey(orders) {
  process.on('message', order => {
    try {
      process.send(orders[order.do](order));
    } catch (error) {
      process.send({ error: { name: error.name, code: error.code, message: error.message } });
    }
  });
  process.on('disconnect', () => process.exit(0));
}

/** The child of `overKills` (killed-owner.test-bed.ts).
 * @param open called with the store of a life. @returns what is wrong with what was found, and what else the test asks for
 * @param churn called with the store and a die before the first transaction. @returns what each transaction does; one in
 * five is rolled back
 * @param times transactions in a row, before the process hears of anything */
export function killedOwner({ name, plan, open, churn, times }) {
  let store;
  obey({
    open({ dir }) {
      const { took, undone, store: taken } = own(dir, name, plan);
      store = taken;
      return { took, undone, ...open(store) };
    },
    churn({ seed }) {
      const random = dice(seed);
      const { log } = store;
      const change = churn(store, random);
      const loop = () => {
        for (let k = 0; k < times; k++) {
          log.begin();
          change();
          if (random(5) === 0) log.rollback();
          else log.commit();
        }
        setImmediate(loop);
      };
      setImmediate(loop);
      return {};
    },
  });
}
