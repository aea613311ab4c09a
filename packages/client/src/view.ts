/** The mirror: what the server showed of its state, as objects of the user's classes.
 *
 * A frame is read whole before anything changes, so that a malformed one leaves the mirror as it was; then all its
 * changes are made; then the callbacks run, each seeing the whole of the new view.
 *
 *   PICTURE   stands for everything in view: what it lacks left, what is new entered, what differs changed
 *   DELTA     ops on what was there: an enter of a known slot is a change when the generation is the same, else the old
 *             record left; a change or a leave of an unknown slot is malformed
 *
 * Invariant: a slot has at most one record; a record keeps its object from enter to leave. */
import {
  mirrorOf,
  readSync,
  SchemaError,
  updateMirror,
  type Ref,
  type StateSchema,
  type SyncPlan,
  type SyncPool,
} from '@lich/schema';
import { sameValue } from './same-value.ts';
import { callUser } from './report.ts';
import type { MirrorPool } from './types.ts';

type Values = Record<string, unknown>;
type Listener = (record: never) => void;

interface Entry {
  readonly generation: number;
  readonly mirror: object;
  /** As received, to find what a picture changes. */
  readonly values: Values;
}

/** An op as read, before it is applied; `generation` is 0 but for an enter. */
interface Op {
  readonly verb: 'enter' | 'change' | 'leave';
  readonly pool: PoolMirror;
  readonly slot: number;
  readonly generation: number;
  readonly values: Values;
}

interface Notice {
  readonly listeners: readonly Listener[];
  readonly mirror: object;
}

export interface Tick {
  readonly epoch: number;
  readonly tick: number;
}

/** @internal */
export class PoolMirror implements MirrorPool<unknown> {
  readonly entries = new Map<number, Entry>();
  enterListeners: readonly Listener[] = [];
  changeListeners: readonly Listener[] = [];
  leaveListeners: readonly Listener[] = [];

  get size(): number {
    return this.entries.size;
  }

  get(slot: number): never {
    return this.entries.get(slot)?.mirror as never;
  }

  *[Symbol.iterator](): Iterator<never> {
    for (const entry of this.entries.values()) yield entry.mirror as never;
  }

  onEnter(fn: Listener): this {
    this.enterListeners = [...this.enterListeners, fn];
    for (const mirror of this) fn(mirror);
    return this;
  }

  onChange(fn: Listener): this {
    this.changeListeners = [...this.changeListeners, fn];
    return this;
  }

  onLeave(fn: Listener): this {
    this.leaveListeners = [...this.leaveListeners, fn];
    return this;
  }
}

/** @internal */
export class ViewMirror {
  /** By pool name: what users see as `game.view`. */
  readonly pools: Readonly<Record<string, PoolMirror>>;
  readonly #plan: SyncPlan;
  readonly #state: StateSchema;
  readonly #syncPools = new Map<PoolMirror, SyncPool>();

  constructor(state: StateSchema, plan: SyncPlan) {
    this.#state = state;
    this.#plan = plan;
    const pools: Record<string, PoolMirror> = Object.create(null) as Record<string, PoolMirror>;
    for (const syncPool of plan.pools) {
      const pool = new PoolMirror();
      pools[syncPool.name] = pool;
      this.#syncPools.set(pool, syncPool);
    }
    this.pools = Object.freeze(pools);
  }

  /** The mirror that a ref leads to, or undefined when that record is not in view. */
  readonly resolve = (pool: string, ref: Ref): object | undefined => {
    const entry = this.pools[pool]?.entries.get(ref.slot);
    return entry?.generation === ref.generation ? entry.mirror : undefined;
  };

  /** As `resolve`, by the pool's number among the state's pools. */
  find(poolIndex: number, ref: Ref): object | undefined {
    const pool = this.#state.pools[poolIndex];
    return pool === undefined ? undefined : this.resolve(pool.name, ref);
  }

  /** Read a frame's body and apply it. `notify` runs the callbacks, when the caller is ready for them.
   * @throws SchemaError `SCHEMA_WIRE`, with the view as it was */
  apply(body: Uint8Array, full: boolean): Tick & { readonly notify: () => void } {
    const { at, ops } = this.#read(body, full);
    const notices: Notice[] = [];
    if (full) this.#leaveAllBut(ops, notices);
    for (const op of ops) this.#do(op, notices);
    return {
      ...at,
      notify: () => {
        for (const { listeners, mirror } of notices) for (const fn of listeners) callUser(fn, mirror as never);
      },
    };
  }

