/** What the numbers of waiting own messages mean. A message is stored under a number that the state has given once to its
 * name and fields, not under its place in the protocol: code that lists its messages in another order, or has more or
 * fewer of them, finds its own again, and never takes one for another.
 *
 *   $own  link of a block in the heap; 0 = none yet
 *   block [count u32][0][hash u32 lo, hi] × count        number n is the n-th one; 64-bit hash of name and fields
 *
 * Entries are added when a life begins, and never removed. */
import { catalogOfStruct, hashOf, type MessageSpec, structsIn } from '@lich/schema';
import type { Store } from '../state/index.ts';
import { RUNTIME_NUMBERS } from './runtime-timers.ts';

const HEADER = 2;

export class OwnTable {
  readonly #store: Store<unknown>;
  /** Of `$own`. */
  readonly #word: number;
  readonly #own: readonly (HashWords & { readonly message: MessageSpec; readonly former: readonly HashWords[] })[];
  /** By message id. */
  readonly #numbers: number[] = [];
  /** By number. */
  readonly #messages: (MessageSpec | undefined)[] = [];

  constructor(store: Store<unknown>, word: number, messages: readonly MessageSpec[]) {
    this.#store = store;
    this.#word = word;
    this.#own = messages
      .filter(message => message.role === 'own')
      .map(message => ({ message, ...wordsOf(ownHash(message)), former: formerHashes(message).map(wordsOf) }));
  }

  /** Find the messages of this code in the table, and add those that are missing. In a transaction, once in a life. */
  bind(): void {
    const { segment, heap, log } = this.#store;
    const I = segment.i32;
    let link = I[this.#word];
    let count = link === 0 ? 0 : I[heap.base + link];
    const at = (number: number): number => heap.base + link + HEADER + number * 2;
    const find = (lo: number, hi: number): number => {
      for (let number = 0; number < count; number++)
        if (I[at(number)] === lo && I[at(number) + 1] === hi) return number;
      return -1;
    };
    for (const { message, former } of this.#own) {
      for (const { lo, hi } of former) {
        const number = find(lo, hi);
        if (number >= 0) this.#messages[number] = message;
      }
    }
    for (const { message, lo, hi } of this.#own) {
      let number = find(lo, hi);
      if (number < 0) {
        number = count++;
        if (number >= RUNTIME_NUMBERS)
          throw new RangeError(`this state has known ${number} own messages: there are no more numbers`);
        const words = HEADER + count * 2;
        const moved = link === 0 ? heap.alloc(words) : heap.realloc(link, words, words - 2);
        if (moved !== link) log.write(this.#word, moved);
        if (link === 0) log.write(heap.base + moved + 1, 0);
        link = moved;
        log.write(at(number), lo);
        log.write(at(number) + 1, hi);
        log.write(heap.base + link, count);
      }
      this.#numbers[message.id] = number;
      this.#messages[number] = message;
    }
  }

  numberOf(id: number): number {
    return this.#numbers[id]!;
  }

  /** @returns undefined for one that this code does not have, or has with other fields */
  messageOf(number: number): MessageSpec | undefined {
    return this.#messages[number];
  }
}

interface HashWords {
  readonly lo: number;
  readonly hi: number;
}

function wordsOf(hash: string): HashWords {
  const value = BigInt(`0x${hash}`);
  return { lo: Number(value & 0xffff_ffffn) | 0, hi: Number(value >> 32n) | 0 };
}

/** Of a message's name and fields, 16 hex digits. */
export function ownHash({ name, layout }: MessageSpec, called = name): string {
  const structs = [...structsIn([layout]).values()].map(catalogOfStruct);
  const fields = { ...catalogOfStruct(layout), name: called };
  return hashOf({ name: called, fields, structs, whole: layout.whole }, ['was', 'id', 'chart']);
}

/** Of what the message was called before, with the same fields. */
export function formerHashes(message: MessageSpec): string[] {
  return message.was.map(name => ownHash(message, name));
}
