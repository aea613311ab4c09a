/** Paths into a state, as `lich inspect` takes them: `round`, `players`, `players[3].bag[7].count`,
 * `players[name="Bo"].pos`, `players[hp<10]`, `counts["a"]`. */
import type { AnyKind, StateLayout } from '@lich/schema';
import type { RecordEntry, Snapshot } from '../state/index.ts';
import { UsageError } from './usage.ts';

type Comparison = '=' | '!=' | '<' | '>' | '<=' | '>=';

export type Step =
  | { readonly type: 'name'; readonly name: string }
  /** Slot, index or key. */
  | { readonly type: 'at'; readonly key: string | number }
  | { readonly type: 'where'; readonly field: string; readonly op: Comparison; readonly value: string | number };

const NAME = /^\.?([$\p{ID_Start}_][$\p{ID_Continue}]*)/u;
const AT = /^\[\s*("(?:\\.|[^"\\])*"|'[^']*'|-?[\w.+]+)\s*\]/u;
const WHERE =
  /^\[\s*([$\p{ID_Start}_][$\p{ID_Continue}.]*)\s*(!=|<=|>=|=|<|>)\s*("(?:\\.|[^"\\])*"|'[^']*'|[^\]"']+?)\s*\]/u;

/** @throws UsageError that shows where it stops to be one */
export function parsePath(path: string): Step[] {
  const steps: Step[] = [];
  if (path === '') throw new UsageError('an empty path: want e.g. players[3].bag');
  for (let rest = path; rest !== ''; ) {
    const name = steps.length === 0 && rest.startsWith('.') ? null : NAME.exec(rest);
    const found = name ?? WHERE.exec(rest) ?? AT.exec(rest);
    if (found === null || (steps.length === 0 && found !== name)) {
      throw new UsageError(`path ${path}: cannot read ${rest}; want e.g. players[3].bag, players[name="Bo"]`);
    }
    if (found === name) steps.push({ type: 'name', name: found[1]! });
    else if (found.length === 4) {
      steps.push({ type: 'where', field: found[1]!, op: found[2] as Comparison, value: literal(found[3]!) });
    } else steps.push({ type: 'at', key: literal(found[1]!) });
    rest = rest.slice(found[0].length);
  }
  return steps;
}

