import { parseArgs } from 'node:util';
import { type AnyKind, CodedError, diff as diffLayouts, type StateLayout, type StructLayout } from '@lich/schema';
import type { RecordEntry, Snapshot } from '../state/index.ts';
import { layoutOfEntry } from './path.ts';
import { openSource, type Source } from './source.ts';
import { columns, count, cut, number, print } from './text.ts';
import { UsageError } from './usage.ts';
import { jsonable, show } from './value.ts';

const LIMIT = 20;
/** Fields of one record that are listed. */
const FIELDS_MAX = 12;

/** A part of a value that differs. */
interface Change {
  readonly path: string;
  readonly kind: AnyKind;
  readonly a: unknown;
  readonly b: unknown;
}

interface RecordDiff {
  readonly where: string;
  readonly type: 'added' | 'removed' | 'changed';
  readonly changes: readonly Change[];
  /** Changed fields beyond those listed. */
  readonly more: number;
  readonly name: string;
}

interface PoolDiff {
  readonly name: string;
  added: number;
  removed: number;
  changed: number;
  same: number;
  readonly records: RecordDiff[];
}

interface Result {
  readonly layout: string[];
  readonly root: Change[];
  readonly pools: PoolDiff[];
}

/** `lich diff`: two states, each as of one commit of its own.
 * @returns 0 when they are the same, 1 when they differ, 2 when one of them cannot be read */
export function diff(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, json: { type: 'boolean', default: false }, limit: { type: 'string' } },
  });
  const [first, second] = positionals;
  if (first === undefined || second === undefined || positionals.length > 2) {
    throw new UsageError('want two nodes or dumps: lich diff arena-1 before.dump');
  }
  const limit = values.limit === undefined ? LIMIT : Number(values.limit);
  if (!Number.isInteger(limit) || limit < 0) throw new UsageError(`--limit takes a whole number, not ${values.limit}`);
  try {
    const a = openSource(first, values.dir);
    const b = openSource(second, values.dir);
    const result = compare(a, b, limit);
    a.close();
    b.close();
    if (values.json) print(JSON.stringify(asJson(result), undefined, 2));
    else printResult(result);
    return isSame(result) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    process.stderr.write(`lich diff: ${error.code}: ${error.message}\n`);
    return 2;
  }
}

function isSame({ layout, root, pools }: Result): boolean {
  return layout.length + root.length === 0 && pools.every(pool => pool.added + pool.removed + pool.changed === 0);
}

/** @param limit records listed of each pool */
export function compare(a: Source, b: Source, limit: number): Result {
  const layouts = [a.reader.layouts, b.reader.layouts] as const;
  return b.reader.snapshot(sb =>
    a.reader.snapshot(sa => ({
      layout: compareLayouts(...layouts),
      root: compareRoots(layouts, sa, sb),
      pools: layouts[0].pools
        .filter(pool => !pool.hidden && layouts[1].pools.some(other => other.name === pool.name))
        .map(pool => comparePool(pool.name, layouts, sa, sb, limit)),
    })),
  );
}

const CHANGE_MARKS: Readonly<Record<string, string>> = { added: '+', removed: '-' };

function compareLayouts(a: StateLayout, b: StateLayout): string[] {
  return diffLayouts(a, b).map(({ change, sentence }) => `${CHANGE_MARKS[change] ?? '~'} ${sentence}`);
}

function compareRoots([a, b]: readonly [StateLayout, StateLayout], sa: Snapshot, sb: Snapshot): Change[] {
  const out: Change[] = [];
  structValues('', a.root, b.root, sa.root(), sb.root(), out);
  return out;
}

function comparePool(
  name: string,
  layouts: readonly [StateLayout, StateLayout],
  sa: Snapshot,
  sb: Snapshot,
  limit: number,
): PoolDiff {
  const out: PoolDiff = { name, added: 0, removed: 0, changed: 0, same: 0, records: [] };
  const note = (type: RecordDiff['type'], entry: RecordEntry, layout: StateLayout, changes: readonly Change[] = []) => {
    out[type]++;
    if (out.records.length >= limit) return;
    const listed = type === 'changed' ? changes.slice(0, FIELDS_MAX) : [];
    out.records.push({
      where: `${name}[${entry.slot}]`,
      type,
      changes: listed,
      more: type === 'changed' ? changes.length - listed.length : 0,
      name: titleOf(layoutOfEntry(layout, name, entry), entry.value),
    });
  };
  sa.scan(name, entry => {
    const other = sb.entry(name, entry.slot);
    if (other?.generation !== entry.generation) {
      note('removed', entry, layouts[0]);
      return;
    }
    const changes: Change[] = [];
    const before = layoutOfEntry(layouts[0], name, entry);
    structValues('', before, layoutOfEntry(layouts[1], name, other), entry.value, other.value, changes);
    if (changes.length === 0) out.same++;
    else note('changed', entry, layouts[0], changes);
  });
  sb.scan(name, entry => {
    if (sa.entry(name, entry.slot)?.generation !== entry.generation) note('added', entry, layouts[1]);
  });
  return out;
}

