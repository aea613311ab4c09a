/** What changed since players were last told: the `.sync` fields of all records, as deltas.
 *
 * Each record of a pool with sync fields has hidden fields that say what players were shown: the generation (0 = it was
 * not shown), and a copy of each sync field. They are under the log and change in the transaction that sends the delta,
 * so after a kill the next life goes on with the next delta, and nobody needs a new picture.
 *
 *   $shown u32 | $shown0 … $shownN     one for each sync field, of its kind
 *
 * Change stamps say which records to look at; the copies say what of them to send: writing the same value, or going
 * there and back between two ticks, sends nothing. */
import { type FieldLayout, type Fields, type StateSchema, type SyncPlan, type SyncPool, SyncWriter, syncPlanOf, u32, type Writer } from '@lich/schema';
import { OutKind } from '@lich/schema';
import type { Pool, Store } from '../state/index.ts';

/** Hidden fields for the pools of a schema that have sync fields. */
export function shownFields(schema: StateSchema): Record<string, Record<string, unknown>> {
  const hidden: Record<string, Record<string, unknown>> = {};
  for (const pool of syncPlanOf(schema).pools) {
    hidden[pool.name] = { $shown: u32 };
    for (const { index, field } of pool.fields) hidden[pool.name]![`$shown${index}`] = field.kind;
  }
  return hidden;
}

export type { Fields };

/** A sync field and its copy, as byte offsets in the record; small kinds do not own their word. */
interface Pair {
  readonly from: number;
  readonly to: number;
  /** 1, 2, or a multiple of 4 */
  readonly bytes: number;
}

interface Scanned {
  readonly plan: SyncPool;
  readonly pool: Pool<object>;
  readonly pairs: readonly Pair[];
  /** byte offset of $shown */
  readonly shown: number;
  readonly mask: number[];
}

export class SyncScan {
  readonly plan: SyncPlan;
  readonly #store: Store<unknown>;
  readonly #scanned: Scanned[];
  readonly #sync: SyncWriter;
  readonly #writer: Writer;

  constructor(schema: StateSchema, store: Store<unknown>, writer: Writer) {
    this.plan = syncPlanOf(schema);
    this.#store = store;
    this.#writer = writer;
    this.#sync = new SyncWriter(this.plan, writer);
    this.#scanned = this.plan.pools.map((plan) => {
      const pool = store.pools.get(plan.name)!;
      const field = (name: string): FieldLayout => pool.layout.fields.find((f) => f.name === name)!;
      const pairs = plan.fields.map(({ name, index }) => ({
        from: field(name).offset,
        to: field(`$shown${index}`).offset,
        bytes: field(name).bytes,
      }));
      return { plan, pool, pairs, shown: field('$shown').offset, mask: new Array<number>(plan.maskWords).fill(0) };
    });
  }

  /** Write the body of a full picture, kind first: everything as it is now. */
  picture(epoch: number, tick: number): void {
    this.#writer.reset();
    this.#writer.u8(OutKind.PICTURE);
    this.#sync.begin(epoch, tick);
    for (const { plan, pool } of this.#scanned) {
      this.#sync.pool(plan);
      pool.forEach((record, slot) => this.#sync.enter(slot, pool.generationOf(slot), record));
    }
    this.#sync.end();
  }

  /** Write the body of a delta, kind first, of all that changed in transactions stamped `since` or later, and note it as
   * shown. In a transaction. @returns ops in the delta */
  delta(since: number, epoch: number, tick: number): number {
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
    const base = pool.payloadWord(slot) * 4;
    const shownWord = (base + shown) >> 2;
    const was = segment.u32[shownWord];
    if (record === undefined) {
      if (was === 0) return;
      this.#sync.leave(slot);
      log.write(shownWord, 0);
      return;
    }
    const generation = pool.generationOf(slot);
    if (was !== generation) {
      this.#sync.enter(slot, generation, record);
      log.write(shownWord, generation);
      for (const pair of pairs) this.#copy(base, pair);
      return;
    }
    mask.fill(0);
    for (let k = 0; k < pairs.length; k++) {
      const pair = pairs[k]!;
      if (this.#same(base, pair)) continue;
      mask[(k / 28) | 0]! |= 1 << (k % 28);
      this.#copy(base, pair);
    }
    this.#sync.change(slot, mask, record);
  }

  #same(base: number, { from, to, bytes }: Pair): boolean {
    const { u8, u16, i32 } = this.#store.segment;
    if (bytes === 1) return u8[base + from] === u8[base + to];
    if (bytes === 2) return u16[(base + from) >> 1] === u16[(base + to) >> 1];
    for (let k = 0; k < bytes; k += 4) if (i32[(base + from + k) >> 2] !== i32[(base + to + k) >> 2]) return false;
    return true;
  }

  /** Logged. Small kinds share their word with neighbours: the whole word is logged, then the part is stored. */
  #copy(base: number, { from, to, bytes }: Pair): void {
    const { log, segment } = this.#store;
    const { u8, u16, i32 } = segment;
    if (bytes < 4) {
      log.keep((base + to) >> 2, 1);
      if (bytes === 1) u8[base + to] = u8[base + from];
      else u16[(base + to) >> 1] = u16[(base + from) >> 1];
      return;
    }
    for (let k = 0; k < bytes; k += 4) log.write((base + to + k) >> 2, i32[(base + from + k) >> 2]);
  }
}
