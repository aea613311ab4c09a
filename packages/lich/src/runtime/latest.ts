/** State updates of which the newest counts (`replaces: 'field'` of a command or topic): where the lane to a receiver is full,
 * the newest for each value of the field waits here, in the sender's state, and older ones are dropped. So a slow receiver
 * costs as much memory as it has fields to be told of, and gets what counts once it is back.
 *
 *   $latest   pool, a record for each receiver whose lane was full: its node, and by key what waits, oldest key first
 *   key       type · a · b of the record / value of the field
 *
 * A newer message for a key that waits takes its place in the line, or the lane, if there is room by then: what waits is
 * dropped in the same commit. Towards other messages, and other keys, the order of sending does not hold. */
import { type MessageSpec, bytes, map, pool, recordRefOf, struct, text, u32, zeroOf } from '@lich/schema';
import { BusError, FULL, type PayloadCodec, sizeOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import type { Pool } from '../state/index.ts';
import { arraysOf } from '../state/internal.ts';
import type { Core } from './core.ts';

class $Kept extends struct({ type: u32, a: u32, b: u32, payload: bytes() }) {}
/** Three words in decimal, a value of 64 units, and what stands between. */
class $Latest extends struct({ node: u32, newest: map(text(112), $Kept) }) {}

/** Pools that this adds to a service. */
export function latestFields() {
  return { $latest: pool($Latest) };
}

/** Keys that may wait for one receiver; from then on its lane is full for others. */
export const LATEST_MOST = 4_096;
/** Sent in one transaction, when there is room again. */
const BATCH = 32;
/** Lanes that were full are tried again so much later, and less often the longer nothing goes. */
const AGAIN_MS = 5;
const AGAIN_MS_MAX = 80;

/** Header of a record. */
export interface RecordHead {
  readonly type: number;
  readonly a: number;
  readonly b: number;
}

/** @returns the value that tells apart which messages replace each other, as text; undefined where none does */
export function keyedBy({ layout, replaces }: MessageSpec): ((payload: unknown) => string) | undefined {
  if (replaces === undefined) return undefined;
  const { kind } = layout.fields.find(({ name }) => name === replaces)!;
  return payload => {
    const value = (payload as Readonly<Record<string, unknown>>)[replaces] ?? zeroOf(kind);
    if (kind.tag !== 'ref') return String(value);
    const ref = value === undefined ? undefined : recordRefOf(value);
    return ref === undefined ? '' : `${ref.slot}.${ref.generation}`;
  };
}

export class Latest {
  readonly #core: Core;
  readonly #pool: Pool<$Latest>;
  readonly #isGone: (node: number) => boolean;
  #scratch = arraysOf(new ArrayBuffer(1_024)) as unknown as Segment;
  #nextMs = 0;
  #againMs = AGAIN_MS;
  /** Since the process began: `kept` waited, `replaced` were dropped for a newer one, `late` were sent later on, `gone` were
   * for a receiver that was removed. */
  readonly counts = { kept: 0, replaced: 0, late: 0, gone: 0 };

  constructor(core: Core, isGone: (node: number) => boolean) {
    this.#core = core;
    this.#pool = core.store.pools.get('$latest') as unknown as Pool<$Latest>;
    this.#isGone = isGone;
  }

  /** Send, or keep it until there is room. In a transaction.
   * @returns false when too many keys wait for that receiver
   * @throws BusError `BUS_RECORD_TOO_LARGE`; SchemaError `SCHEMA_RANGE`; StateError `STATE_HEAP_FULL` */
  send(
    node: number,
    head: RecordHead,
    codec: PayloadCodec,
    keyOf: (payload: unknown) => string,
    payload: unknown,
  ): boolean {
    const value = payload as Readonly<Record<string, unknown>>;
    const size = sizeOf(codec, payload);
    const at = this.#claim(node, head, size);
    if (at !== FULL) {
      codec.write(this.#core.lanes, at * 4, value);
      this.#core.bus.outbox.commitClaim();
      if (this.#pool.size > 0) this.#drop(node, keyIn(head, keyOf(payload)));
      return true;
    }
    const memory = this.#room(size);
    // What lies between fields goes into the state too, which follows from what was handled alone.
    memory.u8.fill(0, 0, size);
    codec.write(memory, 0, value);
    return this.#keep(node, head, keyIn(head, keyOf(payload)), memory.u8.slice(0, size));
  }

  #keep(node: number, { type, a, b }: RecordHead, key: string, payload: Uint8Array): boolean {
    const row = this.#rowOf(node) ?? (this.#pool.create({ node }) as $Latest);
    const isNew = !row.newest.has(key);
    if (isNew && row.newest.size >= LATEST_MOST) return false;
    row.newest.set(key, { type: type >>> 0, a: a >>> 0, b: b >>> 0, payload });
    this.counts[isNew ? 'kept' : 'replaced']++;
    return true;
  }

  #drop(node: number, key: string): void {
    const row = this.#rowOf(node);
    if (row === undefined || !row.newest.delete(key)) return;
    this.counts.replaced++;
    if (row.newest.size === 0) this.#pool.destroy(row);
  }

  /** Few receivers are slow at a time. */
  #rowOf(node: number): $Latest | undefined {
    if (this.#pool.size === 0) return undefined;
    for (const row of this.#pool) if (row.node === node) return row;
    return undefined;
  }

  #room(size: number): Segment {
    if (this.#scratch.u8.length < size)
      this.#scratch = arraysOf(new ArrayBuffer(2 ** Math.ceil(Math.log2(size)))) as unknown as Segment;
    return this.#scratch;
  }

  /** No room for a first lane is the same as a full one: it passes when lanes are given back. */
  #claim(node: number, { type, a, b }: RecordHead, size: number): number {
    try {
      return this.#core.bus.outbox.claim(node, type, a, b, size);
    } catch (error) {
      if (error instanceof BusError && (error.code === 'BUS_NO_ROOM' || error.code === 'BUS_TOO_MANY_LANES'))
        return FULL;
      throw error;
    }
  }

  /** That wait. */
  get size(): number {
    let size = 0;
    if (this.#pool.size > 0) this.#pool.forEach(row => void (size += row.newest.size));
    return size;
  }

  /** @returns ms of service time when `step` has something to do */
  nextMs(): number {
    return this.#pool.size === 0 ? Number.POSITIVE_INFINITY : this.#nextMs;
  }

  /** Send what there is room for. Outside transactions. @returns how many were sent */
  step(nowMs: number): number {
    if (this.#pool.size === 0 || nowMs < this.#nextMs) return 0;
    const nodes: number[] = [];
    this.#pool.forEach(row => void nodes.push(row.node));
    let sent = 0;
    for (const node of nodes) this.#core.transact(() => void (sent += this.#flush(node)));
    if (sent > 0) this.#againMs = AGAIN_MS;
    else {
      this.#nextMs = nowMs + this.#againMs;
      this.#againMs = Math.min(this.#againMs * 2, AGAIN_MS_MAX);
    }
    return sent;
  }

  #flush(node: number): number {
    const row = this.#rowOf(node)!;
    if (this.#isGone(node)) {
      this.counts.gone += row.newest.size;
      row.newest.clear();
      this.#pool.destroy(row);
      return 0;
    }
    let sent = 0;
    for (const key of firstOf(row.newest.keys(), BATCH)) {
      const { type, a, b, payload } = row.newest.get(key)!;
      const at = this.#claim(node, { type: type | 0, a: a | 0, b: b | 0 }, payload.length);
      if (at === FULL) break;
      this.#core.lanes.u8.set(payload, at * 4);
      this.#core.bus.outbox.commitClaim();
      row.newest.delete(key);
      sent++;
    }
    this.counts.late += sent;
    if (row.newest.size === 0) this.#pool.destroy(row);
    return sent;
  }
}

function firstOf(keys: Iterable<string>, most: number): string[] {
  const first: string[] = [];
  for (const key of keys) {
    if (first.length === most) break;
    first.push(key);
  }
  return first;
}

function keyIn({ type, a, b }: RecordHead, value: string): string {
  return `${type >>> 0}.${a >>> 0}.${b >>> 0}/${value}`;
}
