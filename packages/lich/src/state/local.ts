/** Data of this process about a record: what cannot live in a segment (a path finder, a socket, a cache). Made on first
 * use, again after a resume, dropped when the record is destroyed, and when the transaction in which it was made is
 * rolled back, because it may have been made from values that never were. */
import type { Store } from './store.ts';

/** Made by `local()`: data of this process for records of one class. */
export interface Local<T extends object, L> {
  /** The data of a record, made now if there is none. */
  (record: T): L;
  /** The data of a record, if it was made. */
  peek(record: T): L | undefined;
  /** Forget it: the next use makes it again. */
  drop(record: T): void;
}

/** @param make called once per record and life; it may read the record
 * @example const steering = local(store, Player, p => new Steering(p.x, p.y)); … steering(p).turn() */
export function local<T extends object, L>(
  store: Pick<Store, 'log' | 'onRollback'>,
  struct: abstract new () => T,
  make: (record: T) => L,
): Local<T, L> {
  const data = new WeakMap<T, L>();
  let fresh: T[] = [];
  let commitNo = -1;
  store.onRollback(() => {
    for (const record of fresh) data.delete(record);
    fresh = [];
  });
  const of = (record: T): L => {
    let found = data.get(record);
    if (found === undefined && !data.has(record)) {
      if (!(record instanceof struct)) throw new TypeError(`local(${struct.name}) takes a ${struct.name}`);
      found = make(record);
      data.set(record, found);
      if (store.log.open) {
        if (commitNo !== store.log.commitNo) {
          commitNo = store.log.commitNo;
          fresh = [];
        }
        fresh.push(record);
      }
    }
    return found as L;
  };
  return Object.assign(of, { peek: (record: T) => data.get(record), drop: (record: T) => void data.delete(record) });
}
