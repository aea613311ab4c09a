/** What becomes of the values of a field whose kind changed. */
import {
  describeKind,
  innerKinds,
  type AnyKind,
  type BigShape,
  type MachineShape,
  type NumberShape,
  type OneOfShape,
} from './kind.ts';
import type { LayoutNames } from './layout-names.ts';
import type { StructLayout } from './layout.ts';

/** - `lossless` every value has a place in the new layout
 * - `checked` each value is looked at; one that does not fit refuses the whole migration
 * - `dropped` values are left behind
 * - `refused` nothing leads there; the class needs a hook that fills the field */
export type ChangeEffect = 'lossless' | 'checked' | 'dropped' | 'refused';

/** How two kinds are related. */
export interface KindRelation {
  readonly change: 'same' | 'widened' | 'narrowed' | 'resized' | 'reordered' | 'kind';
  readonly effect: ChangeEffect;
  /** What becomes of the values, as the end of a sentence. */
  readonly why: string;
  /** False where the way back does not restore what was: rounded values, elements that were there twice, an order. */
  readonly inexact?: true;
}

const SAME: KindRelation = { change: 'same', effect: 'lossless', why: '' };
const widened = (why = 'every value fits'): KindRelation => ({ change: 'widened', effect: 'lossless', why });
const narrowed = (why: string): KindRelation => ({ change: 'narrowed', effect: 'checked', why });
const other = (effect: ChangeEffect, why: string): KindRelation => ({ change: 'kind', effect, why });
const REFUSED = other(
  'refused',
  'nothing leads from one to the other: give the class a hook, or the field another name',
);

const ORDER: readonly ChangeEffect[] = ['lossless', 'checked', 'dropped', 'refused'];
/** The worst of some effects. */
export function worstEffect(effects: Iterable<ChangeEffect>): ChangeEffect {
  let worst = 0;
  for (const effect of effects) worst = Math.max(worst, ORDER.indexOf(effect));
  return ORDER[worst]!;
}

/** Relate the kind of a field in an old layout to the one that it has in a new layout. */
export function relateKinds(from: AnyKind, to: AnyKind, names: LayoutNames): KindRelation {
  if (from.tag === 'optional' || to.tag === 'optional') return relateOptional(from, to, names);
  if (isNumber(from) && isNumber(to)) return relateNumbers(from, to);
  if (from.tag === 'bool' && to.tag === 'bool') return SAME;
  if (from.tag === 'bool' && isNumber(to)) return widened('false becomes 0 and true becomes 1');
  if (isNumber(from) && to.tag === 'bool') return narrowed('only 0 and 1 become false and true');
  if (isNamed(from) && isNamed(to)) {
    const by = relateNames(from.names, to.names);
    if (from.tag === to.tag) return by;
    return other(by.effect, by.effect === 'lossless' ? 'names are found again by what they say' : by.why);
  }
  if (isNamed(from) && to.tag === 'text') {
    const longest = Math.max(...from.names.map(name => name.length));
    return other(to.length === 0 || longest <= to.length ? 'lossless' : 'checked', 'names become texts');
  }
  if (from.tag === 'text' && isNamed(to)) return other('checked', 'texts that are none of the names do not fit');
  if (from.tag === 'ref' && to.tag === 'ref') {
    if (names.pool(to.pool) === from.pool) return SAME;
    return other('refused', `a record of \`${from.pool}\` is none of \`${to.pool}\``);
  }
  if (from.tag === 'struct' && to.tag === 'struct') return relateStructs(from.layout, to.layout, names);
  if (from.tag === to.tag && (from.tag === 'text' || from.tag === 'bytes' || from.tag === 'bits'))
    return relateLengths(from.length, (to as typeof from).length);
  if ((from.tag === 'map' || from.tag === 'sorted') && (to.tag === 'map' || to.tag === 'sorted'))
    return relateContainers(from, to, names);
  if (isSequence(from) && isSequence(to)) return relateContainers(from, to, names);
  return REFUSED;
}

function isNamed(kind: AnyKind): kind is OneOfShape | MachineShape {
  return kind.tag === 'oneOf' || kind.tag === 'machine';
}

function isNumber(kind: AnyKind): kind is NumberShape | BigShape {
  return 'min' in kind;
}

// A float of 4 bytes tells whole numbers apart up to 2^24, one of 8 bytes up to 2^53.
function relateNumbers(from: NumberShape | BigShape, to: NumberShape | BigShape): KindRelation {
  if (from.tag === to.tag) return SAME;
  const [fromWhole, toWhole] = [from, to].map(kind => !('whole' in kind) || kind.whole);
  if (!toWhole && from.tag === 'f32') return widened();
  if (!fromWhole) {
    return toWhole
      ? narrowed('only whole numbers in its range fit')
      : { ...narrowed('values are rounded to 4 bytes'), inexact: true };
  }
  const exact = toWhole ? Infinity : to.tag === 'f32' ? 2 ** 24 : 2 ** 53;
  // As bigints: the ends of 64 bits are no doubles.
  const [low, high] = [BigInt(from.min), BigInt(from.max)];
  const fits =
    (toWhole ? low >= BigInt(to.min) && high <= BigInt(to.max) : true) &&
    (exact === Infinity || (low >= -BigInt(exact) && high <= BigInt(exact)));
  if (fits) return widened();
  return narrowed(
    toWhole ? `values outside ${to.min}..${to.max} do not fit` : 'values that it cannot tell apart do not fit',
  );
}

