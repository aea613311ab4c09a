/** What clients see of a state: which pools and fields are sent, and the bodies of pictures and deltas.
 *
 *   body    varint epoch, varint tick, per pool: varint pool index + 1, ops, 0; then 0 for the end of the pools
 *   op      varint (slot + 1) * 4 + verb
 *   verb 0  change   mask, then the fields whose bit is set
 *   verb 1  enter    varint generation, then all sync fields; a known slot with another generation is a new record
 *   verb 2  leave    nothing
 *   mask    one varint per 28 sync fields, bit i of word w = sync field 28w + i
 *
 * A picture has enters only and stands for everything in view; a delta follows the one before. */
import { fieldCodecOf, type ValueCodec } from './codec.ts';
import { catalogOfStruct } from './catalog.ts';
import { SchemaError } from './errors.ts';
import { hashOf } from './hash.ts';
import type { AnyKind } from './kind.ts';
import { layoutOf, type FieldLayout, type StructLayout } from './layout.ts';
import type { StateSchema } from './state.ts';
import type { StructClass } from './struct.ts';
import { malformed, Reader, type Writer } from './wire.ts';

/** Sync fields for each word of a mask. */
export const MASK_BITS = 28;

/** A field that clients see. */
export interface SyncField {
  readonly name: string;
  /** Its number among the pool's sync fields, which is its bit in the mask. */
  readonly index: number;
  readonly field: FieldLayout;
  readonly codec: ValueCodec;
}

/** A pool that clients see something of. */
export interface SyncPool {
  readonly name: string;
  /** Its number among the state's pools. */
  readonly index: number;
  readonly struct: StructClass;
  readonly layout: StructLayout;
  readonly fields: readonly SyncField[];
  /** Words of a mask: one per 28 fields. */
  readonly maskWords: number;
}

/** What clients see of a state; server and client make the same one. */
export interface SyncPlan {
  /** Pools with sync fields, in declared order. */
  readonly pools: readonly SyncPool[];
  /** By the pool's number among the state's pools; undefined for a pool without sync fields. */
  readonly byIndex: readonly (SyncPool | undefined)[];
  /** 16 hex digits: equal when the same fields of the same pools are sent in the same form. */
  readonly hash: string;
}

const plans = new WeakMap<StateSchema, SyncPlan>();

/** What clients see of this state; made once per state.
 * @throws SchemaError `SCHEMA_STATE` for a family with `.sync` fields */
export function syncPlanOf(schema: StateSchema): SyncPlan {
  let plan = plans.get(schema);
  if (plan === undefined) plans.set(schema, (plan = makePlan(schema)));
  return plan;
}

function makePlan(schema: StateSchema): SyncPlan {
  const byIndex = schema.pools.map(({ name, struct, variants }, index): SyncPool | undefined => {
    for (const each of Object.values(variants ?? {})) {
      const sent = layoutOf(each).fields.find(field => field.syncs);
      if (sent !== undefined)
        throw new SchemaError(
          'SCHEMA_STATE',
          `pool \`${name}\` is a family, whose fields are not sent to clients: take .sync off ${sent.name} of ${each.name}, or give ${each.name} a pool of its own`,
        );
    }
    const layout = layoutOf(struct);
    const fields = layout.fields
      .filter(field => field.syncs)
      .map((field, bit): SyncField => ({ name: field.name, index: bit, field, codec: fieldCodecOf(layout, field) }));
    if (fields.length === 0) return undefined;
    return { name, index, struct, layout, fields, maskWords: Math.ceil(fields.length / MASK_BITS) };
  });
  const pools = byIndex.filter(entry => entry !== undefined);
  const hash = hashOf(
    pools.map(({ name, index, fields }) => ({ name, index, fields: fields.map(({ field }) => wireForm(field)) })),
    ['chart'],
  );
  return { pools, byIndex, hash };
}

// Offsets do not show on the wire, and of a nested struct only what is sent does.
function wireForm(field: FieldLayout): unknown {
  return { name: field.name, kind: kindForm(field.kind, true) };
}
function kindForm(kind: AnyKind, synced: boolean): unknown {
  if (kind.tag === 'array') return { of: kindForm(kind.element, false), length: kind.length };
  if (kind.tag === 'optional') return { optional: kindForm(kind.value, false) };
  if (kind.tag !== 'struct')
    return catalogOfStruct({
      name: '',
      bytes: 0,
      align: 4,
      fields: [{ name: '', kind, offset: 0, bytes: 0, syncs: false, initial: undefined, hidden: false }],
    }).fields[0].kind;
  const part = synced && !kind.syncsWhole;
  return kind.layout.fields
    .filter(field => !field.hidden && (!part || field.syncs))
    .map(field => ({ name: field.name, kind: kindForm(field.kind, part) }));
}

const CHANGE = 0;
const ENTER = 1;
const LEAVE = 2;

/** Writes the body of a picture or a delta: `begin`, then for each pool `pool` and its ops, then `end`. Records are read
 * by their field names, so views, mirrors and plain objects will do. */
export class SyncWriter {
  readonly #plan: SyncPlan;
  readonly #writer: Writer;
  #pool: SyncPool | undefined;
  #open = false;
  #ops = 0;

