/** Records as plain objects, straight from memory. */
import { type DecodeOptions, decodeStruct } from './decode.ts';
import { type RecordKinds, variantAt } from './families.ts';
import type { Arrays } from './memory.ts';

/** A record as a plain object; of a family, with the name of its class in `variant`. @param word of its payload */
export function decodeRecord(
  pool: RecordKinds,
  mem: Arrays,
  word: number,
  options: DecodeOptions,
): Record<string, unknown> {
  if (pool.variants === undefined) return decodeStruct(mem, pool.layout, word, options);
  const variant = pool.variants[variantAt(pool, mem, word)];
  if (variant === undefined) return decodeStruct(mem, pool.layout, word, options);
  return { variant: variant.name, ...decodeStruct(mem, variant.layout, word, options) };
}
