/** A node registers: it is entered, takes its lock, makes its segments, begins its life. Stopped before any of its steps it
 * leaves nothing half-made, the next start comes to the same, and what was left is swept. In one process: from the step on
 * no call changes anything any more. The real thing is in registration.proc.test.ts. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { state, u32 } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { DEFAULT_WIDTHS, Directory, enterNodes, HANDLED } from '../bus/index.ts';
import { Doorbell, listSegments, native, sweepDrafts } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Steps } from '../testing/nth-step.mjs';
import { Core } from './core.ts';
import { beginLife, takeOver } from './take-over.ts';

afterEach(removeTestDirs);

const LOGIC = {
  deliver: () => HANDLED,
  created() {},
  resumed() {},
  step: () => 0,
  nextMs: () => Number.POSITIVE_INFINITY,
  isWaiting: () => false,
  open() {},
  close() {},
};
const NODES = [
  { name: 'b-1', kind: 'b', instance: 1 },
  { name: 'a-1', kind: 'a', instance: 1 },
];

/** Everything that this process has open of a node that stopped. */
class Registration {
  core: Core | undefined;
  doorbell: Doorbell | undefined;

  run(dir: string): void {
    sweepDrafts(dir);
    const entered = enterNodes({ dir, maxNodes: 16, widths: DEFAULT_WIDTHS, nodes: NODES, mayMove() {} });
    const { id } = entered.get('a-1')!;
    const bus = { nodes: 16, dataBytes: 1 << 17, maxLaneBytes: 1 << 16 };
    const log = { info() {}, warn() {}, error() {} };
    this.core = new Core({ dir, name: 'a-1', id, state: state({ n: u32 }), log, logBytes: 65_536, bus }, () => LOGIC);
    const { core } = this;
    if (core.lock.tryAcquire() === 'busy') throw new Error('it has an owner');
    takeOver(core, false, 0);
    beginLife(core);
    this.doorbell = new Doorbell(core.bells, core.self.index, () => {});
  }

  /** As the kernel does it. */
  die(): void {
    this.doorbell?.close();
    this.core?.lock.release();
    this.core?.lanes?.close();
    this.core?.store?.segment.close();
    this.core?.report.close(false);
    this.core?.bells.close();
  }
}

function filesOf(dir: string): { name: string; blocks: number }[] {
  return fs
    .readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => join(entry.parentPath, entry.name))
    .map(path => ({ name: path.slice(dir.length + 1), blocks: fs.statSync(path).blocks }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

class Stopped extends Error {}

it('stopped before any of its steps', () => {
  // What a process does once is done before.
  const before = new Registration();
  before.run(testDir());
  before.die();
  const whole = testDir();
  const counted = new Steps(native(), 0, () => {});
  const first = new Registration();
  first.run(whole);
  counted.remove();
  const names = [...counted.names];
  const all = filesOf(whole);
  first.die();
  // Entered, bells, lock, segments, life, bell: a change that takes these away from the count is noticed.
  for (const name of ['writeFileSync, half', 'linkSync', 'linkFd', 'allocate', 'lockTry', 'makeFifo'])
    expect(names).toContain(name);

  for (let at = 1; at <= names.length; at++) {
    const where = `step ${at} of ${names.length}: ${names[at - 1]}`;
    const dir = testDir();
    const steps = new Steps(native(), at, () => {
      throw new Stopped();
    });
    const stopped = new Registration();
    let error: unknown;
    try {
      stopped.run(dir);
    } catch (thrown) {
      error = thrown;
    } finally {
      steps.remove();
      stopped.die();
    }
    expect(error, where).toBeDefined();
    // Nothing is half-made: what has its name can be read.
    const found = new Directory(dir, 16).all().map(({ name }) => name);
    expect(['', 'b-1', 'b-1,a-1'], where).toContain(found.join());
    for (const node of listSegments(dir)) {
      expect(node.lockProblem, where).toBeUndefined();
      for (const segment of node.segments) expect(segment.problem, where).toBeUndefined();
    }
    // The next one comes to the same, and nothing is left over.
    const again = new Registration();
    again.run(dir);
    expect(filesOf(dir), where).toEqual(all);
    expect(again.core!.self, where).toEqual(first.core!.self);
    again.die();
    removeTestDirs();
  }
});
