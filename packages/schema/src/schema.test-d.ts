// What each kind reads, takes and refuses.
import * as S from './index.ts';
import type {
  Init,
  InOf,
  Mirror,
  OutOf,
  Plain,
  PlainOf,
  PoolNames,
  Ref,
  RecordOfPool,
  RootInit,
  StateOf,
} from './index.ts';
import { expectType } from './testing/types.ts';
import type { Equal, Flat } from './testing/types.ts';

class Vec extends S.struct({ x: S.f32.sync, y: S.f32 }) {
  get length() {
    return Math.hypot(this.x, this.y);
  }
}
class Item extends S.struct({ kind: S.u16, count: S.int.init(1) }) {}
class Pet extends S.struct({ owner: S.ref<Node>('nodes'), age: S.u8 }) {}
// A class may refer to itself and to classes below it: by the name of their pool.
class Node extends S.struct({
  a: S.u8,
  big: S.u64.sync,
  on: S.bool.sync.init(true),
  mode: S.oneOf('walk', 'run').init('run').sync,
  raw: S.bytes(4),
  next: S.ref<Node>('nodes').sync,
  below: S.ref<Below>('below'),
  at: Vec,
  pet: Pet,
  pets: S.list(Pet, 4),
  from: S.nested(Vec).sync.init({ x: 1 }),
  slots: S.array(S.u16, 4).sync,
  way: S.array(Vec, 4),
  log: S.list(Item, 8),
  bag: S.map(S.text(8), Item, 8),
  friends: S.list(S.ref<Node>('nodes'), 8),
  party: S.array(S.ref<Node>('nodes'), 2).sync,
  marks: S.map(S.ref<Node>('nodes'), S.u8, 8),
}) {
  get twice() {
    return this.next?.next;
  }
  count(): number {
    return this.log.length;
  }
}
class Below extends S.struct({ node: S.ref<Node>('nodes') }) {}

declare const node: Node;

// Reading.
expectType<Equal<typeof node.a, number>>();
expectType<Equal<typeof node.big, bigint>>();
expectType<Equal<typeof node.on, boolean>>();
expectType<Equal<typeof node.mode, 'walk' | 'run'>>();
expectType<Equal<typeof node.raw, Uint8Array>>();
expectType<Equal<typeof node.next, Node | undefined>>();
expectType<Equal<typeof node.twice, Node | undefined>>();
expectType<Equal<typeof node.below, Below | undefined>>();
expectType<Equal<typeof node.at, Vec>>();
expectType<Equal<typeof node.from, Vec>>();
expectType<Equal<ReturnType<typeof node.slots.get>, number>>();
expectType<Equal<ReturnType<typeof node.way.get>, Vec>>();
expectType<Equal<typeof node.pet.owner, Node | undefined>>();
expectType<Equal<typeof node.friends.first, Node | undefined>>();
expectType<Equal<ReturnType<typeof node.party.get>, Node | undefined>>();
expectType<Equal<ReturnType<typeof node.log.push>, Item>>();
expectType<Equal<ReturnType<typeof node.log.pop>, Plain<Item> | undefined>>();
expectType<Equal<ReturnType<typeof node.bag.get>, Item | undefined>>();
expectType<Equal<Parameters<typeof node.bag.set>, [key: string, value: Init<Item>]>>();
expectType<Equal<OutOf<typeof S.i64>, bigint>>();
expectType<Equal<OutOf<typeof Item>, Item>>();

// Writing.
node.next = node;
node.next = undefined;
node.at.x = 1;
node.mode = 'walk';
node.slots.set(0, 1);
node.slots.assign([1, 2]);
node.log.push({ kind: 1 }).count += 1;
node.friends.push(node);
node.bag.set('a', { kind: 1 }).count += 1;
node.marks.set(node, 1);
node.marks.set({ slot: 1, generation: 1 }, 1);
// @ts-expect-error a nested struct is written through, not assigned
node.at = node.from;
// @ts-expect-error no such name
node.mode = 'fly';
// @ts-expect-error u64 is a bigint
node.big = 1;
// @ts-expect-error a u8 is a number
node.a = 1n;
// @ts-expect-error a ref takes a record of its pool
node.next = node.at;
// @ts-expect-error an element is a number
node.slots.set(0, 'a');
// @ts-expect-error no such field
node.log.push({ kin: 1 });

