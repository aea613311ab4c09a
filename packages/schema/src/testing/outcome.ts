import { SchemaError } from '../index.ts';
import type { SchemaCode } from '../index.ts';

export type Outcome<T> =
  | { readonly value: T; readonly code: undefined }
  | { readonly value: undefined; readonly code: SchemaCode };

/** What a call gave: a value, or the code with which it refused. Any other error is a failure of the test. */
export function outcomeOf<T>(call: () => T): Outcome<T> {
  try {
    return { value: call(), code: undefined };
  } catch (error) {
    if (error instanceof SchemaError) return { value: undefined, code: error.code };
    throw error;
  }
}
