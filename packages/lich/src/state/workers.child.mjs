// A child process of the tests: its main thread starts and ends workers, which own states. Runs the built dist/ and obeys
// orders sent over IPC; those with `to` are for the worker of that name. The main thread never loads the addon by itself.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { int, list, pool, state, struct, text } from '@lich/schema';

class Note extends struct({ text: text(), n: int, more: list(int) }) {}
const schema = state({ notes: pool(Note), total: int });
const MAX_NOTES = 40;

function obeyIn(port, orders) {
  const told = message => (port.send ? port.send(message) : port.postMessage(message));
  port.on('message', async order => {
    try {
      told(await orders[order.do](order));
    } catch (error) {
      told({ error: { name: error.name, code: error.code, message: error.message } });
    }
  });
}

/** Orders that any thread carries out. */
async function ordersOf(dir) {
  const { attach } = await import('lich/state');
  const { OwnerLock, threadId } = await import('lich/shm');
  const owned = new Map();
  const own = node =>
    owned.set(node, attach(dir, { as: 'owner', node, schema, heapBytes: 1 << 20, logWords: 1 << 15 })).get(node);
  const seen = ({ store, outcome, undone }) => ({
    outcome,
    undone,
    thread: threadId(),
    total: store.state.total,
    sum: [...store.state.notes].reduce((sum, note) => sum + note.n, 0),
    violations: store.check(),
  });
  const change = ({ store: { state: s } }, n) => {
    s.total += n;
    s.notes.create({ text: 'n'.repeat(n % 100), n, more: [n, n] });
    if (s.notes.size < MAX_NOTES) return;
    for (const note of s.notes) {
      s.total -= note.n;
      s.notes.destroy(note);
    }
  };
  const write = (mine, n) => {
    mine.store.log.begin();
    change(mine, n);
    mine.store.log.commit();
  };
  return {
    own: ({ node }) => seen(own(node)),
    write({ node, n }) {
      write(owned.get(node), n);
      return {};
    },
    /** Transactions until the end, one after the other or a few now and then. */
    writeOn({ node, hard = false }) {
      const mine = owned.get(node);
      const turn = () => {
        for (let k = 1; k < (hard ? 50 : 5); k++) write(mine, k);
        if (hard) setImmediate(turn);
        else setTimeout(turn, 1);
      };
      turn();
      return {};
    },
    /** A transaction that is not committed. */
    begin({ node, n }) {
      const mine = owned.get(node);
      mine.store.log.begin();
      change(mine, n);
      return {};
    },
    throwIn({ node, n }) {
      const mine = owned.get(node);
      setImmediate(() => {
        mine.store.log.begin();
        change(mine, n);
        throw new Error('a mistake');
      });
      return {};
    },
    /** Wait for the lock, and own what comes with it. */
    async inherit({ node, blocking }) {
      const lock = OwnerLock.open(dir, node);
      const got = blocking ? lock.acquire() : await lock.acquireWhenFree();
      lock.release();
      return { got, ...seen(own(node)) };
    },
    /** A node of a cluster. */
    async serve({ node }) {
      const { Core } = await import('lich/runtime');
      return new Core({ dir, name: node }, () => {});
    },
    end() {
      parentPort.close();
      return {};
    },
  };
}

if (isMainThread) {
  const workers = new Map();
  let here;
  const orders = {
    async start({ name, dir }) {
      const worker = new Worker(new URL(import.meta.url), { workerData: { dir } });
      const one = { worker, answers: [], wants: [], ended: undefined };
      workers.set(name, one);
      worker.on('message', message => {
        const want = one.wants.shift();
        if (want) want(message);
        else one.answers.push(message);
      });
      worker.on('error', error => (one.failure = error.message));
      one.ended = new Promise(resolve => worker.on('exit', code => resolve({ code, failure: one.failure })));
      return new Promise(resolve => one.wants.push(resolve));
    },
    tell({ to, order }) {
      workers.get(to).worker.postMessage(order);
      return {};
    },
    answer({ of }) {
      const one = workers.get(of);
      if (one.answers.length > 0) return one.answers.shift();
      return new Promise(resolve => one.wants.push(resolve));
    },
    async terminate({ name }) {
      await workers.get(name).worker.terminate();
      return {};
    },
    ended: ({ name }) => workers.get(name).ended,
    /** In the main thread. */
    async here({ dir, order }) {
      here ??= await ordersOf(dir);
      return here[order.do](order);
    },
    exit: () => process.exit(0),
  };
  process.on('warning', warning => process.send({ warning: warning.message }));
  obeyIn(process, orders);
  process.on('disconnect', () => process.exit(0));
} else {
  obeyIn(parentPort, await ordersOf(workerData.dir));
  parentPort.postMessage({ ready: true });
}
