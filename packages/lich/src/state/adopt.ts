/** A segment that was made by other code than the one that opens it: what agrees byte by byte is let through.
 *
 *   region `catalogs`   two halves of     [bytes u32][crc u32][text …]
 *   word CATALOG        0 = the segment's own catalog is in force, as it was made; 1, 2 = that half
 *
 * Classes are found by their names, those of before (`was`) too; earlier code finds them back by what the later one wrote. Other order, other names for the same bytes, classes that
 * are new in a family, and classes that are gone from one and of which there is no record: all of this moves no byte, so the
 * new owner opens the segment as it is and writes its own catalog into the other half; storing the word makes it count. A
 * process that is killed before leaves the old one in force. Everything else is for a migration, and is refused here with
 * the segment as it was. */
import { crc32 } from 'node:zlib';
import { diff, fromDescription, layoutHash, type LayoutChange, type StateLayout } from '@lich/schema';
import { type Segment, ShmError } from '../shm/index.ts';
import { StateError } from './errors.ts';
import { seenBack } from './families.ts';
import type { StorePlan } from './plan.ts';
import { Reader } from './reader.ts';
import { catalogBytes, CATALOGS, HALF_HEADER } from './catalog-text.ts';
import { CATALOG } from './words.ts';

/** The plan to open a segment with: that of the code, with the numbers that the segment gives to classes.
 * @throws ShmError `SHM_LAYOUT` when bytes differ; StateError `STATE_CLASS_GONE` */
export function fitPlan<P extends StorePlan>(segment: Segment, plan: P): P {
  if (segment.catalog === undefined || segment.catalog.length === 0) return plan;
  const families = plan.layouts.pools.some(pool => pool.variants !== undefined);
  const untouched = segment.i32[CATALOG] === 0 && segment.layoutHash === plan.layoutHash;
  if (untouched && !families) return plan;
  const text = new TextDecoder().decode(catalogBytes(segment));
  if (text === plan.catalog) return plan;
  const said = fromDescription(JSON.parse(text));
  const known = seenBack(said, plan.layouts);
  const fitted = plan.knowing(known) as P;
  if (untouched || hashOf(said) === plan.layoutHash) return fitted;
  const changes = diff(known, fitted.layouts);
  const moved = changes.filter(change => !movesNothing(change));
  const resized = fitted.layouts.pools.find((pool, k) => {
    const before = known.pools[k]?.layout;
    return before !== undefined && (before.bytes !== pool.layout.bytes || before.align !== pool.layout.align);
  });
  if (moved.length > 0 || resized !== undefined) {
    const what = moved[0]?.sentence ?? `a slot of pool \`${resized!.name}\` has another size`;
    throw new ShmError(
      'SHM_LAYOUT',
      `${segment.path || segment.name} was made by code with another layout: ${what}${moved.length > 1 ? `, and ${moved.length - 1} more` : ''}. Bring it into the layout of this code with \`lich migrate\`, or start the old code; the file was left as it is`,
    );
  }
  for (const { pool, name } of changes.filter(isGone)) refuseGone(segment, pool!, name);
  return fitted;
}

/** Make the segment say what the plan says. By its owner, between transactions.
 * @throws as `fitPlan` */
export function adoptPlan(segment: Segment, plan: StorePlan): void {
  const region = segment.regions.get(CATALOGS);
  if (region === undefined || segment.catalog.length === 0) return;
  const active = new TextDecoder().decode(catalogBytes(segment));
  if (active === plan.catalog || hashOf(fromDescription(JSON.parse(active))) === plan.layoutHash) return;
  // Since a standby looked, the owner may have made records of a class that this code does not have.
  fitPlan(segment, plan);
  const text = new TextEncoder().encode(plan.catalog);
  const half = region.bytes / 2;
  if (text.length + HALF_HEADER > half) {
    throw new ShmError(
      'SHM_LAYOUT',
      `${segment.path || segment.name}: the catalog of this code has ${text.length} bytes, the segment has room for ${half - HALF_HEADER}: make room with \`lich migrate\``,
    );
  }
  segment.reserve(region.offset, region.bytes);
  const next = segment.i32[CATALOG] === 1 ? 2 : 1;
  const at = region.offset + (next - 1) * half;
  segment.u32[at / 4] = text.length;
  segment.u32[at / 4 + 1] = crc32(text);
  segment.u8.set(text, at + HALF_HEADER);
  Atomics.store(segment.i32, CATALOG, next);
}

function hashOf(layouts: StateLayout): bigint {
  return BigInt(`0x${layoutHash(layouts)}`);
}

function isGone(change: LayoutChange): boolean {
  return change.change === 'removed' && change.of === 'class' && change.pool !== undefined;
}

function movesNothing(change: LayoutChange): boolean {
  if (change.change === 'renamed') return change.of === 'field' || change.of === 'class';
  return isGone(change) || (change.change === 'added' && change.of === 'class');
}

function refuseGone(segment: Segment, pool: string, name: string): void {
  let records = 0;
  // As of the last commit: what is open is undone later, by who may write.
  const reader = new Reader(segment, { hidden: true });
  reader.snapshot(s => {
    records = 0;
    s.scan(pool, ({ value }) => {
      if (value['variant'] === name) records++;
    });
  });
  if (records === 0) return;
  throw new StateError(
    'STATE_CLASS_GONE',
    `pool \`${pool}\` of ${segment.path || segment.name} has ${records} record${records === 1 ? '' : 's'} of class ${name}, which this code does not have: give the class back, or the new one \`static was = '${name}'\`; the segment was left as it is`,
  );
}
