/** Timeouts of state machines: they wait in the wheel among the own messages, under a number that no message has.
 *
 *   payload   [pool hash][path hash][slot][generation]      see machine-names.ts of the state room */
import { hasMachine, type StateSchema, stateLayoutOf } from '@lich/schema';
import type { MachineName, MachineTimers, Store, TimerWheel } from '../state/index.ts';
import type { Outages } from './outages.ts';
import { type RuntimeTimer, TIMEOUT } from './runtime-timers.ts';

const WORDS = 4;

/** Is there a machine in this state, which may then have timeouts? */
export function hasMachines(state: StateSchema): boolean {
  const { root, pools } = stateLayoutOf(state);
  const layouts = [root, ...pools.flatMap(pool => pool.variants?.map(variant => variant.layout) ?? [pool.layout])];
  return layouts.some(layout => layout.fields.some(field => hasMachine(field.kind)));
}

export class MachineTimeouts implements MachineTimers, RuntimeTimer {
  readonly what = 'of a machine’s timeout';
  readonly shifts = false;
  readonly #store: Store<unknown>;
  readonly #wheel: TimerWheel;
  readonly #outages: Outages;
  readonly #now: () => number;

  constructor(store: Store<unknown>, wheel: TimerWheel, outages: Outages, now: () => number) {
    this.#store = store;
    this.#wheel = wheel;
    this.#outages = outages;
    this.#now = now;
    store.machines.timers = this;
  }

  arm({ pool, path, slot, generation }: MachineName, afterMs: number): number {
    const now = this.#now();
    const timer = this.#wheel.add(now, now + afterMs, TIMEOUT, WORDS, this.#outages.totalMs);
    const at = this.#wheel.payloadAt(timer) / 4;
    const I = this.#store.segment.i32;
    [I[at], I[at + 1], I[at + 2], I[at + 3]] = [pool, path, slot, generation];
    return this.#wheel.handleOf(timer);
  }

  cancel(handle: number): void {
    const slot = this.#wheel.slotOf(handle);
    if (slot >= 0) this.#wheel.remove(slot);
  }

  /** It is due: take it out, and switch, unless the record is gone or has left the state. */
  fire(timer: number): void {
    const handle = this.#wheel.handleOf(timer);
    const at = this.#wheel.payloadAt(timer) / 4;
    const { i32: I, u32: U } = this.#store.segment;
    const name = { pool: I[at], path: I[at + 1], slot: U[at + 2], generation: U[at + 3] };
    this.#wheel.remove(timer);
    this.#store.machineNames.find(name)?.timeout(handle);
  }
}
