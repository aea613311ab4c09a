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
  readonly #own: readonly { readonly message: MessageSpec; readonly lo: number; readonly hi: number }[];
  /** By message id. */
  readonly #numbers: number[] = [];
  /** By number. */
  readonly #messages: (MessageSpec | undefined)[] = [];

  constructor(store: Store<unknown>, word: number, messages: readonly MessageSpec[]) {
    this.#store = store;
    this.#word = word;
    this.#own = messages
      .filter(message => message.role === 'own')
      .map(message => {
        const { name, layout } = message;
        const structs = [...structsIn([layout]).values()].map(catalogOfStruct);
        const hash = BigInt(`0x${hashOf({ name, fields: catalogOfStruct(layout), structs }, ['was', 'id', 'chart'])}`);
        return { message, lo: Number(hash & 0xffff_ffffn) | 0, hi: Number(hash >> 32n) | 0 };
      });
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
