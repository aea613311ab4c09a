/** Words of a segment that one process at a time writes, and who may be killed between any two stores. */

/** All that a process killed within `work` may leave, one page for each of its stores. */
export function killedAtEachStore(S: Int32Array, work: (S: Int32Array) => void): Int32Array[] {
  const left = [S.slice()];
  const copy = S.slice();
  work(
    new Proxy(copy, {
      get: (target, key) => Reflect.get(target, key) as unknown,
      set(target, key, value) {
        Reflect.set(target, key, value);
        left.push(copy.slice());
        return true;
      },
    }),
  );
  return left;
}
