import { parseArgs } from 'node:util';
import { describe, describeKind, layoutHash, type StructLayout } from '@lich/schema';
import { type Snapshot, surveyOf, type Survey } from '../state/index.ts';
import { printMachines } from './machines.ts';
import { follow, type Found, layoutOfEntry, parsePath, RECORD } from './path.ts';
import { openSource, type Source } from './source.ts';
import { columns, count, cut, number, print, size, table, time } from './text.ts';
import { UsageError } from './usage.ts';
import { type IsLive, jsonable, show } from './value.ts';

const LIMIT = 20;
/** Of the column of kinds, beside values. */
const KIND_WIDTH = 28;

/** `lich inspect`: what a state holds, without its code: of a running node, of what a killed one left, of a dump.
 * @returns 1 when the path leads to nothing */
export function inspect(args: readonly string[]): number {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      json: { type: 'boolean', default: false },
      sizes: { type: 'boolean', default: false },
      machine: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      limit: { type: 'string' },
    },
  });
  const [name, path] = positionals;
  if (name === undefined || positionals.length > 2) {
    throw new UsageError('want a node or a dump, and perhaps a path: lich inspect arena-1 players[3].bag');
  }
  const limit = values.limit === undefined ? LIMIT : Number(values.limit);
  if (!Number.isInteger(limit) || limit < 1)
    throw new UsageError(`--limit takes a whole number from 1, not ${values.limit}`);
  const source = openSource(name, values.dir, values.all);
  try {
    if (values.machine) return printMachines(source, values.json);
    if (path !== undefined) return printPath(source, path, limit, values.json);
    if (values.json) print(JSON.stringify(describeAsJson(source), undefined, 2));
    else if (values.sizes) printSizes(source);
    else printOverview(source, values.all);
    return 0;
  } finally {
    source.close();
  }
}

function liveIn(s: Snapshot): IsLive {
  return (pool, slot, generation) => s.entry(pool, slot)?.generation === generation;
}

function headLines(source: Source, survey: Survey): string[] {
  const { segment, dump, pid } = source;
  const state = dump
    ? `dump of ${dump.node}, taken ${time(dump.takenMs)}`
    : pid
      ? `runs, process ${pid}`
      : 'does not run';
  return [
    `${source.name}: ${state}`,
    `life ${segment.epoch}, commit ${number(dump?.commitNo ?? survey.commitNo)}; made ${time(segment.createdMs)}; layout ${layoutOf(source)}`,
    `${size(source.usedBytes)} in use of ${size(segment.sizeBytes)}`,
  ];
}

/** Of the catalog that is in force. */
function layoutOf({ reader }: Source): string {
  return layoutHash(reader.layouts);
}

function printOverview(source: Source, all: boolean): void {
  const survey = surveyOf(source.segment);
  const { layouts } = source.reader;
  for (const line of headLines(source, survey)) print(line);
  const visible = (name: string) => all || !name.startsWith('$');
  const root = source.reader.snapshot(s => {
    const isLive = liveIn(s);
    const values = s.root();
    const rows = layouts.root.fields
      .filter(field => visible(field.name) && field.name in values)
      .map(field => [field.name, describeKind(field.kind), show(field.kind, values[field.name], isLive)]);
    return rows;
  });
  if (root.length > 0) {
    print('\nroot');
    for (const line of table(root)) print(cut(line, columns()));
  }
  layouts.pools.forEach((pool, k) => {
    if (!visible(pool.name)) return;
    const { live: records, high, capacity, recordBytes, usedBytes } = survey.pools[k]!;
    print(
      `\n${pool.name}: ${pool.variants ? `pool of ${pool.variants.map(one => one.name).join(', ')}` : `pool of ${pool.layout.name}`}`,
    );
    print(
      `  ${number(records)} live${capacity === 0 ? ' (it grows)' : ` of ${number(capacity)}`}, ${count(high, 'slot')} used, ${recordBytes} bytes a record, ${size(usedBytes)}`,
    );
    const layoutsOf: readonly { readonly name: string; readonly layout: StructLayout }[] =
      pool.variants ?? [pool.layout].map(layout => ({ name: layout.name, layout }));
    for (const { name, layout } of layoutsOf) {
      if (pool.variants) print(`  ${name}`);
      const rows = layout.fields
        .filter(field => visible(field.name))
        .map(field => [field.name, describeKind(field.kind)]);
      for (const line of table(rows, [], pool.variants ? '      ' : '    ')) print(cut(line, columns()));
    }
  });
  const { heap } = survey;
  print('');
  const rest = [['undo log', size(survey.logBytes), '']];
  if (heap)
    rest.unshift([
      'heap',
      size(heap.usedBytes),
      `${size(heap.freeBytes)} free between, ${size(heap.neverBytes)} never used`,
    ]);
  for (const { name, blocks, bytes } of heap?.foreign ?? [])
    rest.push([`in the heap: ${name}`, size(bytes), `foreign code, ${count(blocks, 'block')}`]);
  for (const line of table(rest, [1], '')) print(line);
}

