/** Rendezvous hashing (Thaler and Ravishankar, 1998): which of several nodes a key belongs to. Each node draws a number for
 * the key, the highest has it. So when a node comes it takes from each other one its share, and when it goes its keys are
 * spread over the others; no other key moves. The same in every process and version: what is stored by key stays there. */

/** What a message may be addressed by. A whole number and the bigint of its value are one key; a text is another. */
export type Key = number | bigint | string;

/** Spreads each bit over all 32 (the finalizer of MurmurHash3). */
function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}

function hashOfText(text: string, seed: number): number {
  let h = seed;
  for (let k = 0; k < text.length; k++) h = Math.imul(h ^ text.charCodeAt(k), 0x0100_0193);
  return mix(h ^ text.length);
}

/** What a node draws with. @param name `bank-3` */
export function seedOf(name: string): number {
  return hashOfText(name, 0x811c_9dc5 | 0);
}

/** @returns 32 bits of a key @throws TypeError for what is none */
export function hashOfKey(key: Key): number {
  if (typeof key === 'number' && Number.isSafeInteger(key)) return mix(key ^ mix(Math.floor(key / 2 ** 32) + 1));
  if (typeof key === 'string') return hashOfText(key, 0x9e37_79b9 | 0);
  if (typeof key === 'bigint') {
    const value = Number(key);
    return Number.isSafeInteger(value) ? hashOfKey(value) : hashOfText(String(key), 0x85eb_ca77 | 0);
  }
  throw new TypeError(`a key is a whole number up to 2^53, a bigint or a text, not ${String(key)}`);
}

/** @param hash of the key @param seeds of the nodes, in the order of their names; at least one
 * @returns which of them has it. O(nodes), 3 ns each. */
export function rendezvous(hash: number, seeds: readonly number[]): number {
  let best = 0;
  let most = -1;
  for (let k = 0; k < seeds.length; k++) {
    const drawn = mix(Math.imul(hash ^ seeds[k]!, 0x9e37_79b1) + seeds[k]!) >>> 0;
    // Of equal numbers the first one counts.
    if (drawn > most) {
      most = drawn;
      best = k;
    }
  }
  return best;
}
