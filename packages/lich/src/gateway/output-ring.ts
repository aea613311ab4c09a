// Runs once for each frame that goes to players: words and loops.
/** Output ring: everything that the scenes said to players, once, until it is overwritten. All of it is under the log: a
 * frame is in the ring in the same transaction that takes it from the scene's lane.
 *
 *   $outTail    f64            position behind the newest entry
 *   $outOldest  f64            position of the oldest entry
 *   $output     u32[words]     entries; position p is at word p mod words
 *   $lostIn     f64[nodes]     for each scene, end of the last entry for everybody that is gone and mattered
 *
 *   entry   WORD  FIELD        MEANING
 *              0  length       words of the whole entry, a multiple of 4
 *              1  scene        node index + 1; 0 = padding up to the end of the ring
 *              2  slot         of the session; EVERYBODY = all that play in the scene
 *              3  generation   of the session
 *              4  byteLength   0 = a gap: something for them was lost here
 *              5  bytes        kind and body of an OUT frame
 *
 * Positions count words, are never reused (53 bits), and a frame's seq is the position behind its entry: "all up to seq"
 * is "all before this position", which is where a resumed session goes on.
 *
 *            oldest                      tail
 *   ░░░░░░░░░│ e │ e │ e │ e │ e │ e │ e │░░░░░░░░      append: drop from the left until there is room, write, move tail
 *
 * Invariants: oldest <= tail <= oldest + words; entries from oldest lead exactly to tail; none crosses the ring's end. */
import { array, f64, type StructLayout, u32 } from '@lich/schema';
import type { Segment } from '../shm/index.ts';
import type { UndoLog } from '../state/index.ts';

export const HEADER_WORDS = 5;
const ALIGN_WORDS = 4;
const LENGTH = 0;
const SCENE = 1;
const SLOT = 2;
const GENERATION = 3;
const BYTES = 4;

/** The entry is larger than a quarter of the ring: it was not stored. */
export const TOO_LARGE = -1;

/** Root fields that the ring adds to a gateway's state. */
export function outputFields(outputBytes: number, nodes: number) {
  return { $outTail: f64, $outOldest: f64, $output: array(u32, outputBytes / 4), $lostIn: array(f64, nodes) };
}

/** Told about each entry that is overwritten, in the transaction that does it. */
export type OnDrop = (scene: number, slot: number, generation: number, kind: number, end: number) => void;

export class OutputRing {
  readonly #segment: Segment;
  readonly #S: Int32Array;
  readonly #F: Float64Array;
  readonly #log: UndoLog;
  readonly #tailWord: number;
  readonly #oldestWord: number;
  readonly #lostWord: number;
  readonly #base: number;
  readonly #words: number;
  readonly #onDrop: OnDrop;

  /** @param rootOffset byte offset of the root region */
  constructor(segment: Segment, log: UndoLog, root: StructLayout, rootOffset: number, onDrop: OnDrop) {
    const field = (name: string) => root.fields.find(f => f.name === name)!;
    const word = (name: string): number => (rootOffset + field(name).offset) / 4;
    this.#segment = segment;
    this.#S = segment.i32;
    this.#F = segment.f64;
    this.#log = log;
    this.#tailWord = word('$outTail');
    this.#oldestWord = word('$outOldest');
    this.#lostWord = word('$lostIn');
    this.#base = word('$output');
    this.#words = field('$output').bytes / 4;
    this.#onDrop = onDrop;
  }

  /** The first positions, in the transaction that creates the state: seqs begin above 0, which means none. */
  create(): void {
    this.#log.writeF64(this.#tailWord, this.#words);
    this.#log.writeF64(this.#oldestWord, this.#words);
  }

  get tail(): number {
    return this.#F[this.#tailWord >> 1];
  }

  get oldest(): number {
    return this.#F[this.#oldestWord >> 1];
  }

  get capacityBytes(): number {
    return this.#words * 4;
  }

  /** End of the last entry for everybody in that scene that is gone and that a picture does not make up for. */
  lostIn(scene: number): number {
    return this.#F[(this.#lostWord >> 1) + scene];
  }

  noteLostIn(scene: number, end: number): void {
    this.#log.writeF64(this.#lostWord + scene * 2, end);
  }

