/** Attach: one door to a node's state for every process that has to do with it, by its role.
 *
 *   owner     takes the owner lock, makes the segment or resumes it, and writes
 *   standby   maps the segment read-only and prepares; opens it for writing once it holds the lock
 *   keeper    reads, the runtime's fields too    | the file is opened for reading only: no call of this process, and no
 *   reader    reads what the game declared       | stray store, can write through that mapping. The kernel refuses the
 *   tool      as a keeper, without any schema    | one and ends the process for the other.
 *
 * For programs that hold or read a state by themselves. A node of a cluster is owned by its own process (`lich up`), which
 * has its lanes to look after too. */
import type { StateOf, StateSchema } from '@lich/schema';
import { attachSegment, createSegment, type Owner, OwnerLock, type Segment, ShmError } from '../shm/index.ts';
import { storePlan, type StorePlan, type StorePlanOptions } from './plan.ts';
import type { ReadOnlyState } from './read-only.ts';
import { Reader, type Snapshot, type StoreReader } from './reader.ts';
import { openStore, type Store } from './store.ts';
import { viewsOf } from './mirror-store.ts';

/** Roles that never write. */
export type ReaderRole = 'keeper' | 'reader' | 'tool';

/** Attach to read. */
export interface AttachToRead<S extends StateSchema = StateSchema> {
  readonly as: ReaderRole;
  /** Name of the node. */
  readonly node: string;
  /** Types the views of `read`, and gives them the methods of their classes. Without it they are untyped, from the catalog. */
  readonly schema?: S;
}

/** Attach to own, now or later. The options are those of `storePlan`; they are part of what has to be the same in each life. */
export interface AttachToOwn<S extends StateSchema = StateSchema> extends StorePlanOptions {
  readonly as: 'owner' | 'standby';
  readonly node: string;
  readonly schema: S;
}

/** A state that this process reads. */
export interface ReadState<S = Record<string, any>> extends StoreReader {
  readonly as: ReaderRole;
  readonly node: string;
  /** As `snapshot`, but with views: what a handler sees, without what writes. They are as of one commit, throw STATE_FREED
   * after, and refuse a write with STATE_READ_ONLY. `fn` may run several times.
   * @throws StateError `STATE_SNAPSHOT`, `STATE_NOT_READY`, `STATE_READ_ONLY` */
  read<T>(fn: (state: ReadOnlyState<S>, s: Snapshot) => T): T;
  /** Is it still the node's segment? Not after a migration or a removal: attach again. */
  readonly current: boolean;
  close(): void;
}

/** A state that this process owns. */
export interface OwnedState<S = unknown> {
  readonly as: 'owner';
  readonly node: string;
  readonly store: Store<S>;
  readonly segment: Segment;
  readonly lock: OwnerLock;
  /** `resumed`: an earlier life made it. */
  readonly outcome: 'created' | 'resumed';
  /** Log words of the transaction that the life before left open, and that was undone. */
  readonly undone: number;
  /** Close in order, mark it clean and let the lock go. @throws StateError `STATE_TRANSACTION_OPEN` */
  close(): void;
}

/** A state that this process will own. */
export interface StandbyState<S = unknown> {
  readonly as: 'standby';
  readonly node: string;
  /** Wait, blocking, until the owner is gone; then own. @returns undefined when the time is over
   * @throws ShmError, StateError as `attach` as owner */
  takeOver(timeoutMs?: number): OwnedState<S> | undefined;
  /** The same while the event loop runs. @returns undefined when the signal came first */
  takeOverWhenFree(signal?: AbortSignal): Promise<OwnedState<S> | undefined>;
  /** Not to be one any more. */
  close(): void;
}

/** Attach to the state of a node.
 * @param dir directory of the cluster; see `runtimeDir`
 * @throws ShmError `SHM_NOT_FOUND` when there is none (an owner makes it), `SHM_OWNER_ALIVE` for an owner when there is
 * one, `SHM_FOREIGN`, `SHM_VERSION`, `SHM_CORRUPT`, `SHM_LAYOUT`, `SHM_ACCESS`, `SHM_NOT_CLEAN` and others of
 * `attachSegment`; StateError `STATE_LAYOUT` when the schema does not fit, `STATE_CORRUPT`, `STATE_UNSUPPORTED` */
