/** Optional values as memory: decode, check. The bytes are drawn in optional.ts. */
import type { OptionalShape } from '@lich/schema';
import type { CheckContext } from './check.ts';
import type { Decode, DecodeOptions } from './decode.ts';
import type { Arrays } from './memory.ts';

export function decodeOptional(
  mem: Arrays,
  kind: OptionalShape,
  word: number,
  offset: number,
  options: DecodeOptions,
  decode: Decode,
): unknown {
  return mem.u8[word * 4 + offset + kind.flag] === 0 ? undefined : decode(mem, kind.value, word, offset, options);
}

export function checkOptional(
  context: CheckContext,
  kind: OptionalShape,
  word: number,
  offset: number,
  where: string,
): void {
  const { mem, out } = context;
  const byte = word * 4 + offset;
  const wide = kind.bytes - kind.flag >= 4;
  const flag = wide ? mem.u32[(byte + kind.flag) / 4] : mem.u8[byte + kind.flag];
  if (flag > 1) return void out.push({ where, what: `its flag is ${flag}` });
  if (flag === 1) context.value(context, kind.value, word, offset, where);
  const from = flag === 1 ? kind.flag + (wide ? 4 : 1) : 0;
  for (let k = from; k < kind.bytes; k++) {
    if (mem.u8[byte + k] !== 0) {
      out.push({ where, what: `byte ${k} of ${flag === 0 ? 'no value' : 'an optional value'} is ${mem.u8[byte + k]}` });
      return;
    }
  }
}
