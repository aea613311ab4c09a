/** What lies at a word of a state, in words that people use: `round`, `heroes[3].gold`, `the heap`. */
import type { StructLayout } from '@lich/schema';
import type { Core } from '../core.ts';

/** @param word index in the segment
 * @remarks looks at all slots of a pool: for reports, not for loops */
export function placeOf(core: Core, word: number): string {
  const { layouts, segment, pools } = core.store;
  const at = word * 4;
  const root = segment.regions.get('root')!;
  const inRoot = at - root.offset;
  if (inRoot >= 0 && inRoot < root.bytes)
    return fieldAt(layouts.root, inRoot) ?? (inRoot >= layouts.root.bytes ? 'the stamp of the root' : 'the root');
  for (const [name, pool] of pools) {
    for (let slot = 0; slot < pool.high; slot++) {
      const layout = pool.layoutAt(slot);
      const offset = at - pool.payloadWord(slot) * 4;
      if (offset < -SLOT_HEADER_BYTES || offset >= Math.max(layout.bytes, 4)) continue;
      return offset < 0 ? `${name}[${slot}], its slot` : `${name}[${slot}].${fieldAt(layout, offset) ?? '(padding)'}`;
    }
  }
  for (const region of segment.regions.values())
    if (at >= region.offset && at < region.offset + region.bytes) return `region ${region.name}`;
  return 'nowhere';
}

/** Bytes of a slot before its payload. */
const SLOT_HEADER_BYTES = 16;

function fieldAt(layout: StructLayout, offset: number): string | undefined {
  for (const field of layout.fields) {
    const end = field.offset + Math.max(field.bytes, 1);
    // Small fields share their word with neighbours: the first one that reaches into it names it.
    if (offset + 3 < field.offset || offset >= end) continue;
    if (field.kind.tag !== 'struct') return field.name;
    return `${field.name}.${fieldAt(field.kind.layout, offset - field.offset) ?? '(padding)'}`;
  }
  return undefined;
}
