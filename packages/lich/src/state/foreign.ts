/** Foreign: malloc, free and realloc over a segment's heap, for code that Lich does not know: C compiled to WASM, a C
 * library on the mapping, anything that keeps plain memory and addresses. An address is a byte offset from the start of
 * the segment, 8-byte aligned, 0 = none: the same in each life, whatever the process maps the segment at.
 *
 *   owner     WORD   FIELD      MEANING                                  (a foreign block; heap word 6 leads to the first)
 *                0   next       link of the next owner, 0 = none
 *                1   first      link of its first block
 *                2   root       address that the code finds its data by, its own choice; 0 = none
 *                3   base       bytes of the segment before the heap, as its addresses take it
 *                4   statics    address of the static data of its WASM module; 0 = none
 *                5   stack      address of the stack of its WASM module; 0 = none
 *                6   nameBytes
 *                7   name       UTF-8
 *
 *   block     WORD   FIELD      MEANING                                  (a foreign block)
 *                0   next       link of the next block of this owner
 *                1   previous   0 = the first
 *                2   owner      link of the owner
 *                3   bytes      asked for
 *                4   data       what an address leads to
 *
 * Invariant: each foreign block is an owner on the list of owners, or on the list of one owner.
 *
 * What is atomic: malloc, free and realloc themselves, always. What foreign code stores is not logged by itself: it is
 * atomic inside `guard`, which logs the ranges that it may store to before it runs. A block that was taken in this
 * transaction needs no guard: it was logged whole. */
import { StateError, type Violation } from './errors.ts';
import { FIRST, FOREIGN, OWNERS, SIZE, tagOf } from './heap.ts';
import type { HeapPlace } from './heap-check.ts';
import type { Arrays } from './memory.ts';
import type { Store } from './store.ts';

const NEXT_OWNER = 0;
const FIRST_BLOCK = 1;
const ROOT = 2;
const BASE = 3;
const STATICS = 4;
const STACK = 5;
const NAME_BYTES = 6;
const NAME = 7;

const NEXT = 0;
const PREVIOUS = 1;
const OWNER = 2;
const BYTES = 3;
const DATA = 4;

/** A part of the segment that foreign code may store to. */
export interface ForeignRange {
  readonly address: number;
  readonly bytes: number;
}

/** Memory of one piece of foreign code, in the owner's process. All but reading needs a transaction. */
export interface Foreign {
  readonly name: string;
  /** Where the code finds its data again: an address, or any 32-bit number. Logged. */
  root: number;
  /** Blocks in use, and the bytes that were asked for. O(blocks). */
  readonly size: { readonly blocks: number; readonly bytes: number };
  /** Room for `bytes` bytes; what is in it is left from before. The whole of it is logged, so that it can be filled in
   * this transaction without a guard.
   * @returns its address, a multiple of 8; never 0
   * @throws StateError `STATE_HEAP_FULL` */
  malloc(bytes: number): number;
  /** The same, filled with zeros. */
  calloc(count: number, bytes: number): number;
  /** @param address of a block of this owner; 0 does nothing
   * @throws StateError `STATE_DOUBLE_FREE`, `STATE_CORRUPT`; `STATE_FOREIGN` for a block of another owner */
  free(address: number): void;
  /** Larger or smaller, with what it held; 0 takes a new one, as in C.
   * @returns its address from now on */
  realloc(address: number, bytes: number): number;
  /** Bytes that were asked for. */
  bytesOf(address: number): number;
  /** Run `fn`, which may store into these ranges without logging: a rollback, or a kill at any instruction, undoes all of
   * it. A throw inside undoes what it stored, and goes on to the caller.
   * @param ranges or 'all': each block of this owner, without its stack
   * @remarks Costs a copy of the ranges into the undo log, at the start */
  guard<T>(ranges: readonly ForeignRange[] | 'all', fn: () => T): T;
  /** Its blocks. O(blocks). */
  blocks(): Iterable<ForeignRange>;
  /** Give everything back, the name too. */
  release(): void;
}

/** The memory of the foreign code of this name, made when there is none.
 * @param name 1..64 bytes of UTF-8
 * @throws StateError `STATE_LAYOUT` when the heap was moved since: the addresses in its memory lead elsewhere;
 * `STATE_NO_TRANSACTION` when it has to be made outside a transaction */
