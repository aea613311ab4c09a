/** True when two types are the same, `any` and readonly included. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** For intersections of mapped types, which `Equal` tells from their flat form. */
export type Flat<T> = { [K in keyof T]: T[K] };

/** Does not compile unless the type argument is true: `expectType<Equal<A, B>>()`. */
export function expectType<T extends true>(): T | undefined {
  return undefined;
}