  #read(body: Uint8Array, full: boolean): { at: Tick; ops: readonly Op[] } {
    let at: Tick = { epoch: 0, tick: 0 };
    const ops: Op[] = [];
    // Whether a slot is taken where this frame itself changed that.
    const taken = new Map<PoolMirror, Map<number, boolean>>();
    const take = (pool: PoolMirror, slot: number, now: boolean): void => {
      const slots = taken.get(pool) ?? new Map<number, boolean>();
      taken.set(pool, slots.set(slot, now));
    };
    const known = (verb: string, { name }: SyncPool, slot: number): PoolMirror => {
      const pool = this.pools[name];
      if (taken.get(pool)?.get(slot) ?? pool.entries.has(slot)) return pool;
      throw new SchemaError('SCHEMA_WIRE', `a ${verb} of slot ${slot} of ${name}, which is not in view`);
    };
    readSync(this.#plan, body, full, {
      begin: (epoch, tick) => {
        at = { epoch, tick };
      },
      enter: ({ name }, slot, generation, values) => {
        const pool = this.pools[name];
        if (!full) take(pool, slot, true);
        ops.push({ verb: 'enter', pool, slot, generation, values });
      },
      change: (syncPool, slot, values) => {
        const pool = known('change', syncPool, slot);
        ops.push({ verb: 'change', pool, slot, generation: 0, values });
      },
      leave: (syncPool, slot) => {
        const pool = known('leave', syncPool, slot);
        take(pool, slot, false);
        ops.push({ verb: 'leave', pool, slot, generation: 0, values: {} });
      },
    });
    return { at, ops };
  }

  #leaveAllBut(ops: readonly Op[], notices: Notice[]): void {
    const staying = new Set<Entry>();
    for (const { pool, slot, generation } of ops) {
      const entry = pool.entries.get(slot);
      if (entry?.generation === generation) staying.add(entry);
    }
    for (const pool of this.#syncPools.keys()) {
      for (const [slot, entry] of pool.entries) if (!staying.has(entry)) this.#leave(pool, slot, notices);
    }
  }

  #do({ verb, pool, slot, generation, values }: Op, notices: Notice[]): void {
    if (verb === 'leave') {
      this.#leave(pool, slot, notices);
      return;
    }
    const entry = pool.entries.get(slot);
    if (entry !== undefined && (verb === 'change' || entry.generation === generation)) {
      this.#change(pool, entry, values, notices);
      return;
    }
    this.#leave(pool, slot, notices);
    this.#enter(pool, slot, generation, values, notices);
  }

  #enter(pool: PoolMirror, slot: number, generation: number, values: Values, notices: Notice[]): void {
    const { name, struct } = this.#syncPools.get(pool)!;
    const ref = Object.freeze({ pool: name, slot, generation });
    const mirror: object = mirrorOf(struct, values, { ref, resolve: this.resolve });
    // Slot and generation together: the slot alone is used again.
    if (!('id' in mirror) && !('id' in struct.fields))
      Object.defineProperty(mirror, 'id', { value: `${slot}.${generation}` });
    pool.entries.set(slot, { generation, mirror, values });
    notices.push({ listeners: pool.enterListeners, mirror });
  }

  #change(pool: PoolMirror, entry: Entry, values: Values, notices: Notice[]): void {
    const changed: Values = {};
    let any = false;
    for (const name of Object.keys(values)) {
      if (sameValue(entry.values[name], values[name])) continue;
      any = true;
      entry.values[name] = changed[name] = values[name];
    }
    if (!any) return;
    updateMirror(this.#syncPools.get(pool)!.struct, entry.mirror, changed);
    notices.push({ listeners: pool.changeListeners, mirror: entry.mirror });
  }

  #leave(pool: PoolMirror, slot: number, notices: Notice[]): void {
    const entry = pool.entries.get(slot);
    if (entry === undefined) return;
    pool.entries.delete(slot);
    notices.push({ listeners: pool.leaveListeners, mirror: entry.mirror });
  }
}