export function foreign(store: Store, name: string): Foreign {
  return foreignMemory(store, name);
}

/** @internal */
export function foreignMemory(store: Store, name: string): ForeignMemory {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length < 1 || bytes.length > 64) throw new TypeError(`a name of 1 to 64 bytes is wanted, not \`${name}\``);
  const { heap, segment, log } = store;
  const place = { word: heap.base, words: heap.words };
  for (const owner of foreignOwners(segment, place)) {
    if (owner.name !== name) continue;
    if (segment.u32[heap.base + owner.link + BASE] !== heap.base * 4) {
      throw new StateError(
        'STATE_LAYOUT',
        `the memory of \`${name}\` was written with its heap at byte ${segment.u32[heap.base + owner.link + BASE]}, which is at byte ${heap.base * 4} now: its addresses lead elsewhere`,
      );
    }
    return new ForeignMemory(store, name, owner.link);
  }
  const words = NAME + Math.ceil(bytes.length / 4);
  const link = heap.alloc(words, true);
  const at = heap.base + link;
  log.keep(at, words);
  for (let k = 0; k < words; k++) segment.u32[at + k] = 0;
  segment.u32[at + NEXT_OWNER] = segment.u32[heap.base + OWNERS];
  segment.u32[at + BASE] = heap.base * 4;
  segment.u32[at + NAME_BYTES] = bytes.length;
  segment.u8.set(bytes, (at + NAME) * 4);
  log.write(heap.base + OWNERS, link);
  return new ForeignMemory(store, name, link);
}

/** @internal */
export class ForeignMemory implements Foreign {
  readonly name: string;
  readonly store: Store;
  readonly #link: number;
  readonly #at: number;

  constructor(store: Store, name: string, link: number) {
    this.store = store;
    this.name = name;
    this.#link = link;
    this.#at = store.heap.base + link;
  }

  get root(): number {
    return this.#field(ROOT);
  }

  set root(address: number) {
    this.#set(ROOT, address);
  }

  /** Of its WASM module. */
  get statics(): number {
    return this.#field(STATICS);
  }

  set statics(address: number) {
    this.#set(STATICS, address);
  }

  get stack(): number {
    return this.#field(STACK);
  }

  set stack(address: number) {
    this.#set(STACK, address);
  }

  get size(): { blocks: number; bytes: number } {
    let blocks = 0;
    let sum = 0;
    for (const { bytes } of this.blocks()) {
      blocks++;
      sum += bytes;
    }
    return { blocks, bytes: sum };
  }

  malloc(bytes: number): number {
    this.#mustLive();
    const { heap, log, segment } = this.store;
    const link = heap.alloc(DATA + wordsOf(bytes), true);
    const at = heap.base + link;
    const words = heap.wordsOf(link);
    log.keep(at, words);
    this.#chain(link);
    segment.u32[at + BYTES] = bytes;
    return (at + DATA) * 4;
  }

  calloc(count: number, bytes: number): number {
    const address = this.malloc(count * bytes);
    const { u32 } = this.store.segment;
    const at = address / 4;
    for (let k = wordsOf(count * bytes) - 1; k >= 0; k--) u32[at + k] = 0;
    return address;
  }

  free(address: number): void {
    if (address >>> 0 === 0) return;
    const link = this.#linkOf(address);
    this.#unchain(link);
    this.store.heap.free(link);
  }

