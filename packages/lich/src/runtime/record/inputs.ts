/** The inputs of a node, read from outside: a copy of its ring, which its owner goes on writing, and where each entry is. */
import { attachSegment, type Segment } from '../../shm/index.ts';
import { openReader } from '../../state/index.ts';
import { RuntimeError } from '../errors.ts';
import {
  ENTRY_A,
  ENTRY_B,
  ENTRY_COMMIT_NO,
  ENTRY_HEADER,
  ENTRY_K,
  ENTRY_KIND,
  ENTRY_LENGTH,
  ENTRY_LINES,
  ENTRY_NEXT,
  ENTRY_NOW,
  ENTRY_STAMP,
  ENTRY_SUM,
  ENTRY_TYPE,
  ENTRY_WORDS,
  INPUTS_LAYOUT,
  KIND_MASK,
  MARK_AT,
  MARK_K,
  MARK_SEQ,
  PAD,
  UNIT_WORDS,
  WAS_REFUSED,
} from './format.ts';

/** One input, as it was kept. */
export interface Input {
  readonly k: number;
  /** One of KIND_NAMES. */
  readonly kind: number;
  readonly stream: number;
  /** Low 32 bits. */
  readonly commitNo: number;
  readonly now: number;
  readonly stampLo: number;
  readonly stampHi: number;
  readonly lines: number;
  readonly sum: number;
  readonly next: number;
  readonly type: number;
  readonly a: number;
  readonly b: number;
  /** First word of the payload in the copy, and their number. */
  readonly word: number;
  readonly words: number;
  /** [number of the claim, receiver] */
  readonly refused: readonly (readonly [number, number])[];
  /** Position behind it. */
  readonly at: number;
}

/** Inputs `firstK + 1` to `lastK` of one node. */
export class Inputs {
  readonly firstK: number;
  readonly lastK: number;
  readonly #I: Int32Array;
  readonly #F: Float64Array;
  readonly #buffer: ArrayBuffer;
  /** Words of entries, by number less firstK + 1. */
  readonly #entries: Int32Array;
  readonly #behind: Int32Array;

  /** @param dir of the cluster: the owner may run
   * @throws ShmError `SHM_NOT_FOUND` where nothing was recorded; RuntimeError `RUNTIME_NOT_RECORDED` */
  constructor(dir: string, name: string) {
    const state = attachSegment({ dir, name, kind: 'state', readOnly: true });
    const ring = attachSegment({ dir, name, kind: 'inputs', layoutHash: INPUTS_LAYOUT, readOnly: true });
    try {
      // Before the copy: what is committed by now is in it, or was overwritten since, which the marks say.
      const root = openReader(state, { hidden: true }).snapshot(snapshot => snapshot.root());
      const endK = Number(root['$k'] ?? 0);
      const endAt = Number(root['$at'] ?? 0) | 0;
      const region = ring.regions.get('ring')!;
      this.#buffer = new ArrayBuffer(region.bytes);
      this.#I = new Int32Array(this.#buffer);
      this.#F = new Float64Array(this.#buffer);
      this.#I.set(ring.i32.subarray(region.offset / 4, (region.offset + region.bytes) / 4));
      const { at, k } = marks(ring);
      if (endK < k) notRecorded(name, `it is at input ${endK}, and the ring begins behind ${k}`);
      this.firstK = k;
      this.lastK = endK;
      this.#entries = new Int32Array(endK - k);
      this.#behind = new Int32Array(endK - k);
      this.#index(name, at, endAt, region.bytes / (UNIT_WORDS * 4));
    } finally {
      ring.close();
      state.close();
    }
  }

  #index(name: string, firstAt: number, endAt: number, units: number): void {
    const I = this.#I;
    let at = firstAt;
    for (let n = 0; n < this.#entries.length; ) {
      const word = (at & (units - 1)) * UNIT_WORDS;
      const length = I[word + ENTRY_LENGTH];
      const isPad = (I[word + ENTRY_KIND] & KIND_MASK) === PAD;
      const k = this.firstK + 1 + n;
      if (length < UNIT_WORDS || length % UNIT_WORDS !== 0 || word + length > I.length || ((endAt - at) | 0) <= 0)
        notRecorded(name, `the entry of input ${k} has ${length} words`);
      at = (at + length / UNIT_WORDS) | 0;
      if (isPad) continue;
      if (I[word + ENTRY_K] !== (k | 0)) notRecorded(name, `the entry of input ${k} is another one's`);
      this.#entries[n] = word;
      this.#behind[n] = at;
      n++;
    }
  }

  /** @returns undefined when it is not among these */
  at(k: number): Input | undefined {
    if (!(k > this.firstK && k <= this.lastK)) return undefined;
    const n = k - this.firstK - 1;
    const I = this.#I;
    const F = this.#F;
    const e = this.#entries[n]!;
    const words = I[e + ENTRY_WORDS];
    const refused: [number, number][] = [];
    const times = (I[e + ENTRY_KIND] & WAS_REFUSED) === 0 ? 0 : I[e + I[e + ENTRY_LENGTH] - 1];
    for (let r = 0; r < times; r++) {
      const at = e + ENTRY_HEADER + words + r * 2;
      refused.push([I[at], I[at + 1]]);
    }
    return {
      k,
      kind: I[e + ENTRY_KIND] & KIND_MASK,
      stream: I[e + ENTRY_KIND] >>> 16,
      commitNo: I[e + ENTRY_COMMIT_NO] >>> 0,
      now: F[(e + ENTRY_NOW) >> 1],
      stampLo: I[e + ENTRY_STAMP],
      stampHi: I[e + ENTRY_STAMP + 1],
      lines: F[(e + ENTRY_LINES) >> 1],
      sum: I[e + ENTRY_SUM],
      next: I[e + ENTRY_NEXT],
      type: I[e + ENTRY_TYPE],
      a: I[e + ENTRY_A],
      b: I[e + ENTRY_B],
      word: e + ENTRY_HEADER,
      words,
      refused,
      at: this.#behind[n]!,
    };
  }

  /** Words of the copy: payloads and changed words. */
  get words(): Int32Array {
    return this.#I;
  }

  /** What a handler reads payloads from: the faces of the copy. */
  get memory(): Segment {
    const buffer = this.#buffer;
    return {
      i8: new Int8Array(buffer),
      u8: new Uint8Array(buffer),
      i16: new Int16Array(buffer),
      u16: new Uint16Array(buffer),
      i32: this.#I,
      u32: new Uint32Array(buffer),
      f32: new Float32Array(buffer),
      f64: this.#F,
      i64: new BigInt64Array(buffer),
      u64: new BigUint64Array(buffer),
    } as unknown as Segment;
  }
}

/** Where the oldest whole entry is. */
function marks(ring: Segment): { at: number; k: number } {
  const first = ring.regions.get('marks')!.offset / 4;
  for (;;) {
    const seq = Atomics.load(ring.i32, first + MARK_SEQ);
    const at = Atomics.load(ring.i32, first + MARK_AT);
    const k = ring.f64[(first + MARK_K) >> 1]!;
    if ((seq & 1) === 0 && Atomics.load(ring.i32, first + MARK_SEQ) === seq) return { at, k };
  }
}

function notRecorded(name: string, what: string): never {
  throw new RuntimeError('RUNTIME_NOT_RECORDED', `${name}: ${what}: no input can be taken from its ring`);
}