  /** Store a frame, in the open transaction.
   * @param from where its bytes lie, from a word on
   * @returns the position behind it, its seq; or `TOO_LARGE` */
  append(scene: number, slot: number, generation: number, from: Int32Array, word: number, byteLength: number): number {
    const copied = (byteLength + 3) >> 2;
    const need = (HEADER_WORDS + copied + ALIGN_WORDS - 1) & -ALIGN_WORDS;
    if (need > this.#words >> 2) return TOO_LARGE;
    const at = this.#claim(need);
    const S = this.#S;
    this.#log.keep(at, HEADER_WORDS + copied);
    S[at + LENGTH] = need;
    S[at + SCENE] = scene + 1;
    S[at + SLOT] = slot;
    S[at + GENERATION] = generation;
    S[at + BYTES] = byteLength;
    for (let k = 0; k < copied; k++) S[at + HEADER_WORDS + k] = from[word + k];
    return this.tail;
  }

  /** Note that something for a session, or for everybody, is missing here. @returns the position behind the gap */
  appendGap(scene: number, slot: number, generation: number): number {
    return this.append(scene, slot, generation, this.#S, 0, 0);
  }

  /** Store once more what stands at a position. @returns as `append`; 0 when making room has overwritten it */
  appendAgain(position: number): number {
    const at = this.at(position);
    const S = this.#S;
    const scene = S[at + SCENE] - 1;
    const slot = S[at + SLOT];
    const generation = S[at + GENERATION];
    const byteLength = S[at + BYTES];
    const copied = (byteLength + 3) >> 2;
    const need = (HEADER_WORDS + copied + ALIGN_WORDS - 1) & -ALIGN_WORDS;
    // The room that is made may be the entry's own.
    if (this.tail + 2 * need - position > this.#words) return 0;
    return this.append(scene, slot, generation, S, at + HEADER_WORDS, byteLength);
  }

  /** Make room, note the new tail. @returns word of the entry */
  #claim(need: number): number {
    const words = this.#words;
    const tail = this.tail;
    const index = tail % words;
    const pad = index + need > words ? words - index : 0;
    const end = tail + pad + need;
    if (end - this.oldest > words) this.#drop(end - words);
    if (pad > 0) {
      const at = this.#base + index;
      this.#log.write(at + LENGTH, pad);
      this.#log.write(at + SCENE, 0);
    }
    this.#log.writeF64(this.#tailWord, end);
    return this.#base + ((tail + pad) % words);
  }

  /** Give up entries until the oldest is at or behind `until`. */
  #drop(until: number): void {
    const S = this.#S;
    let oldest = this.oldest;
    while (oldest < until && oldest < this.tail) {
      const at = this.at(oldest);
      oldest += S[at + LENGTH];
      if (S[at + SCENE] !== 0)
        this.#onDrop(S[at + SCENE] - 1, S[at + SLOT], S[at + GENERATION], this.kindAt(at), oldest);
    }
    this.#log.writeF64(this.#oldestWord, oldest);
  }

  /** Word of the entry at a position between oldest and tail. */
  at(position: number): number {
    return this.#base + (position % this.#words);
  }

  // What an entry says, by its word.

  lengthAt(at: number): number {
    return this.#S[at + LENGTH];
  }
  /** Node index, or -1 for padding. */
  sceneAt(at: number): number {
    return this.#S[at + SCENE] - 1;
  }
  slotAt(at: number): number {
    return this.#S[at + SLOT];
  }
  generationAt(at: number): number {
    return this.#S[at + GENERATION] >>> 0;
  }
  /** The OUT kind; 0 for a gap. */
  kindAt(at: number): number {
    return this.#S[at + BYTES] === 0 ? 0 : this.#S[at + HEADER_WORDS] & 0xff;
  }
  /** Kind and body, in place. */
  bytesAt(at: number): Uint8Array {
    const start = (at + HEADER_WORDS) * 4;
    return this.#segment.u8.subarray(start, start + this.#S[at + BYTES]);
  }

  /** @returns what is wrong with positions or entries */
  check(): string[] {
    const { tail, oldest } = this;
    const words = this.#words;
    if (!(oldest <= tail && tail <= oldest + words && tail % ALIGN_WORDS === 0 && oldest % ALIGN_WORDS === 0)) {
      return [`output ring: oldest ${oldest}, tail ${tail}, ${words} words`];
    }
    let position = oldest;
    while (position < tail) {
      const at = this.at(position);
      const length = this.lengthAt(at);
      const used = this.sceneAt(at) < 0 ? 0 : HEADER_WORDS + ((this.#S[at + BYTES] + 3) >> 2);
      if (length < ALIGN_WORDS || length % ALIGN_WORDS !== 0 || used > length || (position % words) + length > words) {
        return [`output ring: entry of ${length} words with ${used} used at position ${position}`];
      }
      position += length;
    }
    return position === tail ? [] : [`output ring: entries lead to ${position}, tail is ${tail}`];
  }
}