// What create takes and plain gives.
const init: Init<Node> = {
  mode: 'run',
  at: { x: 1 },
  slots: [1],
  log: [{ kind: 1 }],
  bag: new Map([['a', { kind: 1 }]]),
  next: { slot: 1, generation: 1 },
  below: undefined,
};
void init;
// @ts-expect-error no such field
const wrong: Init<Node> = { moed: 'run' };
void wrong;
// @ts-expect-error methods are not data
const method: Init<Node> = { count: 1 };
void method;
expectType<
  Equal<
    Plain<Node>,
    {
      a: number;
      big: bigint;
      on: boolean;
      mode: 'walk' | 'run';
      raw: Uint8Array;
      next: Ref | undefined;
      below: Ref | undefined;
      at: { x: number; y: number };
      pet: { owner: Ref | undefined; age: number };
      pets: { owner: Ref | undefined; age: number }[];
      from: { x: number; y: number };
      slots: number[];
      way: { x: number; y: number }[];
      log: { kind: number; count: number }[];
      bag: [string, { kind: number; count: number }][];
      friends: (Ref | undefined)[];
      party: (Ref | undefined)[];
      marks: [Ref | undefined, number][];
    }
  >
>();
expectType<Equal<Init<Vec>, { readonly x?: number; readonly y?: number }>>();
expectType<Equal<InOf<typeof S.u8>, number>>();
expectType<Equal<PlainOf<typeof S.u8>, number>>();

// What a client's mirror has: sync fields, methods and getters.
declare const mirror: Mirror<Node>;
expectType<
  Equal<
    keyof typeof mirror,
    'big' | 'on' | 'mode' | 'next' | 'at' | 'from' | 'slots' | 'party' | 'twice' | 'count' | typeof S.RECORD_REF
  >
>();
expectType<Equal<typeof mirror.next, Mirror<Node> | undefined>>();
expectType<Equal<typeof mirror.party, readonly (Mirror<Node> | undefined)[]>>();
expectType<Equal<typeof mirror.slots, readonly number[]>>();
expectType<Equal<Flat<typeof mirror.at>, { readonly x: number; readonly length: number }>>();
expectType<Equal<Flat<typeof mirror.from>, { readonly x: number; readonly y: number; readonly length: number }>>();
// @ts-expect-error not sent
void mirror.a;
// @ts-expect-error a mirror only shows
mirror.big = 1n;
const made = S.mirrorOf(Node, { big: 1n });
expectType<Equal<typeof made, Mirror<Node>>>();

// States.
const State = S.state({
  nodes: S.pool(Node),
  below: S.pool(Below, { capacity: 4 }),
  round: S.int,
  at: Vec,
  best: S.ref<Node>('nodes'),
});
declare const state: StateOf<typeof State>;
state.round = 1;
state.best = node;
state.at.x = 1;
expectType<Equal<PoolNames<typeof State>, 'nodes' | 'below'>>();
expectType<Equal<RecordOfPool<typeof State, 'below'>, Below>>();
expectType<Equal<keyof RootInit<typeof State>, 'round' | 'at' | 'best'>>();
// @ts-expect-error written through, not assigned
state.at = node.at;

// Declaring.
S.i32.init(1).sync.init(2);
// @ts-expect-error a number starts as a number
S.i32.init('x');
// @ts-expect-error not one of the names
S.oneOf('a', 'b').init('c');
// @ts-expect-error a ref starts empty
S.ref('p').init(undefined);
// @ts-expect-error lists are not sent
void S.list(S.u8, 2).sync;
// @ts-expect-error what grows is not sent
void S.text().sync;
// @ts-expect-error what grows starts empty
S.text().init('a');
// @ts-expect-error a map takes a key and a value
S.map(S.int);
// @ts-expect-error keys are whole numbers, texts, names or refs
S.map(S.f32, Item, 2);
// @ts-expect-error oneOf needs a name
S.oneOf();
// @ts-expect-error an element is a kind or a class
S.array(3, 3);
// @ts-expect-error a function is no field
S.struct({ f() {} });
// @ts-expect-error a plain value is no field
S.struct({ hp: 100 });
// @ts-expect-error a plain class is no field
S.struct({ map: Map });
// @ts-expect-error the name is taken
S.struct({ constructor: S.int });
// @ts-expect-error the name is the runtime's
S.struct({ $id: S.int });
// @ts-expect-error an entry is a pool or a kind
S.state({ a: 3 });
// @ts-expect-error a pool holds records
S.pool(Date);

// Former names.
expectType<Equal<OutOf<ReturnType<typeof S.i32.was>>, number>>();
class Hero extends S.struct({
  hp: S.i32.was('health').sync,
  bag: S.map(S.int, Item).was('items', 'things'),
  next: S.ref<Hero>('heroes').was('friend'),
  at: S.nested(Vec).was('pos'),
  list: S.array(S.u8, 3).sync.was('l').init([1]),
}) {
  static was = ['Player', 'Human'];
}
declare const hero: Hero;
expectType<Equal<typeof hero.hp, number>>();
expectType<Equal<typeof hero.next, Hero | undefined>>();
expectType<Equal<typeof hero.at, Vec>>();
expectType<Equal<ReturnType<typeof hero.bag.get>, Item | undefined>>();
S.pool(Hero, { was: 'players' });
// @ts-expect-error a name is a text
S.i32.was(3);
// @ts-expect-error a name is needed
S.i32.was();
