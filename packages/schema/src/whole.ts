/** Messages that are one value of any length instead of fields: `command(bytes())`, `command(msgpack<Order>())`. */
import { isKind, type AnyKind, type KindBase } from './kind.ts';
import type { StructLayout } from './layout.ts';

// Carries a type only; no object has it.
declare const VALUE: unique symbol;

/** What `msgpack<T>()` gives. */
export interface MsgpackPayload<T> {
  readonly payload: 'msgpack';
  readonly [VALUE]: T;
}

/** A whole message as msgpack: any plain data (numbers, texts, bigints, bytes, dates, arrays, objects), of any length. For
 * what services say to each other, where its form changes often or is not known; a struct is several times faster, and is
 * checked. `T` is what the sender says it is: nothing looks at it at run time. */
export function msgpack<T>(): MsgpackPayload<T> {
  return MSGPACK as MsgpackPayload<T>;
}

const MSGPACK: unknown = Object.freeze({ payload: 'msgpack' });

/** What a whole message may be instead of its fields. */
export type WholeKind = KindBase<any, any, boolean, 'bytes'> | MsgpackPayload<any>;

/** How a message that is one value lies in its record: [bytes u32][the bytes]. */
export interface WholePayload {
  readonly form: 'bytes' | 'msgpack';
  /** Most bytes; 0 = as many as a lane takes. */
  readonly most: number;
}

/** Where the fields of a message lie. */
export interface MessageLayout extends StructLayout {
  /** Set where the message is one value: then there are no fields. */
  readonly whole?: WholePayload;
}

/** @returns undefined for fields */
export function wholeOf(fields: object): WholePayload | undefined {
  if ((fields as { payload?: unknown }).payload === 'msgpack') return MSGPACK_PAYLOAD;
  if (!isKind(fields)) return undefined;
  const kind = fields as unknown as AnyKind;
  return kind.tag === 'bytes' ? Object.freeze({ form: 'bytes', most: kind.length }) : undefined;
}

const MSGPACK_PAYLOAD: WholePayload = Object.freeze({ form: 'msgpack', most: 0 });

/** The layout of a message that is one value. */
export function wholeLayout(name: string, whole: WholePayload): MessageLayout {
  return Object.freeze({ name, bytes: 0, align: 4, fields: Object.freeze([]), whole });
}
