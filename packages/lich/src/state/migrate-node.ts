/** Bring the state segment of a node that does not run into the layout of its code. */
import { diff, type LayoutChange, type StateLayout } from '@lich/schema';
import { attachSegment, createReplacement, OwnerLock, type Segment, ShmError, takeBack } from '../shm/index.ts';
import { StateError } from './errors.ts';
import { examineMigration, migrate, type MigrateReport } from './migrate.ts';
import type { Unfits } from './migrate-source.ts';
import type { Arrays } from './memory.ts';
import { placesOf, type StorePlan } from './plan.ts';
import { catalogOf, Reader } from './reader.ts';
import { examineLog, undoLog } from './undo-log.ts';
import { COM_POS, LOG_POS, MIGRATED } from './words.ts';

export interface MigrateNodeOptions {
  readonly dir: string;
  /** Of the node. */
  readonly name: string;
  /** Of its code. */
  readonly plan: StorePlan;
  readonly onProgress?: (done: number, all: number) => void;
  /** Walk all of the new state before it gets its name. Default true; most of the time that a migration takes. */
  readonly check?: boolean;
}

/** A part of the segment that gets another size: bytes. */
export interface SizeChange {
  readonly region: 'log' | 'heap';
  readonly from: number;
  readonly to: number;
}

/** What a migration would do: nothing when there are neither changes nor sizes. */
export interface MigrationOutlook {
  /** Empty: the layouts are the same. */
  readonly changes: readonly LayoutChange[];
  /** Sizes are no part of the layout: limits.heapBytes and limits.logBytes, where the topology has others now. */
  readonly sizes: readonly SizeChange[];
  readonly records: number;
  /** Values that do not fit: a migration is refused. */
  readonly unfit: Unfits;
  /** Bytes of the segment in use, which are copied. */
  readonly usedBytes: number;
  /** Of looking at all values: about what the copy takes. */
  readonly ms: number;
}

/** Look at what `migrateNode` would do; nothing is written. The node may run: then it is looked at in a copy as of one
 * commit, which takes as much memory as is in use until the end.
 * @throws ShmError as `attachSegment`; StateError `STATE_MIGRATION` when a field has nothing that leads to it */
export function examineNode({ dir, name, plan }: MigrateNodeOptions): MigrationOutlook {
  const segment = attachSegment({ dir, name, kind: 'state', readOnly: true });
  try {
    const layouts = catalogOf(segment);
    const examine = (memory?: Arrays) => examineMigration(segment, plan, { layouts }, memory);
    // An owner writes, or has left a transaction open.
    const isQuiet = OwnerLock.open(dir, name).owner() === undefined && segment.i32[LOG_POS] === segment.i32[COM_POS];
    const { records, unfit, ms } = isQuiet
      ? examine()
      : new Reader(segment, { hidden: true }).whole(mirror => examine(mirror));
    return { ...differences(segment, layouts, plan), records, unfit, ms, usedBytes: usedOf(segment) };
  } finally {
    segment.close();
  }
}

export function differences(segment: Segment, layouts: StateLayout, plan: StorePlan) {
  const changes = diff(layouts, plan.layouts);
  const sizes: SizeChange[] = [];
  for (const region of ['log', 'heap'] as const) {
    const from = segment.regions.get(region)?.bytes ?? 0;
    const to = plan.regions.find(each => each.name === region)?.bytes ?? 0;
    if (from !== to) sizes.push({ region, from, to });
  }
  return { changes, sizes };
}

/** Migrate. The old segment stays beside the new one, as `.before-<node>.state`, until the next migration or `lich rm`: it
 * is where a way back finds what this one removed. An open transaction of a killed owner is rolled back first, as in any
 * next life.
 * @returns undefined when layouts and sizes are the same: nothing is done
 * @throws ShmError `SHM_OWNER_ALIVE` while the node runs, those of `createReplacement`; StateError `STATE_MIGRATION`. The
 * old segment is then as it was */
export function migrateNode(o: MigrateNodeOptions): MigrateReport | undefined {
  const lock = locked(o.dir, o.name);
  try {
    return migrateOwned(o);
  } finally {
    lock.release();
  }
}

