/** A message of one version, as another version has it. A field that the other one has too, or had under a former name, is
 * taken over; one that is new there has its initial value, or zero; one that is gone is left out. What changed its kind is
 * refused by name: nothing is ever read as something else. */
import { type AnyKind, describeKind, type MessageLayout, type StructLayout, zeroOf } from '@lich/schema';

type Value = Readonly<Record<string, unknown>>;
type Field = StructLayout['fields'][number];

/** @returns why what was written as `from` cannot be read as `to`: a sentence with the field; undefined when it can */
export function problemOf(from: MessageLayout, to: MessageLayout): string | undefined {
  if (from.whole === undefined && to.whole === undefined) return structProblem(from, to, '');
  const [a, b] = [from.whole, to.whole];
  if (a?.form !== b?.form) return `it is ${formOf(from)} there and ${formOf(to)} here`;
  const fits = b!.most === 0 || (a!.most !== 0 && a!.most <= b!.most);
  return fits ? undefined : `it is bytes(${a!.most || ''}) there and bytes(${b!.most}) here`;
}

function formOf({ whole }: MessageLayout): string {
  return whole?.form ?? 'fields';
}

function structProblem(from: StructLayout, to: StructLayout, path: string): string | undefined {
  for (const field of to.fields) {
    const source = sourceOf(field, from);
    const problem = source && kindProblem(source.kind, field.kind, `${path}${field.name}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function kindProblem(from: AnyKind, to: AnyKind, path: string): string | undefined {
  if (from.tag === 'struct' && to.tag === 'struct') return structProblem(from.layout, to.layout, `${path}.`);
  if (from.tag === 'optional' && to.tag === 'optional') return kindProblem(from.value, to.value, path);
  if (from.tag === 'array' && to.tag === 'array' && from.length === to.length)
    return kindProblem(from.element, to.element, `${path}[]`);
  if (from.tag === 'oneOf' && to.tag === 'oneOf') {
    const unknown = from.names.find(name => !to.names.includes(name));
    return unknown === undefined ? undefined : `field ${path} may be '${unknown}' there, which it cannot be here`;
  }
  if (describeKind(from) === describeKind(to)) return undefined;
  return `field ${path} is ${describeKind(from)} there and ${describeKind(to)} here`;
}

/** The field of `from` that says what this one says. */
function sourceOf(field: Field, from: StructLayout): Field | undefined {
  return (
    from.fields.find(({ name }) => name === field.name) ??
    from.fields.find(({ name, was }) => field.was?.includes(name) || was?.includes(field.name))
  );
}

/** @returns what makes a value of `to` from one of `from`, both with fields, of which `problemOf` says nothing */
export function adapter(from: StructLayout, to: StructLayout): (value: Value) => Value {
  const parts = to.fields.map(field => {
    const source = sourceOf(field, from);
    if (source === undefined) return [field.name, undefined, () => zeroOf(field.kind)] as const;
    return [field.name, source.name, kindAdapter(source.kind, field.kind)] as const;
  });
  return value => {
    const made: Record<string, unknown> = {};
    for (const [name, source, make] of parts) made[name] = make(source === undefined ? undefined : value[source]);
    return made;
  };
}

function kindAdapter(from: AnyKind, to: AnyKind): (value: any) => unknown {
  if (from.tag === 'struct' && to.tag === 'struct') return adapter(from.layout, to.layout);
  if (from.tag === 'optional' && to.tag === 'optional') {
    const make = kindAdapter(from.value, to.value);
    return value => (value === undefined ? undefined : make(value));
  }
  if (from.tag === 'array' && to.tag === 'array') {
    const make = kindAdapter(from.element, to.element);
    return (values: readonly unknown[]) => values.map(make);
  }
  return value => value;
}
