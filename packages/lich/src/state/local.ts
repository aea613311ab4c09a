/** Data of this process about a record: what cannot live in a segment (a path finder, a socket, a cache). Made at first
 * use in each life; dropped when the record is destroyed, also where that is rolled back, and when the transaction in which
 * it was made is rolled back, because it may have been made from values that never were. */
import { recordRefOf } from '@lich/schema';
import { OWNER } from './ref-words.ts';
import { freed } from './door.ts';
import type { StoreContext } from './memory.ts';
import { OPEN } from './undo-log.ts';
import { COMMIT_NO } from './words.ts';

/** Made by `local()`: data of this process for records of one class. */
export interface Local<T extends object, L> {
  /** The data of a record, made now if there is none. @throws StateError `STATE_FREED` */
  (record: T): L;
  /** The data of a record, if it was made. */
  peek(record: T): L | undefined;
  /** Forget it: the next use makes it again. */
  drop(record: T): void;
}

/** @param make called once per record and life; it may read the record. What it returns is not under the log.
 * @example const steering = local(Player, p => new Steering(p.x, p.y)); … steering(p).turn() */
export function local<T extends object, L>(struct: abstract new () => T, make: (record: T) => L): Local<T, L> {
  const data = new WeakMap<T, L>();
  /** By store: what was made in its open transaction. */
  const fresh = new WeakMap<StoreContext, { records: T[]; commitNo: number }>();
  const freshOf = (context: StoreContext) => {
    let found = fresh.get(context);
    if (found === undefined) {
      const mine = { records: [] as T[], commitNo: -1 };
      fresh.set(context, (found = mine));
      context.onRollback(() => {
        for (const record of mine.records) data.delete(record);
        mine.records = [];
      });
      context.onDestroy(record => void data.delete(record as T));
    }
    return found;
  };
  const of = (record: T): L => {
    const found = data.get(record);
    if (found !== undefined || data.has(record)) return found as L;
    if (!(record instanceof struct)) throw new TypeError(`local(${struct.name}) takes a ${struct.name}`);
    const context = (record as { [OWNER]?: StoreContext })[OWNER];
    if (context === undefined) throw new TypeError(`local(${struct.name}) takes a record of a pool, not a part of one`);
    if (recordRefOf(record) === undefined) freed();
    const made = make(record);
    data.set(record, made);
    const mine = freshOf(context);
    if (context.log.state() === OPEN) {
      const commitNo = context.mem.f64[COMMIT_NO >> 1]!;
      if (mine.commitNo !== commitNo) {
        mine.commitNo = commitNo;
        mine.records = [];
      }
      mine.records.push(record);
    }
    return made;
  };
  return Object.assign(of, { peek: (record: T) => data.get(record), drop: (record: T) => void data.delete(record) });
}