function relateNames(from: readonly string[], to: readonly string[]): KindRelation {
  const gone = from.filter(name => !to.includes(name));
  if (gone.length > 0) return narrowed(`values ${gone.map(name => `'${name}'`).join(', ')} do not fit`);
  if (from.every((name, index) => to[index] === name)) return from.length === to.length ? SAME : widened();
  return { change: 'reordered', effect: 'lossless', why: 'names are found again by what they say' };
}

function relateLengths(from: number, to: number): KindRelation {
  if (from === to) return SAME;
  if (to === 0 || (from !== 0 && from < to)) return widened();
  return narrowed(`values longer than ${to} do not fit`);
}

function relateOptional(from: AnyKind, to: AnyKind, names: LayoutNames): KindRelation {
  const inner = relateKinds(from.tag === 'optional' ? from.value : from, to.tag === 'optional' ? to.value : to, names);
  if (from.tag === to.tag || inner.effect === 'refused') return inner;
  if (to.tag === 'optional')
    return inner.change === 'same'
      ? widened()
      : { ...inner, change: inner.change === 'narrowed' ? 'narrowed' : 'kind' };
  const why = 'records that have none do not fit';
  const inexact = inner.inexact && { inexact: true as const };
  return inner.change === 'same' || inner.change === 'narrowed'
    ? { ...narrowed([inner.why, why].filter(each => each !== '').join(', ')), ...inexact }
    : { ...other(worstEffect([inner.effect, 'checked']), why), ...inexact };
}

// Classes are compared by themselves; here it only matters whether it is the same one.
function relateStructs(from: StructLayout, to: StructLayout, names: LayoutNames): KindRelation {
  if (names.struct(to.name) === from.name) return SAME;
  const effects: ChangeEffect[] = [];
  const used = new Set<string>();
  for (const field of to.fields) {
    const old = from.fields.find(each => each.name === names.field(from, to, field));
    if (old === undefined) continue;
    used.add(old.name);
    effects.push(relateKinds(old.kind, field.kind, names).effect);
  }
  const gone = from.fields.filter(field => !used.has(field.name)).map(field => field.name);
  if (gone.length > 0) effects.push('dropped');
  return other(
    worstEffect(effects),
    gone.length > 0
      ? `${gone.join(', ')} of ${from.name} ${gone.length === 1 ? 'is' : 'are'} left behind`
      : 'fields are found by their names',
  );
}

type Container = Extract<AnyKind, { tag: 'array' | 'vector' | 'list' | 'queue' | 'set' | 'map' | 'sorted' }>;
function isSequence(kind: AnyKind): kind is Container {
  return ['array', 'vector', 'list', 'queue', 'set'].includes(kind.tag);
}

function capacityOf(kind: Container): number {
  const most = kind.tag === 'array' ? kind.length : kind.tag === 'vector' ? 0 : kind.capacity;
  return most === 0 ? Infinity : most;
}

function relateContainers(from: Container, to: Container, names: LayoutNames): KindRelation {
  const parts = innerKinds(from).map((kind, index) => relateKinds(kind, innerKinds(to)[index]!, names));
  const [held, most] = [capacityOf(from), capacityOf(to)];
  const effect = worstEffect(parts.map(part => part.effect));
  const why = parts.map(part => part.why).filter(each => each !== '');
  const asOne = from.tag === to.tag || ['array', 'vector'].every(tag => [from.tag, to.tag].includes(tag as 'array'));
  if (!asOne) {
    if (effect === 'refused') return REFUSED;
    const once = to.tag === 'set' && from.tag !== 'set' ? ['an element that is there twice is kept once'] : [];
    const checked = most < held || once.length > 0 ? ['checked' as const] : [];
    if (most < held) why.push(`more than ${most} elements do not fit`);
    const inexact = once.length > 0 || to.tag === 'sorted' || parts.some(part => part.inexact);
    return {
      ...other(worstEffect([effect, ...checked]), [...once, ...why].join(', ') || 'its elements are stored again'),
      ...(inexact && { inexact }),
    };
  }
  const same = parts.every(part => part.change === 'same');
  if (same && held === most) return from.tag === to.tag ? SAME : other('lossless', 'its elements are stored again');
  if (most < held) why.push(`more than ${most} elements do not fit`);
  if (same) {
    return {
      change: 'resized',
      effect: most < held ? 'checked' : 'lossless',
      why: why.join(', ') || 'every element fits',
    };
  }
  if (effect === 'refused') return { ...parts.find(part => part.effect === 'refused')! };
  const changes = new Set(parts.map(part => part.change).filter(change => change !== 'same'));
  const change = changes.size === 1 ? [...changes][0]! : 'kind';
  return {
    change,
    effect: worstEffect([effect, most < held ? 'checked' : 'lossless']),
    why: why.join(', ') || 'every element fits',
    ...(parts.some(part => part.inexact) && { inexact: true }),
  };
}

/** `u8 becomes u16`. */
export function showChange(from: AnyKind, to: AnyKind): string {
  return `${describeKind(from)} becomes ${describeKind(to)}`;
}
