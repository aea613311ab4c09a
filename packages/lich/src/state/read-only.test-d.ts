/** What readers may do with a state, and what does not compile. */
import {
  array,
  bits,
  f32,
  i32,
  int,
  list,
  map,
  optional,
  pool,
  queue,
  ref,
  set,
  sorted,
  type StateOf,
  state,
  struct,
  text,
} from '@lich/schema';
import { expectTypeOf } from 'vitest';
import type { ReadOnlyPool, ReadOnlyState } from './index.ts';

class Item extends struct({ n: i32, name: text() }) {
  get double(): number {
    return this.n * 2;
  }
}
class Unit extends struct({
  hp: i32,
  at: Item,
  fixed: array(f32, 3),
  row: array(Item),
  parts: list(Item),
  bag: map(int, Item),
  tree: sorted(int, Item),
  seen: set(text(8)),
  due: queue(i32),
  flags: bits(),
  maybe: optional(Item),
  mate: ref<Unit>('units'),
}) {}
const schema = state({ units: pool(Unit), round: int, index: map(int, i32) });
declare const s: ReadOnlyState<StateOf<typeof schema>>;

expectTypeOf(s.round).toEqualTypeOf<number>();
expectTypeOf(s.units).toEqualTypeOf<ReadOnlyPool<Unit>>();
expectTypeOf(s.index.get(1)).toEqualTypeOf<number | undefined>();
for (const unit of s.units) {
  expectTypeOf(unit.hp).toEqualTypeOf<number>();
  expectTypeOf(unit.at.double).toEqualTypeOf<number>();
  expectTypeOf(unit.fixed.get(0)).toEqualTypeOf<number>();
  expectTypeOf(unit.row.get(0).name).toEqualTypeOf<string>();
  expectTypeOf(unit.row.map(item => item.n)).toEqualTypeOf<number[]>();
  expectTypeOf([...unit.parts].map(item => item.n)).toEqualTypeOf<number[]>();
  expectTypeOf(unit.bag.get(1)!.name).toEqualTypeOf<string>();
  expectTypeOf(unit.tree.floor(3)![1].n).toEqualTypeOf<number>();
  expectTypeOf([...unit.tree.range({ from: 1 })][0]![0]).toEqualTypeOf<number>();
  expectTypeOf(unit.seen.has('x')).toEqualTypeOf<boolean>();
  expectTypeOf(unit.due.first).toEqualTypeOf<number | undefined>();
  expectTypeOf(unit.flags.next(0)).toEqualTypeOf<number>();
  expectTypeOf(unit.maybe?.name).toEqualTypeOf<string | undefined>();
  expectTypeOf(unit.mate?.hp).toEqualTypeOf<number | undefined>();

  // @ts-expect-error
  unit.hp = 1;
  // @ts-expect-error
  unit.at.n = 1;
  // @ts-expect-error
  unit.fixed.set(0, 1);
  // @ts-expect-error
  unit.row.push({});
  // @ts-expect-error
  unit.row.get(0).n = 1;
  // @ts-expect-error
  unit.parts.unshift({});
  // @ts-expect-error
  unit.bag.set(1, {});
  // @ts-expect-error
  unit.bag.get(1)!.n = 1;
  // @ts-expect-error
  unit.tree.delete(1);
  // @ts-expect-error
  unit.seen.add('x');
  // @ts-expect-error
  unit.due.shift();
  // @ts-expect-error
  unit.flags.flip(1);
  // @ts-expect-error
  unit.maybe = undefined;
  // @ts-expect-error
  unit.mate!.hp = 1;
}
// @ts-expect-error
s.round = 1;
// @ts-expect-error
s.units.create({});
// @ts-expect-error
s.units.destroy({ slot: 1, generation: 1 });