function literal(text: string): string | number {
  if (text.startsWith('"')) return JSON.parse(text) as string;
  if (text.startsWith("'")) return text.slice(1, -1);
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** What a path leads to. */
export interface Found {
  /** `players[3].bag` */
  readonly where: string;
  readonly kind: AnyKind;
  readonly value: unknown;
  /** Of a record as a whole. */
  readonly entry?: RecordEntry;
}

/** A whole record stands for itself. */
export const RECORD = { tag: 'record' } as unknown as AnyKind;

/** All that a path leads to: several things where it asks a question of a pool or an array.
 * @param limit stop after so many; `more` then counts what else there is
 * @throws UsageError for a name that does not exist */
export function follow(
  layouts: StateLayout,
  s: Snapshot,
  steps: readonly Step[],
  limit: number,
): { found: Found[]; more: number } {
  const found: Found[] = [];
  let more = 0;
  const add = (one: Found) => void (found.length < limit ? found.push(one) : more++);
  const [first, second, ...rest] = steps as [Step & { name: string }, Step?, ...Step[]];
  const pool = layouts.pools.find(one => one.name === first.name);
  if (pool === undefined) {
    const field = layouts.root.fields.find(one => one.name === first.name);
    const value = s.root();
    if (field === undefined || !(first.name in value)) throw noSuch(layouts, first.name);
    into({ where: first.name, kind: field.kind, value: value[first.name] }, steps.slice(1), add);
    return { found, more };
  }
  const record = (entry: RecordEntry, then: readonly Step[]) => {
    const whole: Found = { where: `${pool.name}[${entry.slot}]`, kind: RECORD, value: entry.value, entry };
    into({ ...whole, kind: then.length === 0 ? RECORD : structOf(layouts, pool.name, entry) }, then, add);
  };
  if (second === undefined || second.type === 'where') {
    s.scan(pool.name, entry => {
      if (second === undefined || matches(entry.value, second)) record(entry, rest);
    });
  } else if (second.type === 'at' && typeof second.key === 'number') {
    const entry = s.entry(pool.name, second.key);
    if (entry !== undefined) record(entry, rest);
  } else throw new UsageError(`${pool.name} is a pool: want ${pool.name}[slot] or ${pool.name}[field=value]`);
  return { found, more };
}

/** The layout of a record: of its class, where the pool holds a family. */
export function layoutOfEntry(layouts: StateLayout, pool: string, entry: RecordEntry): StateLayout['root'] {
  const { layout, variants } = layouts.pools.find(one => one.name === pool)!;
  return variants?.find(one => one.name === entry.value['variant'])?.layout ?? layout;
}

function structOf(layouts: StateLayout, pool: string, entry: RecordEntry): AnyKind {
  const layout = layoutOfEntry(layouts, pool, entry);
  return { tag: 'struct', layout } as unknown as AnyKind;
}

function noSuch(layouts: StateLayout, name: string): UsageError {
  const names = [...layouts.pools.map(pool => pool.name), ...layouts.root.fields.map(field => field.name)];
  return new UsageError(`there is no ${name}; there are ${names.filter(one => !one.startsWith('$')).join(', ')}`);
}

/** Go on from a value. What is not there leads to nothing; what cannot be there is an error. */
function into(at: Found, steps: readonly Step[], add: (found: Found) => void): void {
  const [step, ...rest] = steps;
  const kind = at.kind.tag === 'optional' ? at.kind.value : at.kind;
  if (step === undefined) return add(at);
  if (at.value === undefined) return;
  const go = (where: string, of: AnyKind, value: unknown) =>
    into({ where: `${at.where}${where}`, kind: of, value }, rest, add);
  const value = at.value as Record<string, unknown>;
  const items = at.value as unknown[];
  switch (kind.tag) {
    case 'struct': {
      const name = step.type === 'name' ? step.name : step.type === 'at' ? String(step.key) : undefined;
      const field = kind.layout.fields.find(one => one.name === name);
      if (field === undefined) {
        const names = kind.layout.fields.filter(one => !one.hidden).map(one => one.name);
        throw new UsageError(`${at.where} has no ${name ?? 'such part'}; it has ${names.join(', ')}`);
      }
      if (field.name in value) go(`.${field.name}`, field.kind, value[field.name]);
      return;
    }
    case 'array':
    case 'vector':
    case 'list':
    case 'queue':
      if (step.type === 'where') {
        items.forEach((item, k) => {
          if (matches(item as Record<string, unknown>, step)) go(`[${k}]`, kind.element, item);
        });
        return;
      }
      if (step.type === 'at' && typeof step.key === 'number') {
        if (step.key in items) go(`[${step.key}]`, kind.element, items[step.key]);
        return;
      }
      break;
    case 'map':
    case 'sorted':
      for (const [key, item] of items as [unknown, unknown][]) {
        const hit = step.type === 'where' ? matches(item as Record<string, unknown>, step) : sameKey(key, step);
        if (hit) go(`[${typeof key === 'string' ? JSON.stringify(key) : keyText(key)}]`, kind.value, item);
      }
      return;
    default:
  }
  throw new UsageError(`${at.where} is ${String(kind)}: ${'key' in step ? `[${step.key}]` : 'that'} leads nowhere`);
}

function keyText(key: unknown): string {
  return typeof key === 'object' ? JSON.stringify(key) : String(key);
}

function sameKey(key: unknown, step: Step): boolean {
  const wanted = step.type === 'name' ? step.name : step.type === 'at' ? step.key : undefined;
  if (typeof key === 'object' && key !== null) return (key as { slot?: number }).slot === wanted;
  return String(key) === String(wanted);
}

function matches(value: Record<string, unknown>, { field, op, value: wanted }: Step & { type: 'where' }): boolean {
  let at: unknown = value;
  for (const name of field.split('.')) at = (at as Record<string, unknown> | undefined)?.[name];
  if (typeof at === 'object' && at !== null && 'slot' in at) at = at.slot;
  if (typeof at === 'boolean' || (typeof at === 'string' && typeof wanted === 'number')) at = String(at);
  if (typeof at === 'bigint') at = Number(at);
  const to = typeof at === 'string' ? String(wanted) : wanted;
  const a = at as number;
  const b = to as number;
  switch (op) {
    case '=':
      return a === b;
    case '!=':
      return a !== b;
    case '<':
      return a < b;
    case '>':
      return a > b;
    case '<=':
      return a <= b;
    case '>=':
      return a >= b;
  }
}
