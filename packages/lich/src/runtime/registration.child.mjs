// A node that registers, and makes a lane, until it is killed before its n-th step. It runs the built dist/.
import { state, u32 } from '@lich/schema';
import { DEFAULT_WIDTHS, Directory, enterNodes, FULL } from 'lich/bus';
import { Core } from 'lich/runtime';
import { native, sweepDrafts } from 'lich/shm';
import { Steps } from '../testing/nth-step.mjs';

const { dir, name, at, what } = JSON.parse(process.argv[2]);
const die = () => process.kill(process.pid, 'SIGKILL');
const node = { name, kind: name.slice(0, -2), instance: 1 };
const quiet = { info() {}, warn() {}, error() {} };
const logic = {
  deliver: () => 0,
  created() {},
  resumed() {},
  step: () => 0,
  nextMs: () => Number.POSITIVE_INFINITY,
  isWaiting: () => false,
  open() {},
  close() {},
};

let steps;
const begin = () => (steps = new Steps(native(), at, die));
if (what === 'register') begin();
sweepDrafts(dir);
const { id } =
  what === 'register'
    ? enterNodes({ dir, maxNodes: 256, widths: DEFAULT_WIDTHS, nodes: [node], mayMove() {} }).get(name)
    : new Directory(dir, 256).ensure(name, 1);
const core = new Core({ dir, name, id, state: state({ n: u32 }), log: quiet, logBytes: 65_536 }, () => logic);
void core.run(role => {
  if (role !== 'owner') return;
  if (what === 'lane') {
    begin();
    steps.stores(core.store.log);
    core.transact(() => {
      for (const n of [1, 2]) {
        const word = core.bus.outbox.claim(core.directory.byName('b-1').index, 7 << 16, n, 0, 16);
        if (word === FULL) throw new Error('no room');
        core.bus.outbox.commitClaim();
      }
    });
    core.bus.publish();
  }
  const { count, names } = steps;
  steps.remove();
  process.send({ count, names });
});