  realloc(address: number, bytes: number): number {
    if (address >>> 0 === 0) return this.malloc(bytes);
    const { heap, log, segment } = this.store;
    const link = this.#linkOf(address);
    const had = heap.wordsOf(link);
    // In place it keeps its neighbours on the list; moved, they are told.
    const moved = heap.realloc(link, DATA + wordsOf(bytes), had);
    const at = heap.base + moved;
    const has = heap.wordsOf(moved);
    if (moved !== link) {
      const { u32 } = segment;
      const [next, previous] = [u32[at + NEXT], u32[at + PREVIOUS]];
      if (next !== 0) log.write(heap.base + next + PREVIOUS, moved);
      log.write(previous === 0 ? this.#at + FIRST_BLOCK : heap.base + previous + NEXT, moved);
      log.keep(at, has);
    } else if (has > had) log.keep(at + had, has - had);
    log.write(at + BYTES, bytes);
    return (at + DATA) * 4;
  }

  bytesOf(address: number): number {
    return this.store.segment.u32[this.store.heap.base + this.#linkOf(address) + BYTES];
  }

  guard<T>(ranges: readonly ForeignRange[] | 'all', fn: () => T): T {
    const { log } = this.store;
    const here = log.savepoint();
    for (const { address, bytes } of ranges === 'all' ? this.blocks() : ranges) {
      if (ranges === 'all' && address === this.stack) continue;
      this.#mustOwn(address, bytes);
      const word = address >>> 2;
      log.keep(word, ((address + bytes + 3) >>> 2) - word);
    }
    try {
      return fn();
    } catch (error) {
      log.rollbackTo(here);
      throw error;
    }
  }

  *blocks(): Generator<ForeignRange, undefined> {
    const { heap, segment } = this.store;
    for (let link = this.#field(FIRST_BLOCK); link !== 0; link = segment.u32[heap.base + link + NEXT]) {
      const at = heap.base + link;
      yield { address: (at + DATA) * 4, bytes: segment.u32[at + BYTES] };
    }
    return undefined;
  }

  release(): void {
    const { heap, log, segment } = this.store;
    this.#mustLive();
    for (let link = this.#field(FIRST_BLOCK); link !== 0; ) {
      const next = segment.u32[heap.base + link + NEXT];
      heap.free(link);
      link = next;
    }
    let at = heap.base + OWNERS;
    while (segment.u32[at] !== this.#link) at = heap.base + segment.u32[at] + NEXT_OWNER;
    log.write(at, this.#field(NEXT_OWNER));
    heap.free(this.#link);
  }

  #field(field: number): number {
    this.#mustLive();
    return this.store.segment.u32[this.#at + field];
  }

  #set(field: number, value: number): void {
    this.#mustLive();
    this.store.log.write(this.#at + field, value);
  }

  /** Its owner block may be gone: released, or made in a transaction that was rolled back. */
  #mustLive(): void {
    const { heap, segment } = this.store;
    for (let link = segment.u32[heap.base + OWNERS]; link !== 0; link = segment.u32[heap.base + link + NEXT_OWNER])
      if (link === this.#link) return;
    throw new StateError('STATE_FREED', `the memory of \`${this.name}\` was released, or its transaction rolled back`);
  }

  /** First on the list. The block's words are logged. */
  #chain(link: number): void {
    const { heap, log, segment } = this.store;
    const { u32 } = segment;
    const at = heap.base + link;
    const next = u32[this.#at + FIRST_BLOCK];
    u32[at + NEXT] = next;
    u32[at + PREVIOUS] = 0;
    u32[at + OWNER] = this.#link;
    if (next !== 0) log.write(heap.base + next + PREVIOUS, link);
    log.write(this.#at + FIRST_BLOCK, link);
  }

  #unchain(link: number): void {
    const { heap, log, segment } = this.store;
    const at = heap.base + link;
    const next = segment.u32[at + NEXT];
    const previous = segment.u32[at + PREVIOUS];
    if (next !== 0) log.write(heap.base + next + PREVIOUS, previous);
    log.write(previous === 0 ? this.#at + FIRST_BLOCK : heap.base + previous + NEXT, next);
  }

  /** @throws what `heap.wordsOf` throws, and STATE_FOREIGN */
  #linkOf(address: number): number {
    const { heap, segment } = this.store;
    // A number from WASM is signed above 2 GiB.
    const link = (address >>> 0) / 4 - DATA - heap.base;
    heap.wordsOf(link);
    const owner = segment.u32[heap.base + link + OWNER];
    if (owner !== this.#link || !heap.isForeign(link)) {
      throw new StateError('STATE_FOREIGN', `address ${address >>> 0} is no block of \`${this.name}\``);
    }
    return link;
  }

  #mustOwn(address: number, bytes: number): void {
    for (const block of this.blocks()) {
      if (address >= block.address && address + bytes <= block.address + block.bytes && bytes >= 0) return;
    }
    throw new StateError('STATE_FOREIGN', `bytes ${address}..${address + bytes} lie in no block of \`${this.name}\``);
  }
}

/** Foreign code with memory in this heap: also for readers and tools. O(owners). */
export function* foreignOwners(
  mem: Arrays,
  { word: base, words }: HeapPlace,
): Generator<{ link: number; name: string }, undefined> {
  if (words === 0) return undefined;
  const seen = new Set<number>();
  for (let link = mem.u32[base + OWNERS]; link !== 0 && !seen.has(link); link = mem.u32[base + link + NEXT_OWNER]) {
    if (link < FIRST || link + NAME > words) return undefined;
    seen.add(link);
    yield { link, name: nameAt(mem, base + link) };
  }
  return undefined;
}

function nameAt(mem: Arrays, at: number): string {
  const bytes = Math.min(mem.u32[at + NAME_BYTES], 64);
  return new TextDecoder().decode(mem.u8.slice((at + NAME) * 4, (at + NAME) * 4 + bytes));
}

/** Memory of foreign code, as the leak audit reports it. */
export interface ForeignUse {
  readonly name: string;
  readonly blocks: number;
  /** Asked for. */
  readonly bytes: number;
}

/** What foreign code has, by name. O(its blocks).
 * @param need called before words of the heap are read: for a copy that brings them */
export function foreignUses(
  mem: Arrays,
  { word: base, words }: HeapPlace,
  need = (_word: number, _count: number) => {},
): ForeignUse[] {
  const uses: ForeignUse[] = [];
  if (words === 0) return uses;
  need(base, OWNERS + 1);
  const seen = new Set<number>();
  const isNew = (link: number) =>
    link >= FIRST && link + NAME <= words && !seen.has(link) && seen.add(link) !== undefined;
  for (let owner = mem.u32[base + OWNERS]; isNew(owner); owner = mem.u32[base + owner + NEXT_OWNER]) {
    need(base + owner, Math.min(NAME + 16, words - owner));
    let blocks = 0;
    let bytes = 0;
    for (let link = mem.u32[base + owner + FIRST_BLOCK]; isNew(link); link = mem.u32[base + link + NEXT]) {
      need(base + link, DATA);
      blocks++;
      bytes += mem.u32[base + link + BYTES];
    }
    uses.push({ name: nameAt(mem, base + owner), blocks, bytes });
  }
  return uses;
}

/** Who owns the foreign blocks; what nobody owns is a violation.
 * @param links of all foreign blocks */
export function checkForeign(
  mem: Arrays,
  place: HeapPlace,
  links: ReadonlySet<number>,
  out: Violation[],
): ForeignUse[] {
  const { word: base } = place;
  const lost = new Set(links);
  const uses: ForeignUse[] = [];
  for (let owner = mem.u32[base + OWNERS]; owner !== 0; owner = mem.u32[base + owner + NEXT_OWNER]) {
    if (!lost.delete(owner)) {
      out.push({ where: 'heap', what: `the list of foreign owners leads to link ${owner}, which is no block of it` });
      break;
    }
    const name = nameAt(mem, base + owner);
    const bad = (what: string) => void out.push({ where: `foreign \`${name}\``, what });
    let blocks = 0;
    let bytes = 0;
    let previous = 0;
    for (let link = mem.u32[base + owner + FIRST_BLOCK]; link !== 0; link = mem.u32[base + link + NEXT]) {
      if (!lost.delete(link)) {
        bad(`its list leads to link ${link}, which is no block of it`);
        break;
      }
      const at = base + link;
      if (mem.u32[at + OWNER] !== owner) bad(`the block at link ${link} names owner ${mem.u32[at + OWNER]}`);
      if (mem.u32[at + PREVIOUS] !== previous) bad(`the block at link ${link} has ${mem.u32[at + PREVIOUS]} before it`);
      previous = link;
      blocks++;
      bytes += mem.u32[at + BYTES];
      if (DATA + wordsOf(mem.u32[at + BYTES]) > (mem.i32[at - 1] & SIZE) - 2)
        bad(`the block at link ${link} is too small`);
    }
    uses.push({ name, blocks, bytes });
  }
  for (const link of lost) {
    if (mem.i32[base + link - 2] === tagOf(FOREIGN, link - 2))
      out.push({ where: 'heap', what: `the foreign block at link ${link} has no owner` });
  }
  return uses;
}

function wordsOf(bytes: number): number {
  return Math.ceil(bytes / 4);
}