export function attach<S extends StateSchema>(
  dir: string,
  options: AttachToRead<S> & { readonly schema: S },
): ReadState<StateOf<S>>;
export function attach(dir: string, options: AttachToRead): ReadState;
export function attach<S extends StateSchema>(
  dir: string,
  options: AttachToOwn<S> & { readonly as: 'owner' },
): OwnedState<StateOf<S>>;
export function attach<S extends StateSchema>(
  dir: string,
  options: AttachToOwn<S> & { readonly as: 'standby' },
): StandbyState<StateOf<S>>;
export function attach(
  dir: string,
  options: AttachToRead | AttachToOwn,
): ReadState | OwnedState<any> | StandbyState<any> {
  switch (options.as) {
    case 'owner':
      return attachOwner(dir, options);
    case 'standby':
      return attachStandby(dir, options);
    case 'keeper':
    case 'reader':
    case 'tool':
      return attachReader(dir, options);
    default:
      throw new TypeError(
        `attach: as takes owner, standby, keeper, reader or tool, not ${String((options as { as: unknown }).as)}`,
      );
  }
}

function attachReader(dir: string, { as, node, schema }: AttachToRead): ReadState {
  const segment = attachSegment({ dir, name: node, kind: 'state', readOnly: true });
  try {
    const reader = new Reader(segment, { hidden: as !== 'reader' });
    const views = viewsOf(reader, schema);
    return {
      as,
      node,
      segment,
      layouts: reader.layouts,
      get commitNo() {
        return reader.commitNo;
      },
      get current() {
        return segment.isCurrent();
      },
      snapshot: fn => reader.snapshot(fn),
      read: fn => views.read(fn as never) as never,
      check: () => reader.check(),
      close: () => segment.close(),
    };
  } catch (error) {
    segment.close();
    throw error;
  }
}

function planOf({ as: _, node: __, schema, ...options }: AttachToOwn): StorePlan {
  return storePlan(schema, options);
}

function attachOwner(dir: string, options: AttachToOwn): OwnedState {
  const plan = planOf(options);
  const lock = OwnerLock.open(dir, options.node);
  if (lock.tryAcquire() === 'busy') {
    throw new ShmError(
      'SHM_OWNER_ALIVE',
      `\`${options.node}\` in ${dir} has an owner${who(lock.owner())}: attach as its standby, or stop that one first`,
    );
  }
  return own(dir, options.node, plan, lock, undefined);
}

function who(owner: Owner | undefined): string {
  if (owner === undefined) return '';
  return `, pid ${owner.pid}${owner.tid === owner.pid ? '' : `, thread ${owner.tid}`}`;
}

/** The lock is held: open or make the segment, and take back what the life before left open. */
function own(dir: string, node: string, plan: StorePlan, lock: OwnerLock, prepared: Store | undefined): OwnedState {
  let segment: Segment | undefined;
  try {
    const id = { dir, name: node, kind: 'state' as const };
    let store = prepared;
    if (store?.segment.isCurrent()) {
      segment = store.segment;
      segment.makeWritable();
    } else {
      store?.segment.close();
      store = undefined;
      try {
        segment = attachSegment({ ...id, write: true });
      } catch (error) {
        if (!(error instanceof ShmError) || error.code !== 'SHM_NOT_FOUND') throw error;
        segment = createSegment({ ...id, layoutHash: plan.layoutHash, regions: plan.regions, catalog: plan.catalog });
      }
    }
    const outcome = segment.outcome === 'created' ? 'created' : 'resumed';
    store ??= openStore(segment, plan) as Store;
    const { undone } = store.recover();
    segment.nextEpoch();
    const owned = { segment, store };
    return {
      as: 'owner',
      node,
      ...owned,
      lock,
      outcome,
      undone,
      close() {
        if (owned.segment.closed) return;
        if (owned.store.log.open) owned.store.log.refuseBegin();
        owned.segment.close(true);
        lock.release();
      },
    };
  } catch (error) {
    segment?.close();
    lock.release();
    throw error;
  }
}

function attachStandby(dir: string, options: AttachToOwn): StandbyState {
  const plan = planOf(options);
  const { node } = options;
  const lock = OwnerLock.open(dir, node);
  const segment = attachSegment({ dir, name: node, kind: 'state' });
  let store: Store | undefined;
  try {
    store = openStore(segment, plan) as Store;
    store.warm();
    segment.touch();
  } catch (error) {
    segment.close();
    throw error;
  }
  const take = (): OwnedState => {
    const prepared = store;
    if (prepared === undefined) throw new TypeError(`this standby of \`${node}\` was closed, or has taken over`);
    store = undefined;
    return own(dir, node, plan, lock, prepared);
  };
  return {
    as: 'standby',
    node,
    takeOver: timeoutMs => (lock.acquire(timeoutMs) === 'timeout' ? undefined : take()),
    takeOverWhenFree: async signal => ((await lock.acquireWhenFree(signal)) === 'aborted' ? undefined : take()),
    close() {
      store?.segment.close();
      store = undefined;
    },
  };
}
