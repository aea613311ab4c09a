/** What the views of all containers share. A container stands at a place in a record, or in an element of another one: its
 * home. What it holds lies right there when it has a capacity; one that grows has a link there, to its head block:
 *
 *   home       WORD  FIELD      MEANING
 *                 0  link       head block in the heap; 0 = empty, and never filled since it was made or released
 *
 *   head       WORD  FIELD      MEANING
 *                 0  stamp      lo, hi: when the container, or anything in it, changed last
 *                 2  …          the container's own; directories of chunks (chunks.ts) are among it
 *
 * No view keeps a word of the heap for longer than a call: a rollback may put other words there. Views of elements do,
 * because an element that is there has not moved.
 *
 * Stamps: a change of a container with a capacity is one of its record. A growing container has a stamp of its own besides:
 * views of its elements have the container for their stamp (see `Stamp`), which stamps its head block, then what it is
 * part of. */
import { decode } from './decode.ts';
import { FREED_STAMP, freed, type Placed } from './door.ts';
import { decodeOptions, type ElementSpec, ElementViews } from './elements.ts';
import type { ViewOwner } from './journal.ts';
import type { Part, Stamp } from './memory.ts';
import { asValue } from './plain.ts';
import { STAMP_HI, STAMP_LO } from './words.ts';

export abstract class ContainerView implements Placed, ViewOwner, Part {
  readonly #spec: ElementSpec;
  readonly #homeWord: number;
  readonly #homeStamp: Stamp;
  readonly #views: ElementViews | undefined;
  #word: number;
  #stamp: Stamp;

  constructor(spec: ElementSpec, word: number, stamp: Stamp) {
    this.#spec = spec;
    this.#word = this.#homeWord = word;
    this.#stamp = this.#homeStamp = stamp;
    this.#views = spec.door === undefined ? undefined : new ElementViews(spec.door);
    asValue(this);
  }

  /** Plain values. */
  toArray(): any[] {
    const { context, kind } = this.#spec;
    return decode(context.mem, kind, this.home(), 0, decodeOptions(context)) as any[];
  }

  /** Word of the home. @throws StateError `STATE_FREED` */
  protected home(): number {
    return this.#word || freed();
  }

  /** Views of the elements that are structs or containers; undefined when they are cells. */
  protected views(): ElementViews | undefined {
    return this.#views;
  }

  /** The view of the element at a slot, and the word where it begins. */
  protected viewAt(slot: number, word: number): object {
    return this.#views!.at(slot, word, this.#spec.growing ? this : this.#stamp);
  }

  /** What users see of an element's view: of an optional one its value, or undefined. */
  protected shown(view: object): any {
    return this.#spec.door!.shown === undefined ? view : this.#spec.door!.shown(view);
  }

  /** Counts rollbacks: what a walk knows of the heap's words holds until the next one. */
  protected get $undone(): number {
    return this.#spec.context.journal.undone;
  }

  /** The element at a slot is gone: free its view, if it has one. Before the slot's words change. */
  protected gone(slot: number): void {
    const { context } = this.#spec;
    // Undone with the next entry of the log: the one before may be older than the transaction.
    this.#views?.removed(this, slot, context.journal, (context.position() + 2) | 0);
  }

  /** There is a new element at a slot: a rollback frees its view. */
  protected come(slot: number): void {
    const { context } = this.#spec;
    this.#views?.added(this, slot, context.journal, context.position());
  }

  /** All elements are gone. */
  protected allGone(): void {
    const { context } = this.#spec;
    this.#views?.allRemoved(this, context.journal, (context.position() + 2) | 0);
  }

  /** Word of the head block, 0 when there is none. Growing containers only. */
  protected head(): number {
    const { heap, mem } = this.#spec.context;
    const link = mem.u32[this.home()];
    return link === 0 ? 0 : heap.base + link;
  }

  /** Word of the head block, made now if there is none: zero bytes.
   * @param words of the whole block
   * @throws StateError `STATE_HEAP_FULL` */
  protected openHead(words: number): number {
    const { context } = this.#spec;
    const { heap, mem, log } = context;
    const home = this.home();
    const link = mem.u32[home];
    if (link !== 0) return heap.base + link;
    context.touch(this.#stamp);
    const made = heap.alloc(words);
    const head = heap.base + made;
    log.keep(head, words);
    for (let k = 0; k < words; k++) mem.i32[head + k] = 0;
    log.write(home, made);
    return head;
  }

  /** @internal Note that this container changes. */
  $touch(): void {
    const { context, growing } = this.#spec;
    if (growing && this.#word !== 0) {
      const { heap, mem, log } = context;
      const I = mem.i32;
      const link = I[this.#word];
      if (link !== 0) {
        const head = heap.base + link;
        // Stamped in this line, what it is part of is stamped too.
        if (I[head] === I[STAMP_LO]) return;
        context.touch(this.#stamp);
        log.write(head, I[STAMP_LO]);
        log.write(head + 1, I[STAMP_HI]);
        return;
      }
    }
    context.touch(this.#stamp);
  }

  /** @internal Where it stands, 0 once freed. */
  get $word(): number {
    return this.#word;
  }

  /** For classes that keep a copy of the word of the home. */
  protected moved(_word: number): void {}

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
    this.moved(0);
    this.#views?.free();
  }

  /** @internal */
  $revive(): void {
    this.#word = this.#homeWord;
    this.#stamp = this.#homeStamp;
    this.moved(this.#homeWord);
    this.#views?.revive();
  }
}
