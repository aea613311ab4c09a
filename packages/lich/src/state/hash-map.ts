/** map(key, kind, n): chained hash table inside the record, at a fixed capacity, iterated in the order of insertion. All
 * of it is under the undo log.
 *
 *   WORD  FIELD       MEANING
 *      0  count       entries
 *      1  free        first entry that was given back + 1, linked by chain; 0 = none
 *      2  first       oldest entry + 1, 0 = empty
 *      3  last        newest entry + 1, 0 = empty
 *      4  high        entries at and above were never used since the record was made: their bytes mean nothing
 *      5  reserved    zero
 *      6  buckets     first entry of the chain + 1, 0 = none
 *      …  entries     [chain + 1][prev + 1][next + 1][generation, odd = in use][key][value]    offsets from mapLayout()
 *
 * Invariants: count + free entries = high; the order chain and the bucket chains visit the same count entries; each key
 * is in the bucket of its hash; no two keys are equal.
 *
 * The hash is part of the format: a segment made by one process is looked up by the next. */
import { type AnyKind, type HashMap, type MapLayout, mapLayout, type MapShape } from '@lich/schema';
import type { Cell } from './cell.ts';
import { refWords } from './cell.ts';
import { decode } from './decode.ts';
import { FREED_STAMP, freed, type Placed } from './door.ts';
import { decodeOptions, type ElementSpec, ElementViews, mustFit } from './elements.ts';
import { StateError } from './errors.ts';
import type { Violation } from './errors.ts';
import type { Arrays, StoreContext } from './memory.ts';
import { asValue, containerFace } from './plain.ts';
import { equalsText } from './text.ts';

const COUNT = 0;
const FREE = 1;
const FIRST = 2;
const LAST = 3;
const HIGH = 4;
const RESERVED = 5;
const BUCKETS = 6;
const CHAIN = 0;
const PREV = 1;
const NEXT = 2;
const GENERATION = 3;

/** Spread the bits of one word (after: "lowbias32" of C. Wellons' hash prospector). */
function mix(x: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, 0x7feb_352d);
  h ^= h >>> 15;
  h = Math.imul(h, 0x846c_a68b | 0);
  return (h ^ (h >>> 16)) >>> 0;
}

const scratch = new Float64Array(1);
const scratchWords = new Uint32Array(scratch.buffer);
const scratchBig = new BigUint64Array(scratch.buffer);

/** Keys in the form in which they are compared: whole numbers as themselves, names as their index, texts as texts, bigints
 * and refs as two words. */
interface KeyForm {
  /** A checked key as it is looked up. */
  probe(key: unknown): unknown;
  hash(probe: unknown): number;
  /** Is the key of this entry the probe? */
  equals(entry: number, probe: unknown): boolean;
  /** The probe of a stored key. */
  stored(entry: number): unknown;
}

function keyForm(mem: Arrays, kind: AnyKind, offset: number, context: StoreContext | undefined): KeyForm {
  const twoWords = (lo: number, hi: number) => mix(lo ^ mix(hi));
  switch (kind.tag) {
    case 'text':
      return {
        probe: key => key,
        hash(probe) {
          const text = probe as string;
          let h = 0x811c_9dc5;
          for (let k = 0; k < text.length; k++) h = Math.imul(h ^ text.charCodeAt(k), 0x0100_0193);
          return mix(h);
        },
        equals: (entry, probe) => equalsText(mem.u16, entry + offset / 4, probe as string),
        stored: entry => decode(mem, kind, entry, offset, {}),
      };
    case 'int':
      return {
        probe: key => (key as number) + 0,
        hash(probe) {
          scratch[0] = probe as number;
          return twoWords(scratchWords[0], scratchWords[1]);
        },
        equals: (entry, probe) => mem.f64[(entry + offset / 4) / 2] === probe,
        stored: entry => mem.f64[(entry + offset / 4) / 2],
      };
    case 'u64':
    case 'i64':
      return {
        probe: key => BigInt.asUintN(64, key as bigint),
        hash(probe) {
          scratchBig[0] = probe as bigint;
          return twoWords(scratchWords[0], scratchWords[1]);
        },
        equals: (entry, probe) => mem.u64[(entry + offset / 4) / 2] === probe,
        stored: entry => mem.u64[(entry + offset / 4) / 2],
      };
    case 'ref':
      return {
        probe(key) {
          const ref =
            context === undefined ? (key as { slot: number; generation: number }) : refWords(context, kind, key);
          return ref === undefined ? 0n : (BigInt(ref.generation) << 32n) | BigInt(ref.slot);
        },
        hash: probe => twoWords(Number((probe as bigint) & 0xffff_ffffn), Number((probe as bigint) >> 32n)),
        equals: (entry, probe) =>
          ((BigInt(mem.u32[entry + offset / 4 + 1]) << 32n) | BigInt(mem.u32[entry + offset / 4])) === probe,
        stored: entry => (BigInt(mem.u32[entry + offset / 4 + 1]) << 32n) | BigInt(mem.u32[entry + offset / 4]),
      };
    case 'oneOf': {
      const index = new Map(kind.names.map((name, k) => [name, k]));
      const raw =
        kind.bytes === 1
          ? (entry: number) => mem.u8[entry * 4 + offset]
          : (entry: number) => mem.u16[(entry * 4 + offset) / 2];
      return {
        probe: key => index.get(key as string),
        hash: probe => mix(probe as number),
        equals: (entry, probe) => raw(entry) === probe,
        stored: raw,
      };
    }
    default: {
      const read = (entry: number) => decode(mem, kind, entry, offset, {});
      return {
        probe: key => (key as number) + 0,
        hash: probe => mix(probe as number),
        equals: (entry, probe) => read(entry) === probe,
        stored: read,
      };
    }
  }
}

