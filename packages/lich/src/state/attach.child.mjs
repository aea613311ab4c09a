// A child process of the tests: has a state in some role. Runs the built dist/ and obeys orders sent over IPC.
import { int, pool, state, struct, text } from '@lich/schema';
import { attach } from 'lich/state';

class Note extends struct({ text: text(), n: int }) {}
const schema = state({ notes: pool(Note), total: int });

let mine;

const orders = {
  attach({ dir, as }) {
    mine = attach(dir, { as, node: 'desk', schema, heapBytes: 1 << 20, logWords: 1 << 14 });
    return { outcome: mine.outcome };
  },
  write({ n, open = false }) {
    const { log, state: s } = mine.store;
    log.begin();
    s.notes.create({ text: 'n'.repeat(n), n });
    s.total += n;
    if (!open) log.commit();
    return { size: s.notes.size };
  },
  async takeOver() {
    mine = await mine.takeOverWhenFree();
    const { store, undone, outcome } = mine;
    return {
      outcome,
      undone,
      total: store.state.total,
      notes: [...store.state.notes].map(note => note.text.length),
      violations: store.check(),
    };
  },
  /** Blocks until the owner is gone. */
  block: () => ({ total: mine.takeOver().store.state.total }),
  stray() {
    mine.segment.i32[mine.segment.regions.get('root').offset / 4] = 1;
    return {};
  },
  close() {
    mine.close();
    return {};
  },
};

process.on('message', async order => {
  try {
    process.send(await orders[order.do](order));
  } catch (error) {
    process.send({ error: { name: error.name, code: error.code, message: error.message } });
  }
});
process.on('disconnect', () => process.exit(0));
