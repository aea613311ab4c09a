/** What the holder of the lock does before its loop turns. The same after a crash, a restart and a restore, warm or not:
 *
 *   lock → writable → roll back what was open → epoch + 1 → blame → show all lanes → resumed() → loop
 *
 * Each step may be killed anywhere and begun again by the next owner. */
import { lanesRegions, PRIORITIES, rootWord } from '../bus/index.ts';
import { attachSegment, createSegment, type Segment, ShmError } from '../shm/index.ts';
import { WORDS } from '../state/index.ts';
import { type Brought, bringOver } from './deploy/bring-over.ts';
import { Blame, countDeath, OWN, QUEUED, REQUEUED } from './blame.ts';
import type { Core } from './core.ts';
import { takeHanded } from './let-go.ts';
import { errorData } from './log.ts';
import { lanesHash } from './node-layout.ts';
import { setPhase } from './node-words.ts';

/** The lock is held: make the segments this process's own, and the state what the last commit left. Sets `core.life` and
 * `core.blame`.
 * @param died the lock came from an owner that died with it
 * @param lastPid that owner */
export function takeOver(core: Core, died: boolean, lastPid: number): void {
  let brought: Brought | undefined;
  if (core.migrates && core.store?.segment.isCurrent() === false) core.unbuild();
  if (core.store === undefined) {
    if (core.migrates) brought = bringOver(core);
    if (!attachForWriting(core)) create(core);
  }
  const { segment } = core.store;
  const clean = segment.clean;
  segment.makeWritable();
  core.lanes.makeWritable();
  setPhase(segment, 'recovering');
  const { undone } = core.store.recover();
  core.recording.begin();
  openReport(core);
  // Lives that were lived in a segment that was given up have had their numbers.
  while (brought !== undefined && segment.epoch < brought.epoch) segment.nextEpoch();
  const epoch = segment.nextEpoch();
  core.lanes.nextEpoch();
  core.bells.claim(core.self.index);
  core.bus.outbox.reload();
  core.bus.inbox.reload();
  const restored = segment.i32[WORDS.RESTORED] !== 0;
  if (segment.i32[WORDS.RESTORED] === WORDS.RESTORED_WHOLE) {
    // Killed in between, it is done again: nothing of it was shown.
    core.bus.forgetAll();
    segment.i32[WORDS.RESTORED] = WORDS.RESTORED_ALONE;
  }
  const suspect = countDeath(segment.i32, (code, pos, more) => isStill(core, code, pos, more));
  core.blame = new Blame(suspect, core.lock, lastPid, performance.now());
  core.bus.resume();
  const created = segment.i32[bornWord(core)] === 0;
  const handed = takeHanded(core);
  const ended = brought !== undefined || (handed && !died) ? 'deploy' : died || !clean ? 'crash' : 'restart';
  const reason = created ? 'created' : restored ? 'restore' : ended;
  core.life = { epoch, reason };
  if (brought !== undefined) core.log.info(brought.how, { event: 'migration', ...brought });
  if (undone > 0) core.log.info('a transaction was open and is undone', { epoch, words: undone });
}

/** What is said from here on is part of transactions. A node that can have no report says it on standard output. */
function openReport(core: Core): void {
  try {
    core.report.takeOver(core.store);
    core.log.lead?.(core.report.line);
    core.logic.mirror?.(core.report);
    if (core.logic.counts) core.report.mirror(core.logic.counts, what => `lich_messages_total{what="${what}"}`);
  } catch (error) {
    core.log.warn('the node goes on without a report', errorData(error));
  }
}

/** The life begins: `created`, or `resumed` after the outage is told. */
export function beginLife(core: Core): void {
  const { store, logic } = core;
  setPhase(store.segment, 'starting');
  const isNew = core.life.reason === 'created';
  const fromMs = core.now;
  const toMs = Math.max(fromMs, Date.now());
  if (!isNew && toMs > fromMs) logic.outage?.(fromMs, toMs);
  core.updateNow();
  if (isNew) {
    core.transact(() => {
      store.log.write(bornWord(core), 1);
      store.enterRoot();
      logic.created();
    });
  } else logic.resumed();
  store.segment.i32[WORDS.RESTORED] = 0;
  core.bus.publish();
}

/** Does the node's earlier life still have segments? Opens them for writing. */
function attachForWriting(core: Core): boolean {
  let state: Segment;
  try {
    state = attachSegment({ dir: core.dir, name: core.name, kind: 'state' });
  } catch (error) {
    if (error instanceof ShmError && error.code === 'SHM_NOT_FOUND') return false;
    throw error;
  }
  core.build(state, openLanes(core));
  return true;
}

function create(core: Core): void {
  const { dir, name, plan } = core;
  const { layoutHash, regions, catalog } = plan;
  const state = createSegment({ dir, name, kind: 'state', layoutHash, regions, catalog });
  core.build(state, openLanes(core));
}

/** Lanes are copies of what the state says: where they are missing they are made again. */
function openLanes(core: Core): Segment {
  const id = { dir: core.dir, name: core.name, kind: 'lanes' as const, layoutHash: lanesHash(core.limits) };
  try {
    return attachSegment(id);
  } catch (error) {
    if (!(error instanceof ShmError) || error.code !== 'SHM_NOT_FOUND') throw error;
    return createSegment({ ...id, regions: lanesRegions(core.limits) });
  }
}

/** Is what was being handled when the last life ended still to be done? */
function isStill(core: Core, code: number, pos: number, more: number): boolean {
  if (code === OWN || code === QUEUED || code === REQUEUED) return core.logic.isWaiting(code, pos, more);
  return code >= 1 && code <= PRIORITIES * core.limits.nodes && core.bus.inbox.headOf(code - 1) === pos;
}

/** 1 once the first life has filled the state. */
function bornWord(core: Core): number {
  const { layouts, segment } = core.store;
  return rootWord(layouts.root, segment.regions.get('root')!.offset, '$born');
}
