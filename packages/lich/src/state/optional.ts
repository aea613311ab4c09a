/** optional(kind): a value or none. All of it is under the undo log.
 *
 *   BYTE      FIELD      MEANING
 *      0      value      as elsewhere; zero bytes when there is none
 *      flag   flag       1 = there is a value, 0 = there is none: u8 beside values of 1 and 2 bytes, else u32
 *
 * An optional number, text or ref is a cell. An optional struct or container reads as its view or undefined; the view ends
 * when undefined is assigned, and the next value has another one. */
import type { OptionalShape } from '@lich/schema';
import type { Cell } from './cell.ts';
import { type Door, FREED_STAMP, freed, type Placed } from './door.ts';
import type { ViewOwner } from './journal.ts';
import type { Arrays, Stamp, StoreContext } from './memory.ts';
import { releaserOf } from './release.ts';

/** Words that a value of this kind touches; 0 = it shares its word with others. */
function wordsOf(kind: OptionalShape): number {
  return kind.bytes < 4 ? 0 : kind.bytes >> 2;
}

function setFlag(mem: Arrays, kind: OptionalShape, byte: number): void {
  if (kind.bytes - kind.flag >= 4) mem.u32[(byte + kind.flag) / 4] = 1;
  else mem.u8[byte + kind.flag] = 1;
}

/** @param inner cell of the value; units of the optional cell are bytes */
export function optionalCell(kind: OptionalShape, inner: Cell, context: StoreContext): Cell {
  const { mem, log } = context;
  const { flag } = kind;
  const words = wordsOf(kind);
  const release = releaserOf(kind.value, context);
  const { u8, u32 } = mem;
  const inside = (byte: number) => inner.unit(Math.floor(byte / 4), byte % 4);
  return {
    step: kind.bytes,
    unit: (word, offset) => word * 4 + offset,
    read: byte => (u8[byte + flag] === 0 ? undefined : inner.read(inside(byte))),
    write(byte, value) {
      const word = Math.floor(byte / 4);
      const had = u8[byte + flag] !== 0;
      if (release !== undefined && had) {
        // What owns a block writes over it, or gives it back.
        if (value !== undefined) return inner.write(inside(byte), value);
        release(word);
      }
      if (words === 0) {
        log.log(word);
        for (let k = 0; k < kind.bytes; k++) u8[byte + k] = 0;
      } else {
        log.keep(word, words);
        for (let k = 0; k < words; k++) u32[word + k] = 0;
      }
      if (value === undefined) return;
      setFlag(mem, kind, byte);
      inner.write(inside(byte), value);
    },
  };
}

/** Holds the view of an optional struct or container, while there is one. */
export class OptionalView implements Placed, ViewOwner {
  readonly #kind: OptionalShape;
  readonly #inner: Door;
  readonly #context: StoreContext;
  readonly #homeWord: number;
  readonly #homeStamp: Stamp;
  #word: number;
  #stamp: Stamp;
  #view: object | undefined = undefined;

  constructor(kind: OptionalShape, inner: Door, context: StoreContext, word: number, stamp: Stamp) {
    this.#kind = kind;
    this.#inner = inner;
    this.#context = context;
    this.#word = this.#homeWord = word;
    this.#stamp = this.#homeStamp = stamp;
  }

  get value(): object | undefined {
    const word = this.#word || freed();
    if (this.#context.mem.u32[word + this.#kind.flag / 4] === 0) return undefined;
    return (this.#view ??= this.#inner.make(word, this.#stamp));
  }

  /** The value was checked. */
  assign(value: unknown): void {
    const word = this.#word || freed();
    const { mem, log, journal } = this.#context;
    const flag = word + this.#kind.flag / 4;
    this.#context.touch(this.#stamp);
    if (value === undefined) {
      if (mem.u32[flag] === 0) return;
      const view = this.#view;
      if (view !== undefined) {
        this.#view = undefined;
        this.#inner.free(view);
        // Before the words change: undone with the entry that comes next.
        journal.add(this, 0, view, (this.#context.position() + 2) | 0);
      }
      releaserOf(this.#kind.value, this.#context)?.(word);
      const words = this.#kind.bytes >> 2;
      log.keep(word, words);
      for (let k = 0; k < words; k++) mem.u32[word + k] = 0;
      return;
    }
    if (mem.u32[flag] !== 0) {
      this.#inner.assign(this.value!, value);
      return;
    }
    this.#inner.prepare(word);
    log.write(flag, 1);
    journal.add(this, 0, undefined, this.#context.position());
    this.#inner.fill(this.value!, value);
  }

  /** @internal */
  undoAdd(): void {
    const view = this.#view;
    if (view === undefined) return;
    this.#view = undefined;
    this.#inner.free(view);
  }

  /** @internal */
  undoRemove(_slot: number, view: object): void {
    this.#view = view;
    this.#inner.revive(view);
  }

  /** @internal */
  get $word(): number {
    return this.#word;
  }

  /** @internal */
  $free(): void {
    this.#word = 0;
    this.#stamp = FREED_STAMP;
    if (this.#view !== undefined) this.#inner.free(this.#view);
  }

  /** @internal */
  $revive(): void {
    this.#word = this.#homeWord;
    this.#stamp = this.#homeStamp;
    if (this.#view !== undefined) this.#inner.revive(this.#view);
  }
}
