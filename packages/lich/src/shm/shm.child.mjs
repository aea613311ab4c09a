// A child process of the tests: does what it is told over IPC, one answer for each order. It runs the built dist/.
import * as shm from 'lich/shm';

const segments = new Map();
const locks = new Map();
const say = answer => process.send(answer);
let writing;

const orders = {
  hello: () => ({ pid: process.pid }),
  /** Create or attach at a given instant, as all children of a round do. */
  race({ dir, name, atNs, regions }) {
    while (shm.nowNs() < atNs);
    const id = { dir, name, kind: 'state', layoutHash: 'race' };
    let segment;
    try {
      segment = shm.createSegment({ ...id, regions });
    } catch (error) {
      if (error.code !== 'SHM_EXISTS') throw error;
      segment = shm.attachSegment(id);
    }
    const { outcome } = segment;
    // What the creator wrote later must be seen by all: they map the same file.
    if (outcome === 'created') Atomics.store(segment.i32, 5000, process.pid);
    segments.set(name, segment);
    return { outcome };
  },
  create({ dir, name, regions, catalog }) {
    const segment = shm.createSegment({ dir, name, kind: 'state', layoutHash: 'test', regions, catalog });
    segments.set(name, segment);
    return { outcome: segment.outcome };
  },
  attach({ dir, name, write }) {
    const segment = shm.attachSegment({ dir, name, kind: 'state', layoutHash: 'test', write });
    segments.set(name, segment);
    return { outcome: segment.outcome };
  },
  makeWritable({ name }) {
    segments.get(name).makeWritable();
    return {};
  },
  close({ name, clean }) {
    segments.get(name).close(clean);
    segments.delete(name);
    return {};
  },
  read: ({ name, index }) => ({ value: Atomics.load(segments.get(name).i32, index) }),
  write({ name, index, value }) {
    Atomics.store(segments.get(name).i32, index, value);
    return {};
  },
  reserve({ name, offset, bytes }) {
    segments.get(name).reserve(offset, bytes);
    return {};
  },
  touch({ name }) {
    segments.get(name).touch();
    return {};
  },
  /** Count in a word until told otherwise. */
  keepWriting({ name, index }) {
    const { i32 } = segments.get(name);
    const step = () => {
      for (let i = 0; i < 1000; i++) i32[index]++;
      writing = setImmediate(step);
    };
    step();
    return {};
  },
  lock({ dir, name }) {
    locks.set(name, shm.OwnerLock.open(dir, name));
    return {};
  },
  tryAcquire: ({ name }) => ({ got: locks.get(name).tryAcquire() }),
  acquire({ name, timeoutMs }) {
    say({ waiting: true });
    const got = locks.get(name).acquire(timeoutMs);
    return { got, atNs: shm.nowNs() };
  },
  async acquireWhenFree({ name }) {
    say({ waiting: true });
    const got = await locks.get(name).acquireWhenFree();
    return { got, atNs: shm.nowNs() };
  },
  release({ name }) {
    clearImmediate(writing);
    locks.get(name).release();
    return {};
  },
  owner: ({ name }) => ({ owner: locks.get(name).owner() }),
  cgroup({ file }) {
    return import('node:fs').then(fs => {
      fs.writeFileSync(file, String(process.pid));
      return {};
    });
  },
  bells({ dir, index }) {
    const bells = shm.Bells.open(dir);
    bells.claim(index);
    bells.takeReady(index, () => {});
    segments.set('bells', bells);
    return {};
  },
  /** Answer every ring of `peer`, asleep in between. */
  echo({ index, peer, how }) {
    const bells = segments.get('bells');
    const answer = () => {
      if (bells.takeReady(index, () => {}) === 0) return;
      bells.setReady(peer, index);
      bells.ring(peer);
    };
    if (how === 'loop') {
      const bell = new shm.Doorbell(bells, index, () => {
        answer();
        bell.sleep();
      });
      bell.sleep();
      return {};
    }
    say({});
    for (;;) {
      const seen = bells.rings(index);
      bells.arm(index);
      if (!bells.anyReady(index)) bells.blockUntilRung(index, seen, 50);
      bells.disarm(index);
      answer();
    }
  },
  exit: ({ code }) => process.exit(code),
};

process.on('message', async order => {
  try {
    const answer = await orders[order.do](order);
    say({ done: order.do, ...answer });
  } catch (error) {
    say({ done: order.do, error: { name: error.name, code: error.code, message: error.message } });
  }
});
process.on('disconnect', () => process.exit(0));