/** A text in a record says more than its slot. */
function titleOf(layout: StructLayout, value: Record<string, unknown>): string {
  const field = layout.fields.find(one => one.kind.tag === 'text' && !one.hidden);
  const text = field && value[field.name];
  return typeof text === 'string' && text !== '' ? ` ${JSON.stringify(text)}` : '';
}

function structValues(
  path: string,
  a: StructLayout,
  b: StructLayout,
  va: Record<string, unknown>,
  vb: Record<string, unknown>,
  out: Change[],
): void {
  for (const field of a.fields) {
    const other = b.fields.find(one => one.name === field.name);
    // What only one of them has is a difference of the layouts.
    if (other === undefined || !(field.name in va) || !(field.name in vb)) continue;
    const at = path === '' ? field.name : `${path}.${field.name}`;
    values(at, field.kind, other.kind, va[field.name], vb[field.name], out);
  }
}

/** Where structs, maps and arrays of both sides go on, so do we; all else is compared as a whole. */
function values(path: string, kind: AnyKind, other: AnyKind, a: unknown, b: unknown, out: Change[]): void {
  if (kind.tag === 'optional' && other.tag === 'optional') return values(path, kind.value, other.value, a, b, out);
  const both = a !== undefined && b !== undefined && kind.tag === other.tag;
  if (both && kind.tag === 'struct' && other.tag === 'struct') {
    structValues(path, kind.layout, other.layout, a as Record<string, unknown>, b as Record<string, unknown>, out);
    return;
  }
  if (both && (kind.tag === 'map' || kind.tag === 'sorted') && 'value' in other) {
    const key = (one: unknown) => (typeof one === 'object' ? JSON.stringify(one) : String(one));
    const before = new Map((a as [unknown, unknown][]).map(([k, item]) => [key(k), item]));
    const after = new Map((b as [unknown, unknown][]).map(([k, item]) => [key(k), item]));
    for (const [k, item] of before) values(`${path}[${k}]`, kind.value, other.value, item, after.get(k), out);
    for (const [k, item] of after)
      if (!before.has(k)) values(`${path}[${k}]`, kind.value, other.value, undefined, item, out);
    return;
  }
  const isRow = (of: AnyKind) => of.tag === 'array' || of.tag === 'vector' || of.tag === 'list' || of.tag === 'queue';
  if (both && isRow(kind) && isRow(other)) {
    const [x, y] = [a as unknown[], b as unknown[]];
    const [of, to] = [(kind as { element: AnyKind }).element, (other as { element: AnyKind }).element];
    if (x.length === y.length) {
      x.forEach((item, k) => values(`${path}[${k}]`, of, to, item, y[k], out));
      return;
    }
  }
  if (!equal(a, b)) out.push({ path, kind, a, b });
}

function equal(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  return JSON.stringify(jsonable(a)) === JSON.stringify(jsonable(b)) && typeof a === typeof b;
}

const MARKS = { added: '+', removed: '-', changed: '~' } as const;

export function printResult(result: Result): void {
  const width = columns();
  const isLive = () => true;
  const line = (text: string) => print(cut(text, width));
  const changeLine = ({ path, kind, a, b }: Change) => `${path}: ${show(kind, a, isLive)} -> ${show(kind, b, isLive)}`;
  if (isSame(result)) return print('the same');
  if (result.layout.length > 0) {
    print(`layout: ${count(result.layout.length, 'difference')}`);
    for (const text of result.layout) line(`  ${text}`);
  }
  if (result.root.length > 0) {
    print(`root: ${count(result.root.length, 'field')} changed`);
    for (const change of result.root) line(`  ~ ${changeLine(change)}`);
  }
  for (const pool of result.pools) {
    const { added, removed, changed, same } = pool;
    if (added + removed + changed === 0) continue;
    print(
      `${pool.name}: ${number(added)} added, ${number(removed)} removed, ${number(changed)} changed, ${number(same)} the same`,
    );
    for (const record of pool.records) {
      line(`  ${MARKS[record.type]} ${record.where}${record.name}`);
      for (const change of record.changes) line(`      ${changeLine(change)}`);
      if (record.more > 0) line(`      … ${count(record.more, 'field')} more`);
    }
    const rest = added + removed + changed - pool.records.length;
    if (rest > 0) line(`  … ${count(rest, 'record')} more; --limit says how many are listed`);
  }
}

function asJson(result: Result): unknown {
  const change = ({ path, a, b }: Change) => ({ path, a: jsonable(a), b: jsonable(b) });
  return {
    same: isSame(result),
    layout: result.layout,
    root: result.root.map(change),
    pools: result.pools.map(pool => ({
      ...pool,
      records: pool.records.map(({ where, type, changes, more }) => ({
        where,
        type,
        ...(type === 'changed' && { changes: changes.map(change), more }),
      })),
    })),
  };
}