  constructor(plan: SyncPlan, writer: Writer) {
    this.#plan = plan;
    this.#writer = writer;
  }

  begin(epoch: number, tick: number): void {
    this.#pool = undefined;
    this.#open = false;
    this.#ops = 0;
    this.#writer.varint(epoch);
    this.#writer.varint(tick);
  }

  /** The ops that follow are of this pool. A pool without ops takes no bytes. Each pool at most once. */
  pool(pool: SyncPool): void {
    this.#close();
    this.#pool = pool;
  }

  enter(slot: number, generation: number, record: object): void {
    const { fields } = this.#op(slot, ENTER);
    const writer = this.#writer;
    writer.varint(generation);
    for (let i = 0; i < fields.length; i++)
      fields[i].codec.write(writer, (record as Record<string, unknown>)[fields[i].name]);
  }

  /** @param mask `maskWords` words of 28 bits; nothing is written when no bit is set */
  change(slot: number, mask: ArrayLike<number>, record: object): void {
    let any = 0;
    for (let word = 0; word < mask.length; word++) any |= mask[word];
    if (any === 0) return;
    const { fields, maskWords } = this.#op(slot, CHANGE);
    const writer = this.#writer;
    for (let word = 0; word < maskWords; word++) writer.varint(mask[word]);
    for (let i = 0; i < fields.length; i++) {
      if (((mask[(i / MASK_BITS) | 0] >>> (i % MASK_BITS)) & 1) === 1)
        fields[i].codec.write(writer, (record as Record<string, unknown>)[fields[i].name]);
    }
  }

  leave(slot: number): void {
    this.#op(slot, LEAVE);
  }

  /** @returns how many ops were written; a delta of none need not be sent. */
  end(): number {
    this.#close();
    this.#writer.varint(0);
    return this.#ops;
  }

  #op(slot: number, verb: number): SyncPool {
    const pool = this.#pool;
    if (pool === undefined || this.#plan.byIndex[pool.index] !== pool)
      throw new TypeError('SyncWriter: call pool() with a pool of the plan first');
    if (!this.#open) {
      this.#writer.varint(pool.index + 1);
      this.#open = true;
    }
    this.#ops++;
    this.#writer.varint((slot + 1) * 4 + verb);
    return pool;
  }

  #close(): void {
    if (this.#open) this.#writer.varint(0);
    this.#open = false;
  }
}

/** Gets what a body says, in its order. Values are plain; those of `change` are the changed fields only. */
export interface SyncSink {
  begin(epoch: number, tick: number): void;
  enter(pool: SyncPool, slot: number, generation: number, values: Record<string, unknown>): void;
  change(pool: SyncPool, slot: number, values: Record<string, unknown>): void;
  leave(pool: SyncPool, slot: number): void;
}

/** Read the body of a picture or a delta into a sink.
 * @param full true for a picture, which has enters only
 * @throws SchemaError `SCHEMA_WIRE`; ops before the malformed one were handed out */
export function readSync(plan: SyncPlan, body: Uint8Array, full: boolean, sink: SyncSink): void {
  const reader = new Reader(body);
  sink.begin(reader.varint(), reader.varint());
  for (;;) {
    const number = reader.varint();
    if (number === 0) break;
    const pool = plan.byIndex[number - 1];
    if (pool === undefined) return malformed(`pool ${number - 1} is not sent to clients`, reader.at);
    for (let op = reader.varint(); op !== 0; op = reader.varint()) readOp(pool, op, full, reader, sink);
  }
  reader.end();
}

function readOp(pool: SyncPool, op: number, full: boolean, reader: Reader, sink: SyncSink): void {
  const slot = Math.floor(op / 4) - 1;
  const verb = op % 4;
  if (slot < 0 || slot > 0xffff_fffe || verb > LEAVE || (full && verb !== ENTER))
    malformed(`op ${op} of pool ${pool.name}`, reader.at);
  if (verb === LEAVE) {
    sink.leave(pool, slot);
    return;
  }
  const values: Record<string, unknown> = {};
  const { fields } = pool;
  if (verb === ENTER) {
    const generation = reader.varint();
    if (generation === 0 || generation > 0xffff_ffff) malformed(`generation ${generation}`, reader.at);
    for (let i = 0; i < fields.length; i++) values[fields[i].name] = fields[i].codec.read(reader);
    sink.enter(pool, slot, generation, values);
    return;
  }
  const mask: number[] = [];
  for (let word = 0; word < pool.maskWords; word++) {
    const bits = reader.varint();
    const fieldsHere = Math.min(MASK_BITS, fields.length - word * MASK_BITS);
    if (bits >= 2 ** fieldsHere) malformed(`mask ${bits} of pool ${pool.name}`, reader.at);
    mask.push(bits);
  }
  for (let i = 0; i < fields.length; i++) {
    if (((mask[(i / MASK_BITS) | 0] >>> (i % MASK_BITS)) & 1) === 1)
      values[fields[i].name] = fields[i].codec.read(reader);
  }
  sink.change(pool, slot, values);
}
