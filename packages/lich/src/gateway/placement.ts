/** Where a new session goes: rendezvous hash. Each session has its own order of the scenes and takes the first, so a scene
 * that is added takes an equal share from each other one and moves nobody else. */

/** @returns the index of the name with the highest weight for this key */
export function place(key: Uint8Array, names: readonly string[]): number {
  let best = 0;
  let bestWeight = -1;
  for (let k = 0; k < names.length; k++) {
    const weight = weightOf(key, names[k]);
    if (weight > bestWeight) {
      best = k;
      bestWeight = weight;
    }
  }
  return best;
}

/** FNV-1a over name and key, then the finisher of MurmurHash3, for FNV alone mixes its high bits badly. */
function weightOf(key: Uint8Array, name: string): number {
  let hash = 0x811c9dc5;
  for (let k = 0; k < name.length; k++) hash = Math.imul(hash ^ name.charCodeAt(k), 0x01000193);
  for (let k = 0; k < key.length; k++) hash = Math.imul(hash ^ key[k], 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
