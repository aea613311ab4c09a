/** Counters of a node in shared memory: named numbers that outlive its processes. Region `counters` of the report segment.
 *
 *   OFFSET     SIZE  FIELD     WRITER   MEANING
 *   128 k        112  name      owner    a metric's name with its labels, UTF-8, zero-padded; empty = this and all after are free
 *   128 k + 112    4  kind      owner    1 a counter, only grows, over lives too; 2 a gauge
 *   128 k + 116    4  reserved  zero
 *   128 k + 120    8  value     owner    f64
 *
 * The name is written last, so an entry that is seen is whole. Not logged: what a killed process counted since its last
 * turn of some 10 ms is lost. */
import type { Segment } from '../../shm/index.ts';

const ENTRY_BYTES = 128;
const NAME_BYTES = 112;
const KIND = 112 / 4;
const VALUE = 120 / 8;
const COUNTER = 1;
const GAUGE = 2;

/** Entries that a node has room for. */
export const COUNTERS_MAX = 128;
export const COUNTERS_BYTES = COUNTERS_MAX * ENTRY_BYTES;

/** One as it was read. */
export interface CounterReading {
  /** `lich_messages_total{what="handled"}` */
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly value: number;
}

/** What a node counted, seen from any process. */
export function readCounters(segment: Segment): CounterReading[] {
  const { offset } = segment.regions.get('counters')!;
  const out: CounterReading[] = [];
  for (let k = 0; k < COUNTERS_MAX; k++) {
    const at = offset + k * ENTRY_BYTES;
    const name = nameAt(segment, at);
    if (name === '') break;
    const kind = segment.u32[at / 4 + KIND] === GAUGE ? 'gauge' : 'counter';
    out.push({ name, kind, value: segment.f64[at / 8 + VALUE] });
  }
  return out;
}

function nameAt(segment: Segment, at: number): string {
  const bytes = segment.u8.slice(at, at + NAME_BYTES);
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString();
}

/** The owner's end. */
export class Counters {
  readonly #segment: Segment;
  readonly #offset: number;
  /** f64 index of the value, by name; -1 = no entry was left */
  readonly #words = new Map<string, number>();
  #used = 0;

  constructor(segment: Segment) {
    this.#segment = segment;
    this.#offset = segment.regions.get('counters')!.offset;
    for (const { name } of readCounters(segment)) this.#words.set(name, this.#valueWord(this.#used++));
  }

  #valueWord(entry: number): number {
    return (this.#offset + entry * ENTRY_BYTES) / 8 + VALUE;
  }

  #word(name: string, kind: number): number {
    const known = this.#words.get(name);
    if (known !== undefined) return known;
    const bytes = Buffer.from(name);
    if (this.#used === COUNTERS_MAX || bytes.length === 0 || bytes.length > NAME_BYTES) {
      this.#words.set(name, -1);
      return -1;
    }
    const at = this.#offset + this.#used * ENTRY_BYTES;
    const word = this.#valueWord(this.#used++);
    this.#segment.f64[word] = 0;
    this.#segment.u32[at / 4 + KIND] = kind;
    this.#segment.u8.set(bytes.subarray(1), at + 1);
    this.#segment.u8[at] = bytes[0]!;
    this.#words.set(name, word);
    return word;
  }

  get(name: string): number {
    const word = this.#words.get(name) ?? -1;
    return word < 0 ? 0 : this.#segment.f64[word];
  }

  add(name: string, by = 1): void {
    const word = this.#word(name, COUNTER);
    if (word >= 0) this.#segment.f64[word] += by;
  }

  set(name: string, value: number, kind: 'counter' | 'gauge'): void {
    const word = this.#word(name, kind === 'gauge' ? GAUGE : COUNTER);
    if (word >= 0) this.#segment.f64[word] = value;
  }
}

/** Numbers that a process counts in an object of its own, copied into shared memory now and then. */
export class MirroredCounts {
  readonly #counters: Counters;
  readonly #source: Readonly<Record<string, number>>;
  readonly #keys: readonly string[];
  readonly #names: readonly string[];
  readonly #before: readonly number[];
  readonly #kind: 'counter' | 'gauge';

  /** @param from what of the source is not of this life
   * @param nameOf the counter of a key
   * @param kind gauges are as the source has them */
  constructor(
    counters: Counters,
    source: Readonly<Record<string, number>>,
    from: Readonly<Record<string, number>>,
    nameOf: (key: string) => string,
    kind: 'counter' | 'gauge',
  ) {
    this.#counters = counters;
    this.#kind = kind;
    this.#source = source;
    this.#keys = Object.keys(source).filter(key => typeof source[key] === 'number');
    this.#names = this.#keys.map(nameOf);
    this.#before = this.#names.map((name, k) => (kind === 'gauge' ? 0 : counters.get(name) - from[this.#keys[k]!]!));
  }

  copy(): void {
    for (let k = 0; k < this.#keys.length; k++) {
      this.#counters.set(this.#names[k]!, this.#before[k]! + this.#source[this.#keys[k]!]!, this.#kind);
    }
  }
}