/** As `migrateNode`, by whoever holds the node's lock. */
export function migrateOwned({ dir, name, plan, onProgress, check }: MigrateNodeOptions): MigrateReport | undefined {
  let old: Segment | undefined;
  let before: Segment | undefined;
  try {
    old = attachSegment({ dir, name, kind: 'state' });
    const layouts = catalogOf(old);
    const { changes, sizes } = differences(old, layouts, plan);
    if (changes.length === 0 && sizes.length === 0) return undefined;
    rollBack(old, layouts);
    before = segmentBefore(dir, name);
    const fill = before && { segment: before, layouts: catalogOf(before) };
    const { layoutHash, regions, catalog } = plan;
    const next = createReplacement({ dir, name, kind: 'state', layoutHash, regions, catalog });
    try {
      const report = migrate(old, next.segment, plan, { layouts, fill, check, ...(onProgress && { onProgress }) });
      next.take();
      next.segment.close(old.clean);
      return report;
    } catch (error) {
      next.discard();
      throw error;
    }
  } finally {
    before?.close();
    old?.close();
  }
}

/** Give the node its segment of before the last migration again, when that has the layout of this code and nobody has
 * committed anything since. By whoever holds the node's lock.
 * @returns the epoch that was reached meanwhile; undefined when this is not the way back */
export function returnOwned({ dir, name, plan }: MigrateNodeOptions): number | undefined {
  const now = attachSegment({ dir, name, kind: 'state', readOnly: true });
  const before = segmentBefore(dir, name);
  try {
    if (before === undefined || now.i32[MIGRATED] === 0 || now.i32[MIGRATED] !== now.i32[COM_POS]) return undefined;
    const { changes, sizes } = differences(before, catalogOf(before), plan);
    if (changes.length > 0 || sizes.length > 0) return undefined;
    return takeBack({ dir, name, kind: 'state' }) ? now.epoch : undefined;
  } finally {
    before?.close();
    now.close();
  }
}

/** Give a node the state of before its last migration again, exactly, as long as nobody has worked on the new one.
 * @returns false when there is none
 * @throws ShmError `SHM_OWNER_ALIVE`; StateError `STATE_MIGRATION` when the node lived since: what it did would be lost */
export function undoMigration({ dir, name }: { readonly dir: string; readonly name: string }): boolean {
  const lock = locked(dir, name);
  try {
    const before = segmentBefore(dir, name);
    if (before === undefined) return false;
    const now = attachSegment({ dir, name, kind: 'state', readOnly: true });
    const lives = now.epoch - before.epoch;
    before.close();
    now.close();
    if (lives !== 0)
      throw new StateError(
        'STATE_MIGRATION',
        `\`${name}\` has lived ${lives === 1 ? 'once' : `${lives} times`} since its migration: what it did would be lost. Migrate it with the old code instead`,
      );
    return takeBack({ dir, name, kind: 'state' });
  } finally {
    lock.release();
  }
}

function locked(dir: string, name: string): OwnerLock {
  const lock = OwnerLock.open(dir, name);
  if (lock.tryAcquire() !== 'busy') return lock;
  throw new ShmError(
    'SHM_OWNER_ALIVE',
    `\`${name}\` is owned by process ${lock.owner()?.pid ?? '(unknown)'}: stop it, then migrate`,
  );
}

function rollBack(segment: Segment, layouts: StateLayout): void {
  const I = segment.i32;
  if (I[LOG_POS] === I[COM_POS]) return;
  const places = placesOf(segment, layouts);
  const area = {
    base: places.log,
    words: places.logWords,
    from: places.root,
    to: segment.sizeBytes / 4,
    name: segment.name,
  };
  segment.makeWritable();
  examineLog(I, segment.f64, area);
  undoLog(I, area, I[COM_POS]);
  I[COM_POS] = I[LOG_POS];
}

/** The segment of before the last migration, if it is there and can be read. */
function segmentBefore(dir: string, name: string): Segment | undefined {
  try {
    const segment = attachSegment({ dir, name, kind: 'state', before: true, readOnly: true });
    if (segment.i32[LOG_POS] === segment.i32[COM_POS]) return segment;
    segment.close();
  } catch (error) {
    if (!(error instanceof ShmError || error instanceof StateError)) throw error;
  }
  return undefined;
}

export function usedOf(segment: Segment): number {
  const { offset, bytes } = segment.regions.get('reserved')!;
  let granules = 0;
  for (let k = offset; k < offset + bytes; k++)
    for (let bits = segment.u8[k]!; bits !== 0; bits &= bits - 1) granules++;
  return granules * 65_536;
}