/** One for all maps of a kind. */
export interface MapSpec extends ElementSpec {
  readonly keyCell: Cell;
}

export class MapView implements HashMap<any, any, any, any>, Placed {
  readonly #spec: MapSpec;
  readonly #kind: MapShape;
  readonly #layout: MapLayout;
  readonly #form: KeyForm;
  readonly #u32: Uint32Array;
  readonly #write: (word: number, value: number) => void;
  readonly #homeWord: number;
  readonly #homeStamp: number;
  readonly #views: ElementViews | undefined;
  #word: number;
  #stamp: number;

  constructor(spec: MapSpec, kind: MapShape, word: number, stampWord: number) {
    this.#spec = spec;
    this.#kind = kind;
    this.#layout = mapLayout(kind);
    this.#form = keyForm(spec.context.mem, kind.key, this.#layout.key, spec.context);
    this.#u32 = spec.context.mem.u32;
    this.#write = spec.context.log.write;
    this.#word = this.#homeWord = word;
    this.#stamp = this.#homeStamp = stampWord;
    this.#views = spec.door === undefined ? undefined : new ElementViews(spec.door);
    asValue(this, () => this.toArray());
  }

  get size(): number {
    return this.#u32[(this.#word || freed()) + COUNT];
  }

  get capacity(): number {
    return this.#kind.capacity;
  }

  get(key: unknown): any {
    const index = this.#find(key);
    return index < 0 ? undefined : this.#read(index);
  }

  has(key: unknown): boolean {
    return this.#find(key) >= 0;
  }

