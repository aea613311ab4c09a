/** What changed since players were last told: the `.sync` fields of all records, as deltas.
 *
 * For each record of a pool with sync fields is kept what players were shown: the generation (0 = it was not shown), and
 * a copy of each sync field. These are under the log and change in the transaction that sends the delta, so after a kill
 * the next life goes on with the next delta, and nobody needs a new picture.
 *
 *   hidden in records $_shown              u32, the generation. It is the slot's, and outlives the record (see pool.ts), so
 *                                          that one which is destroyed, made again and destroyed between two deltas is
 *                                          taken away
 *                     $shown0 … $shownN    one for each sync field, of its kind
 *
 * Change stamps say which records to look at; the copies say what of them to send: writing the same value, or going
 * there and back between two ticks, sends nothing. */
import {
  type AnyKind,
  type FieldLayout,
  type Fields,
  type StateSchema,
  type SyncPlan,
  type SyncPool,
  SyncWriter,
  syncPlanOf,
  u32,
  type Writer,
} from '@lich/schema';
import { OutKind } from '@lich/schema';
import type { Pool, Store } from '../state/index.ts';

/** Hidden fields for the pools of a schema that have sync fields. */
export function shownFields(schema: StateSchema): Record<string, Record<string, unknown>> {
  const hidden: Record<string, Record<string, unknown>> = {};
  for (const pool of syncPlanOf(schema).pools) {
    hidden[pool.name] = { $_shown: u32 };
    for (const { index, field } of pool.fields) hidden[pool.name]![`$shown${index}`] = field.kind;
  }
  return hidden;
}

export type { Fields };

/** A sync field and its copy, or a part of them, as byte offsets in the record; small kinds do not own their word. */
interface Pair {
  readonly from: number;
  readonly to: number;
  /** 1, 2, or a multiple of 4 */
  readonly bytes: number;
}

interface Scanned {
  readonly plan: SyncPool;
  readonly pool: Pool<object>;
  /** by sync field: of a nested struct, those parts that are sent */
  readonly pairs: readonly (readonly Pair[])[];
  /** word of the generation shown, in the payload */
  readonly shown: number;
  readonly mask: number[];
}

/** The same parts as the wire takes: of a nested struct that is not `.sync` as a whole only the fields that its class
 * marks. */
function pairsOf(kind: AnyKind, from: number, to: number): Pair[] {
  if (kind.tag !== 'struct' || kind.syncsWhole) return [{ from, to, bytes: kind.bytes }];
  return kind.layout.fields
    .filter(field => field.syncs)
    .flatMap(field => pairsOf(field.kind, from + field.offset, to + field.offset));
}

export class SyncScan {
  readonly plan: SyncPlan;
  readonly #store: Store<unknown>;
  readonly #scanned: Scanned[];
  readonly #sync: SyncWriter;
  readonly #writer: Writer;
  #left = 0;
  /** Did the last delta have all that changed? */
  isWhole = true;

  constructor(schema: StateSchema, store: Store<unknown>, writer: Writer) {
    this.plan = syncPlanOf(schema);
    this.#store = store;
    this.#writer = writer;
    this.#sync = new SyncWriter(this.plan, writer);
    this.#scanned = this.plan.pools.map(plan => {
      const pool = store.pools.get(plan.name)!;
      const field = (name: string): FieldLayout => pool.layout.fields.find(f => f.name === name)!;
      const pairs = plan.fields.map(({ name, index }) =>
        pairsOf(field(name).kind, field(name).offset, field(`$shown${index}`).offset),
      );
      return {
        plan,
        pool,
        pairs,
        shown: field('$_shown').offset / 4,
        mask: new Array<number>(plan.maskWords).fill(0),
      };
    });
  }

  /** Write the body of a full picture, kind first: everything as it is now. */
  picture(epoch: number, tick: number): void {
    this.#writer.reset();
    this.#writer.u8(OutKind.PICTURE);
    this.#sync.begin(epoch, tick);
    for (const { plan, pool } of this.#scanned) {
      this.#sync.pool(plan);
      pool.peekEach((record, slot) => this.#sync.enter(slot, pool.generationOf(slot), record));
    }
    this.#sync.end();
  }

  /** Write the body of a delta, kind first, of what changed in transactions stamped `since` or later, and note it as
   * shown. In a transaction.
   * @param most ops to write: where more changed, `isWhole` says so, and the next call with the same `since` finds the rest
   * @returns ops in the delta */
  delta(since: number, epoch: number, tick: number, most = Number.POSITIVE_INFINITY): number {
    this.#left = most;
    this.isWhole = true;
    this.#writer.reset();
    this.#writer.u8(OutKind.DELTA);
    this.#sync.begin(epoch, tick);
    for (const scanned of this.#scanned) {
      this.#sync.pool(scanned.plan);
      scanned.pool.changedSince(since, (slot, record) => this.#visit(scanned, slot, record));
    }
    return this.#sync.end();
  }

  #visit(scanned: Scanned, slot: number, record: object | undefined): void {
    const { pool, pairs, shown, mask } = scanned;
    const { log, segment } = this.#store;
    const shownWord = pool.payloadWord(slot) + shown;
    const base = pool.payloadWord(slot) * 4;
    const was = segment.u32[shownWord];
    if (this.#left <= 0) {
      this.isWhole = false;
      return;
    }
    if (record === undefined) {
      if (was === 0) return;
      this.#left--;
      this.#sync.leave(slot);
      log.write(shownWord, 0);
      return;
    }
    const generation = pool.generationOf(slot);
    if (was !== generation) {
      this.#left--;
      this.#sync.enter(slot, generation, record);
      log.write(shownWord, generation);
      for (const parts of pairs) for (const pair of parts) this.#copy(base, pair);
      return;
    }
    mask.fill(0);
    for (let k = 0; k < pairs.length; k++) {
      const parts = pairs[k]!;
      let isSame = true;
      for (let part = 0; part < parts.length; part++) {
        if (this.#same(base, parts[part]!)) continue;
        isSame = false;
        this.#copy(base, parts[part]!);
      }
      if (!isSame) mask[(k / 28) | 0]! |= 1 << (k % 28);
    }
    if (mask.some(bits => bits !== 0)) this.#left--;
    this.#sync.change(slot, mask, record);
  }

  #same(base: number, { from, to, bytes }: Pair): boolean {
    const { u8, u16, i32 } = this.#store.segment;
    if (bytes === 1) return u8[base + from] === u8[base + to];
    if (bytes === 2) return u16[(base + from) >>> 1] === u16[(base + to) >>> 1];
    for (let k = 0; k < bytes; k += 4) if (i32[(base + from + k) >>> 2] !== i32[(base + to + k) >>> 2]) return false;
    return true;
  }

  /** Logged. Small kinds share their word with neighbours: the whole word is logged, then the part is stored. */
  #copy(base: number, { from, to, bytes }: Pair): void {
    const { log, segment } = this.#store;
    const { u8, u16, i32 } = segment;
    if (bytes < 4) {
      log.keep((base + to) >>> 2, 1);
      if (bytes === 1) u8[base + to] = u8[base + from];
      else u16[(base + to) >>> 1] = u16[(base + from) >>> 1];
      return;
    }
    for (let k = 0; k < bytes; k += 4) log.write((base + to + k) >>> 2, i32[(base + from + k) >>> 2]);
  }
}
