/** Parts of a record that have change stamps of their own: its growing containers, also those in structs nested in it. The
 * stamp is in the head block (container.ts), written in the line in which something in the container changes, besides the
 * record's. All else of a record shares the record's stamp. */
import { type AnyKind, isGrowing, type StructLayout } from '@lich/schema';
import type { Arrays } from './memory.ts';

/** One such part. */
export interface StampedPart {
  /** `bag`, or `home.bag` in a nested struct. */
  readonly name: string;
  /** Words from the start of the payload to its link. */
  readonly word: number;
}

const CONTAINERS: readonly AnyKind['tag'][] = ['list', 'map', 'set', 'sorted', 'queue', 'bits', 'vector'];

export function stampedParts(layout: StructLayout, word = 0, prefix = ''): StampedPart[] {
  return layout.fields.flatMap(({ name, kind, offset }): StampedPart[] => {
    const at = word + Math.floor(offset / 4);
    if (kind.tag === 'struct') return stampedParts(kind.layout, at, `${prefix}${name}.`);
    return CONTAINERS.includes(kind.tag) && isGrowing(kind) ? [{ name: `${prefix}${name}`, word: at }] : [];
  });
}

/** Names of the parts that changed at or after a stamp. One that has no block counts as changed: it is empty, and may have
 * been emptied. @param payload word of the record's payload @param heapWord of link 0 */
export function partsSince(
  parts: readonly StampedPart[],
  { u32 }: Pick<Arrays, 'u32'>,
  payload: number,
  heapWord: number,
  stamp: number,
): string[] {
  const out: string[] = [];
  for (const { name, word } of parts) {
    const link = u32[payload + word];
    const head = heapWord + link;
    if (link === 0 || u32[head + 1] * 0x1_0000_0000 + u32[head] >= stamp) out.push(name);
  }
  return out;
}
