/** How plain values of one kind become those of another. */
import { type AnyKind, check, describeKind, innerKinds, type LayoutNames, zeroOf } from '@lich/schema';

/** A value that the new kind does not hold, or a kind that nothing leads to. */
export class Unfit extends Error {}

/** A plain value of the old kind as one of the new. @throws Unfit */
export type Change = (value: unknown) => unknown;

/** Do two kinds have the same bytes with the same meaning? */
export function sameKind(a: AnyKind, b: AnyKind, names: LayoutNames): boolean {
  if (a === b) return true;
  if (a.tag !== b.tag || a.bytes !== b.bytes) return false;
  switch (a.tag) {
    case 'oneOf':
    case 'machine':
      return (
        a.names.every((name, k) => (b as typeof a).names[k] === name) && a.names.length <= (b as typeof a).names.length
      );
    case 'ref':
      return a.pool === names.pool((b as typeof a).pool);
    case 'struct': {
      const [x, y] = [a.layout, (b as typeof a).layout];
      return (
        x.fields.length === y.fields.length &&
        y.fields.every((field, k) => {
          const old = x.fields[k]!;
          return (
            names.field(x, y, field) === old.name &&
            old.offset === field.offset &&
            sameKind(old.kind, field.kind, names)
          );
        })
      );
    }
    default: {
      const [x, y] = [innerKinds(a), innerKinds(b)];
      const sized = a as { length?: number; capacity?: number };
      const other = b as { length?: number; capacity?: number };
      return (
        sized.length === other.length &&
        sized.capacity === other.capacity &&
        x.length === y.length &&
        x.every((kind, k) => sameKind(kind, y[k]!, names))
      );
    }
  }
}

/** How plain values of one kind become those of another; undefined when nothing leads there. */
export function changeOf(from: AnyKind, to: AnyKind, names: LayoutNames): Change | undefined {
  if (to.tag === 'optional') {
    const inner = changeOf(from.tag === 'optional' ? from.value : from, to.value, names);
    return inner && (value => (value === undefined ? undefined : inner(value)));
  }
  if (from.tag === 'optional') {
    const inner = changeOf(from.value, to, names);
    return (
      inner &&
      (value => {
        if (value === undefined) throw new Unfit(`there is none, ${describeKind(to)} has no place for that`);
        return inner(value);
      })
    );
  }
  if ('min' in from && 'min' in to) {
    const big = to.tag === 'u64' || to.tag === 'i64';
    return value => {
      if (big && typeof value === 'number' && !Number.isInteger(value)) throw new Unfit(`${value} is not whole`);
      const next = big ? BigInt(value as number) : Number(value);
      if (!big && to.tag === 'f32' && 'whole' in from && from.whole && Math.fround(next as number) !== next)
        throw new Unfit(`${String(value)} cannot be told from its neighbours as f32`);
      return fitting(to, next);
    };
  }
  if (from.tag === 'bool' && 'min' in to)
    return value => fitting(to, 'whole' in to ? Number(value) : BigInt(value === true ? 1 : 0));
  if (to.tag === 'bool' && 'min' in from)
    return value => {
      if (Number(value) !== 0 && Number(value) !== 1) throw new Unfit(`${String(value)} is neither 0 nor 1`);
      return Number(value) === 1;
    };
  switch (from.tag) {
    case 'bool':
      return to.tag === 'bool' ? value => value : undefined;
    case 'machine':
      return to.tag === 'machine' ? value => fitting(to, value) : undefined;
    case 'oneOf':
    case 'text':
      return to.tag === 'oneOf' || to.tag === 'text' ? value => fitting(to, value) : undefined;
    case 'bytes':
      return to.tag === 'bytes' ? value => fitting(to, value) : undefined;
    case 'ref':
      return to.tag === 'ref' && from.pool === names.pool(to.pool) ? value => value : undefined;
    case 'struct': {
      if (to.tag !== 'struct') return undefined;
      const parts: { name: string; old: string; change: Change }[] = [];
      for (const field of to.layout.fields) {
        const old = from.layout.fields.find(each => each.name === names.field(from.layout, to.layout, field));
        if (old === undefined) continue;
        const change = changeOf(old.kind, field.kind, names);
        if (change === undefined) return undefined;
        parts.push({ name: field.name, old: old.name, change });
      }
      return value => {
        const out: Record<string, unknown> = {};
        for (const { name, old, change } of parts)
          out[name] = inPart(name, () => change((value as Record<string, unknown>)[old]));
        return out;
      };
    }
    case 'map':
    case 'sorted': {
      if (to.tag !== 'map' && to.tag !== 'sorted') return undefined;
      const key = changeOf(from.key, to.key, names);
      const inner = changeOf(from.value, to.value, names);
      if (key === undefined || inner === undefined) return undefined;
      return value =>
        held(
          to,
          (value as [unknown, unknown][]).map(([k, v]) => [key(k), inPart(`[${String(k)}]`, () => inner(v))]),
        );
    }
    case 'bits':
      return to.tag === 'bits' ? value => fitting(to, value) : undefined;
    default: {
      const [element, next] = [elementOf(from), elementOf(to)];
      if (element === undefined || next === undefined) return undefined;
      const inner = changeOf(element, next, names);
      if (inner === undefined) return undefined;
      return value => {
        let all = (value as unknown[]).map((each, k) => inPart(`[${k}]`, () => inner(each)));
        if (to.tag === 'set') all = [...new Set(all)];
        if (to.tag === 'array') while (all.length > to.length && isZero(next, all.at(-1))) all.pop();
        return held(to, all);
      };
    }
  }
}

function elementOf(kind: AnyKind): AnyKind | undefined {
  return 'element' in kind ? kind.element : kind.tag === 'set' ? kind.key : undefined;
}

function isZero(kind: AnyKind, value: unknown): boolean {
  return JSON.stringify(value) === JSON.stringify(kind.initial ?? zeroOf(kind));
}

function held(kind: AnyKind, all: unknown[]): unknown[] {
  const most = kind.tag === 'array' ? kind.length : 'capacity' in kind && kind.capacity > 0 ? kind.capacity : Infinity;
  if (all.length > most) throw new Unfit(`${all.length} elements, ${describeKind(kind)} holds ${most}`);
  return all;
}

function fitting(kind: AnyKind, value: unknown): unknown {
  const reason = check(kind, value);
  if (reason !== undefined) throw new Unfit(reason);
  return value;
}

function inPart<T>(part: string, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw namePart(part, error);
  }
}

/** Name the part in which a value did not fit. */
export function namePart(part: string, error: unknown): unknown {
  return error instanceof Unfit ? new Unfit(`${part}: ${error.message}`) : error;
}