function printSizes(source: Source): void {
  const survey = surveyOf(source.segment);
  for (const line of headLines(source, survey)) print(line);
  print('');
  const rows: string[][] = [['', 'RECORDS', 'SLOT', 'IN USE', 'AT MOST']];
  for (const pool of survey.pools) {
    rows.push([
      pool.name,
      number(pool.live),
      `${pool.slotBytes} B`,
      size(pool.usedBytes),
      pool.capacity === 0 ? 'heap' : size(pool.maxBytes),
    ]);
  }
  rows.push(['root', '', '', size(survey.rootBytes), size(survey.rootBytes)]);
  const { heap } = survey;
  if (heap) rows.push(['heap', '', '', size(heap.usedBytes), size(heap.usedBytes + heap.freeBytes + heap.neverBytes)]);
  rows.push(['undo log', '', '', size(survey.logBytes), size(survey.logBytes)]);
  for (const line of table(rows, [1, 2, 3, 4])) print(line);
  print('\n  REGION, OFFSET, BYTES');
  const regions = [...source.segment.regions.values()].map(({ name, offset, bytes }) => [
    name,
    number(offset),
    number(bytes),
  ]);
  for (const line of table(regions, [1, 2])) print(line);
}

function describeAsJson(source: Source): unknown {
  const survey = surveyOf(source.segment);
  const { segment, dump, pid } = source;
  return {
    name: source.name,
    from: dump ? 'dump' : pid ? 'live' : 'dead',
    ...(pid !== undefined && { pid }),
    ...(dump && { takenMs: dump.takenMs, packing: dump.packing, pages: dump.pages, storedBytes: dump.storedBytes }),
    layout: layoutOf(source),
    epoch: segment.epoch,
    createdMs: segment.createdMs,
    sizeBytes: segment.sizeBytes,
    usedBytes: source.usedBytes,
    survey: { ...survey, commitNo: dump?.commitNo ?? survey.commitNo },
    regions: [...segment.regions.values()],
    root: jsonable(source.reader.snapshot(s => s.root())),
    catalog: describe(source.reader.layouts),
  };
}

/** @returns 1 when there is nothing */
function printPath(source: Source, path: string, limit: number, json: boolean): number {
  const steps = parsePath(path);
  const { layouts } = source.reader;
  const { lines, plain } = source.reader.snapshot(s => {
    const { found, more } = follow(layouts, s, steps, limit);
    const isLive = liveIn(s);
    const text = found.flatMap((one, k) => linesOf(source, one, found.length > 1, isLive, k));
    if (more > 0) text.push(`… ${number(more)} more; --limit ${Math.min(found.length + more, 1_000_000)} shows them`);
    const values = found.map(one => ({
      path: one.where,
      ...(one.entry && { generation: one.entry.generation, stamp: one.entry.stamp }),
      value: jsonable(one.value),
    }));
    return { lines: text, plain: { found: values, more } };
  });
  if (json) print(JSON.stringify(plain, undefined, 2));
  else if (lines.length === 0) process.stderr.write(`${path} leads to nothing\n`);
  else for (const line of lines) print(cut(line, columns()));
  return plain.found.length === 0 ? 1 : 0;
}

function linesOf(source: Source, one: Found, many: boolean, isLive: IsLive, index: number): string[] {
  if (one.kind !== RECORD) {
    const kind = one.kind.tag === 'optional' ? one.kind.value : one.kind;
    if (many || one.value === undefined) return [`${one.where}  ${show(one.kind, one.value, isLive)}`];
    switch (kind.tag) {
      case 'struct': {
        const values = one.value as Record<string, unknown>;
        return [`${one.where}: ${kind.layout.name}`, ...fieldLines(kind.layout, values, isLive)];
      }
      case 'map':
      case 'sorted': {
        const entries = one.value as [unknown, unknown][];
        const rows = entries.map(([key, item]) => [show(kind.key, key, isLive), show(kind.value, item, isLive)]);
        return [`${one.where}: ${describeKind(kind)}, ${count(entries.length, 'entry', 'entries')}`, ...table(rows)];
      }
      case 'array':
      case 'vector':
      case 'list':
      case 'queue': {
        const items = one.value as unknown[];
        const rows = items.map((item, k) => [String(k), show(kind.element, item, isLive)]);
        return [`${one.where}: ${describeKind(kind)}, ${count(items.length, 'element')}`, ...table(rows, [0])];
      }
      default:
        return [`${one.where}  ${show(kind, one.value, isLive)}`];
    }
  }
  const entry = one.entry!;
  const pool = one.where.slice(0, one.where.indexOf('['));
  const layout = layoutOfEntry(source.reader.layouts, pool, entry);
  const head = `${one.where}: ${layout.name}, generation ${entry.generation}, stamp ${number(entry.stamp)}`;
  return [...(index > 0 ? [''] : []), head, ...fieldLines(layout, entry.value, isLive)];
}

function fieldLines(layout: StructLayout, values: Record<string, unknown>, isLive: IsLive): string[] {
  const fields = layout.fields.filter(field => field.name in values);
  return table(
    fields.map(field => [
      field.name,
      cut(describeKind(field.kind), KIND_WIDTH),
      show(field.kind, values[field.name], isLive),
    ]),
  );
}