  set(key: unknown, value: unknown): any {
    const word = this.#word || freed();
    const { what, cell, door, keyCell, context } = this.#spec;
    const u32 = this.#u32;
    const write = this.#write;
    mustFit(this.#kind.value, value, what);
    let index = this.#find(key);
    if (index < 0) {
      mustFit(this.#kind.key, key, `key of ${what}`);
      const free = u32[word + FREE];
      const high = u32[word + HIGH];
      if (free === 0 && high === this.#kind.capacity) {
        throw new StateError('STATE_MAP_FULL', `${what} is full: ${high} entries, raise its capacity`);
      }
      context.touch(this.#stamp);
      index = free === 0 ? high : free - 1;
      const entry = this.#entry(index);
      if (free === 0) write(word + HIGH, high + 1);
      else write(word + FREE, u32[entry + CHAIN]);
      write(entry + GENERATION, (u32[entry + GENERATION] + 1) | 1);
      keyCell.write(keyCell.unit(entry, this.#layout.key), key);
      const bucket = word + BUCKETS + (this.#form.hash(this.#form.probe(key)) & (this.#layout.bucketCount - 1));
      write(entry + CHAIN, u32[bucket]);
      write(bucket, index + 1);
      const last = u32[word + LAST];
      write(entry + PREV, last);
      write(entry + NEXT, 0);
      if (last === 0) write(word + FIRST, index + 1);
      else write(this.#entry(last - 1) + NEXT, index + 1);
      write(word + LAST, index + 1);
      write(word + COUNT, u32[word + COUNT] + 1);
      this.#views?.added(this, index, context.journal, context.position());
    } else {
      context.touch(this.#stamp);
    }
    if (cell !== undefined) {
      const unit = cell.unit(this.#entry(index), this.#layout.value);
      cell.write(unit, value);
      return cell.read(unit);
    }
    const view = this.#read(index) as object;
    door!.assign(view, value);
    return view;
  }

  delete(key: unknown): boolean {
    const index = this.#find(key);
    if (index < 0) return false;
    const word = this.#word;
    const u32 = this.#u32;
    const write = this.#write;
    const { context } = this.#spec;
    context.touch(this.#stamp);
    const entry = this.#entry(index);
    let at = word + BUCKETS + (this.#form.hash(this.#form.stored(entry)) & (this.#layout.bucketCount - 1));
    while (u32[at] !== index + 1) at = this.#entry(u32[at] - 1) + CHAIN;
    write(at, u32[entry + CHAIN]);
    const prev = u32[entry + PREV];
    const next = u32[entry + NEXT];
    if (prev === 0) write(word + FIRST, next);
    else write(this.#entry(prev - 1) + NEXT, next);
    if (next === 0) write(word + LAST, prev);
    else write(this.#entry(next - 1) + PREV, prev);
    write(entry + GENERATION, (u32[entry + GENERATION] + 1) | 0);
    write(entry + CHAIN, u32[word + FREE]);
    write(word + FREE, index + 1);
    write(word + COUNT, u32[word + COUNT] - 1);
    this.#views?.removed(this, index, context.journal, context.position());
    return true;
  }

  clear(): void {
    const word = this.#word || freed();
    const u32 = this.#u32;
    if (u32[word + HIGH] === 0) return;
    const { context } = this.#spec;
    context.touch(this.#stamp);
    for (let link = u32[word + FIRST]; link !== 0; link = u32[this.#entry(link - 1) + NEXT]) {
      const entry = this.#entry(link - 1);
      const bucket = word + BUCKETS + (this.#form.hash(this.#form.stored(entry)) & (this.#layout.bucketCount - 1));
      if (u32[bucket] !== 0) this.#write(bucket, 0);
      this.#views?.removed(this, link - 1, context.journal, context.position());
    }
    for (let k = COUNT; k <= HIGH; k++) if (u32[word + k] !== 0) this.#write(word + k, 0);
  }

  *keys(): Generator<any, undefined> {
    for (const index of this.#order()) yield this.#key(index);
    return undefined;
  }

  *values(): Generator<any, undefined> {
    for (const index of this.#order()) yield this.#read(index);
    return undefined;
  }

  *entries(): Generator<[any, any], undefined> {
    for (const index of this.#order()) yield [this.#key(index), this.#read(index)];
    return undefined;
  }

  [Symbol.iterator](): Generator<[any, any], undefined> {
    return this.entries();
  }

  forEach(fn: (value: any, key: any) => void): void {
    for (const index of this.#order()) fn(this.#read(index), this.#key(index));
  }

  /** Entries as a plain array of [key, value]. */
  toArray(): [any, any][] {
    return decode(this.#spec.context.mem, this.#kind, this.#word || freed(), 0, decodeOptions(this.#spec.context)) as [
      any,
      any,
    ][];
  }

  /** @internal Overwrite all; the entries were checked. */
  $assign(entries: Iterable<readonly [unknown, unknown]>): void {
    const all = entries instanceof MapView ? entries.toArray() : [...entries];
    this.clear();
    for (const [key, value] of all) this.set(key, value);
  }

  /** Entries in the order of insertion. Entries added during the walk are visited; one that is removed at the place where
   * the walk stands does not end it. */
  *#order(): Generator<number, undefined> {
    const u32 = this.#u32;
    let link = u32[(this.#word || freed()) + FIRST];
    while (link !== 0) {
      const entry = this.#entry(link - 1);
      const generation = u32[entry + GENERATION];
      const before = u32[entry + NEXT];
      yield link - 1;
      if (this.#word === 0) return undefined;
      if (u32[entry + GENERATION] === generation) link = u32[entry + NEXT];
      else if (
        before !== 0 &&
        before <= u32[this.#word + HIGH] &&
        (u32[this.#entry(before - 1) + GENERATION] & 1) === 1
      )
        link = before;
      else return undefined;
    }
    return undefined;
  }

  #entry(index: number): number {
    return this.#word + (this.#layout.entries + index * this.#layout.stride) / 4;
  }

  #key(index: number): unknown {
    const { keyCell } = this.#spec;
    return keyCell.read(keyCell.unit(this.#entry(index), this.#layout.key));
  }

  #read(index: number): unknown {
    const entry = this.#entry(index);
    const { cell } = this.#spec;
    if (cell !== undefined) return cell.read(cell.unit(entry, this.#layout.value));
    return this.#views!.at(index, entry + this.#layout.value / 4, this.#stamp);
  }

  /** @returns the entry of a key, or -1; a value that cannot be a key is not there */
  #find(key: unknown): number {
    const word = this.#word || freed();
    const form = this.#form;
    const u32 = this.#u32;
    if (u32[word + COUNT] === 0 || !isKey(this.#kind.key, key)) return -1;
    const probe = form.probe(key);
    if (probe === undefined) return -1;
    let link = u32[word + BUCKETS + (form.hash(probe) & (this.#layout.bucketCount - 1))];
    while (link !== 0) {
      const entry = this.#entry(link - 1);
      if (form.equals(entry, probe)) return link - 1;
      link = u32[entry + CHAIN];
    }
    return -1;
  }

  /** @internal */
  undoAdd(slot: number): void {
    this.#views?.undoAdd(slot);
  }

  /** @internal */
  undoRemove(slot: number, view: object): void {
    this.#views?.undoRemove(slot, view);
  }

  /** @internal */
  $free(): void {
    this.#word = 0;
    this.#stamp = FREED_STAMP;
    this.#views?.free();
  }

  /** @internal */
  $revive(): void {
    this.#word = this.#homeWord;
    this.#stamp = this.#homeStamp;
    this.#views?.revive();
  }
}
containerFace(MapView.prototype);

/** A cheap look at the type: what passes can be hashed and compared; a number out of range equals no stored key. */
function isKey(kind: AnyKind, key: unknown): boolean {
  switch (kind.tag) {
    case 'text':
    case 'oneOf':
      return typeof key === 'string';
    case 'u64':
    case 'i64':
      return typeof key === 'bigint' && key >= kind.min && key <= kind.max;
    case 'ref':
      return key === undefined || (typeof key === 'object' && key !== null);
    default:
      return typeof key === 'number';
  }
}

/** Walk a map's own words.
 * @param each called for each entry in use, with its word */
export function checkMap(
  mem: Arrays,
  kind: MapShape,
  word: number,
  where: string,
  out: Violation[],
  each: (entry: number, where: string) => void,
): void {
  const layout = mapLayout(kind);
  const form = keyForm(mem, kind.key, layout.key, undefined);
  const u32 = mem.u32;
  const bad = (what: string) => out.push({ where, what });
  const entryOf = (index: number) => word + (layout.entries + index * layout.stride) / 4;
  const count = u32[word + COUNT];
  const high = u32[word + HIGH];
  const [first, last, freeHead] = [u32[word + FIRST], u32[word + LAST], u32[word + FREE]];
  if (high > kind.capacity || count > high || first > high || last > high || freeHead > high) {
    return void bad(
      `count ${count}, free ${freeHead}, first ${first}, last ${last}, high ${high} with capacity ${kind.capacity}`,
    );
  }
  if (u32[word + RESERVED] !== 0) bad(`reserved word is ${u32[word + RESERVED]}`);
  const seen = new Set<number>();
  const keys = new Set<unknown>();
  let prev = 0;
  for (let link = first; link !== 0; link = u32[entryOf(link - 1) + NEXT]) {
    if (link > high || seen.has(link))
      return void bad(`the order leads to entry ${link - 1} ${seen.has(link) ? 'twice' : `beyond high ${high}`}`);
    seen.add(link);
    const entry = entryOf(link - 1);
    if (u32[entry + PREV] !== prev) bad(`entry ${link - 1} says its prev is ${u32[entry + PREV]}, it is ${prev}`);
    if ((u32[entry + GENERATION] & 1) === 0) bad(`entry ${link - 1} is in use with an even generation`);
    const key = form.stored(entry);
    if (keys.has(key)) bad(`key ${String(key)} twice`);
    keys.add(key);
    each(entry, `${where}[${String(decode(mem, kind.key, entry, layout.key, {}))}]`);
    prev = link;
  }
  if (prev !== last) bad(`the order ends at ${prev}, last says ${last}`);
  if (seen.size !== count) bad(`${seen.size} entries in order, count says ${count}`);
  let chained = 0;
  for (let bucket = 0; bucket < layout.bucketCount; bucket++) {
    for (let link = u32[word + BUCKETS + bucket]; link !== 0; link = u32[entryOf(link - 1) + CHAIN]) {
      if (!seen.has(link) || ++chained > count)
        return void bad(`bucket ${bucket} leads to entry ${link - 1}, which is not in use or was met before`);
      const hash = form.hash(form.stored(entryOf(link - 1))) & (layout.bucketCount - 1);
      if (hash !== bucket) bad(`entry ${link - 1} is in bucket ${bucket}, its key belongs into ${hash}`);
    }
  }
  if (chained !== count) bad(`${chained} entries in buckets, count says ${count}`);
  let free = 0;
  for (let link = freeHead; link !== 0; link = u32[entryOf(link - 1) + CHAIN]) {
    if (link > high || seen.has(link))
      return void bad(
        `the free list leads to entry ${link - 1}, which is ${link > high ? 'beyond high' : 'taken already'}`,
      );
    seen.add(link);
    free++;
    if ((u32[entryOf(link - 1) + GENERATION] & 1) === 1) bad(`entry ${link - 1} is free with an odd generation`);
  }
  if (free + count !== high) bad(`${count} entries + ${free} free is not high ${high}`);
}
