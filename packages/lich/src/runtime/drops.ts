/** What waits for a node that does not come back is given up because somebody said so: `lich bus drop <from> <to>`.
 *
 *   <dir>/orders/<from>/drop-<to>.json    to an owner that runs: looked for four times a second, removed when it is done
 *                      drop-<to>.error    or says here why it is not
 *
 * Done twice it is done once: what was given up is padding already. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '@lich/schema';
import { DEFAULT_LIMITS, Directory, type GivenUp, giveUpWaiting, type NodeEntry } from '../bus/index.ts';
import { attachSegment, OwnerLock, type Segment, ShmError, writeWhole } from '../shm/index.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import { errorData } from './log.ts';

const folderOf = (dir: string, from: string): string => join(dir, 'orders', from);

/** Give up what waits in the lanes from a node to another: here, where nobody owns the sender, or by its owner.
 * @returns what was given up, or the file of the order that was given
 * @throws BusError `BUS_UNKNOWN_NODE`; RuntimeError `RUNTIME_IN_USE` while the receiver runs */
export function giveUp(dir: string, from: string, to: string): GivenUp | { readonly order: string } {
  const directory = new Directory(dir, DEFAULT_LIMITS.nodes);
  const sender = directory.byName(from);
  const receiver = directory.byName(to);
  refuseRunning(dir, to);
  const lock = OwnerLock.open(dir, from);
  if (lock.owner() !== undefined || lock.tryAcquire() === 'busy') {
    mkdirSync(folderOf(dir, from), { recursive: true, mode: 0o700 });
    const order = join(folderOf(dir, from), `drop-${to}.json`);
    writeWhole(order, '{}\n');
    return { order };
  }
  try {
    const lanes = attachSegment({ dir, name: from, kind: 'lanes' });
    const wasClean = lanes.clean;
    try {
      lanes.makeWritable();
      return withLanesOf(dir, receiver, found => giveUpOf(lanes, sender, receiver, found));
    } finally {
      lanes.close(wasClean);
    }
  } finally {
    lock.release();
  }
}

/** Orders to one node, in its owner's process. Between transactions. */
export function obeyDrops(core: Core): void {
  const folder = folderOf(core.dir, core.name);
  for (const file of filesIn(folder)) {
    const path = join(folder, file);
    const to = file.slice('drop-'.length, -'.json'.length);
    try {
      const receiver: NodeEntry = core.directory.byName(to);
      refuseRunning(core.dir, to);
      const given = withLanesOf(core.dir, receiver, found => giveUpOf(core.lanes, core.self, receiver, found));
      core.log.warn('messages were given up, as somebody said', { to, ...given });
    } catch (error) {
      core.log.warn('messages cannot be given up', { to, ...errorData(error) });
      const said = error instanceof CodedError ? `${error.code}: ${error.message}` : String(error);
      writeWhole(path.replace(/json$/, 'error'), said);
    }
    rmSync(path, { force: true });
  }
}

function filesIn(folder: string): string[] {
  // Of most nodes there is none, and to throw for it costs more than to ask.
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter(file => /^drop-.+\.json$/.test(file));
}

/** One that runs handles what waits, or is about to. */
function refuseRunning(dir: string, to: string): void {
  const owner = existsSync(join(dir, `${to}.lock`)) ? OwnerLock.open(dir, to).owner() : undefined;
  if (owner === undefined) return;
  throw new RuntimeError(
    'RUNTIME_IN_USE',
    `${to} runs as process ${owner.pid}, and handles what waits for it: end it first (lich stop ${to})`,
  );
}

function giveUpOf(lanes: Segment, from: NodeEntry, to: NodeEntry, receiver: Segment | undefined): GivenUp {
  const far = to.via === undefined ? undefined : { index: to.index, nodes: DEFAULT_LIMITS.nodes };
  return giveUpWaiting(lanes, from.index, to.index, receiver, far);
}

/** With the lanes segment that shows how far that node is. */
function withLanesOf<T>(dir: string, { name, via }: NodeEntry, work: (lanes: Segment | undefined) => T): T {
  let lanes: Segment | undefined;
  try {
    lanes = attachSegment({ dir, name: via ?? name, kind: 'lanes', readOnly: true });
  } catch (error) {
    // It has never started: all that was sent waits.
    if (!(error instanceof ShmError) || error.code !== 'SHM_NOT_FOUND') throw error;
  }
  try {
    return work(lanes);
  } finally {
    lanes?.close();
  }
}
