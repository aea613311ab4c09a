// What growing and optional kinds read, take and refuse.
import * as S from './index.ts';
import type {
  Bits,
  Cursor,
  GrowingArray,
  HashMap,
  HashSet,
  Init,
  InOf,
  List,
  Mirror,
  OutOf,
  Plain,
  PlainOf,
  Queue,
  SortedMap,
  StateOf,
} from './index.ts';
import { expectType } from './testing/types.ts';
import type { Equal } from './testing/types.ts';

class Item extends S.struct({ kind: S.u16, count: S.int }) {
  get many() {
    return this.count > 1;
  }
}
class Team extends S.struct({
  name: S.text(),
  raw: S.bytes(),
  scores: S.array(S.int),
  items: S.array(Item),
  log: S.list(S.text()),
  bag: S.map(S.text(), Item),
  bags: S.map(S.int, S.map(S.text(8), Item)),
  tags: S.set(S.text(8)),
  seen: S.set(S.ref<Team>('teams'), 8),
  ranks: S.sorted(S.int, S.ref<Team>('teams')),
  jobs: S.queue(Item),
  rows: S.array(S.array(S.u8)),
  flags: S.bits(),
  few: S.bits(40),
  best: S.optional(Item),
  when: S.optional(S.f64).init(3).sync,
  wish: S.optional(S.list(S.u8)),
  look: S.optional(Item).sync,
  slots: S.array(S.optional(S.u8), 3),
}) {
  // A class may hold containers of itself.
  get rivals() {
    return this.ranks.first?.[1]?.ranks;
  }
}
declare const team: Team;
declare const other: Team;

// Reading.
expectType<Equal<typeof team.name, string>>();
expectType<Equal<typeof team.raw, Uint8Array>>();
expectType<Equal<typeof team.scores, GrowingArray<number, number, number>>>();
expectType<Equal<typeof team.items, GrowingArray<Item, Init<Item>, Plain<Item>>>>();
expectType<Equal<typeof team.log, List<string, string, string>>>();
expectType<Equal<typeof team.bag, HashMap<string, Item, string, Init<Item>>>>();
expectType<Equal<ReturnType<typeof team.bags.get>, HashMap<string, Item, string, Init<Item>> | undefined>>();
expectType<Equal<typeof team.tags, HashSet<string, string, string>>>();
expectType<Equal<typeof team.ranks, SortedMap<number, Team | undefined, number, S.RefInput<Team>>>>();
expectType<Equal<typeof team.jobs, Queue<Item, Init<Item>, Plain<Item>>>>();
expectType<Equal<ReturnType<typeof team.rows.at>, GrowingArray<number, number, number> | undefined>>();
expectType<Equal<typeof team.flags, Bits>>();
expectType<Equal<typeof team.few, Bits>>();
expectType<Equal<typeof team.best, Item | undefined>>();
expectType<Equal<typeof team.when, number | undefined>>();
expectType<Equal<typeof team.wish, List<number, number, number> | undefined>>();
expectType<Equal<ReturnType<typeof team.slots.get>, number | undefined>>();
expectType<Equal<typeof team.rivals, SortedMap<number, Team | undefined, number, S.RefInput<Team>> | undefined>>();
expectType<Equal<typeof team.seen extends Iterable<infer T> ? T : never, Team | undefined>>();

// Writing.
team.name = 'a';
team.when = undefined;
team.best = undefined;
team.best!.count += 1;
team.look = S.value(Item, { kind: 1 });
team.look = S.value(Item);
// @ts-expect-error no such field
team.look = S.value(Item, { kin: 1 });
team.items.push({ kind: 1 }).count += 1;
team.items.splice(0, 1, { kind: 2 })[0].kind.toFixed();
team.items.sort((a, b) => a.count - b.count).reverse();
team.rows.push([1, 2]).push(3);
team.bags.set(1, [['a', { kind: 1 }]]).set('b', {}).count += 1;
team.tags.add('a').add('b');
team.ranks.range({ from: 3, reverse: true }).next();
team.flags.set(3);
team.flags.assign([1, 2]);
team.slots.set(0, undefined);
const cursor: Cursor | undefined = team.log.cursor(0);
if (cursor) team.log.insertAfter(cursor, 'b');
// @ts-expect-error containers are written through, not assigned
team.items = other.items;
// @ts-expect-error bits are written through, not assigned
team.flags = team.few;
// @ts-expect-error an element is an Item
team.items.push({ kin: 1 });
// @ts-expect-error a key is a number
team.ranks.set('a', team);
// @ts-expect-error keys are texts
team.tags.add(1);
// @ts-expect-error a queue has no unshift
team.jobs.unshift({ kind: 1 });
// @ts-expect-error may be none
team.best.count += 1;
// @ts-expect-error a number or undefined
team.when = 'x';

// What create takes and plain gives.
const init: Init<Team> = {
  name: 'a',
  scores: [1],
  items: [{ kind: 1 }],
  log: new Set(['a']),
  bag: new Map([['a', { kind: 1 }]]),
  bags: [[1, new Map([['a', {}]])]],
  tags: ['a'],
  seen: [team, { slot: 1, generation: 1 }],
  ranks: [[1, team]],
  rows: [[1], new Uint8Array(3)],
  flags: [1, 5],
  best: { kind: 1 },
  when: undefined,
  wish: [1],
  slots: [1, undefined],
};
void init;
// @ts-expect-error a set takes its keys
const wrong: Init<Team> = { tags: 'a'.length };
void wrong;
expectType<Equal<PlainOf<S.OptionalKind<typeof Item>>, { kind: number; count: number } | undefined>>();
expectType<Equal<Plain<Team>['bags'], [number, [string, { kind: number; count: number }][]][]>>();
expectType<Equal<Plain<Team>['seen'], (S.Ref | undefined)[]>>();
expectType<Equal<Plain<Team>['flags'], number[]>>();
expectType<Equal<Plain<Team>['rows'], number[][]>>();
expectType<Equal<InOf<S.BitsKind>, Iterable<number>>>();
expectType<Equal<OutOf<S.LongTextKind>, string>>();

// A client sees what is fixed in size.
declare const mirror: Mirror<Team>;
expectType<Equal<keyof typeof mirror, 'when' | 'look' | 'rivals' | typeof S.RECORD_REF>>();
expectType<Equal<typeof mirror.when, number | undefined>>();
expectType<Equal<NonNullable<typeof mirror.look>['many'], boolean>>();

// States.
const State = S.state({ teams: S.pool(Team), news: S.array(S.text()), motd: S.text(), host: S.optional(Item) });
declare const state: StateOf<typeof State>;
state.motd = 'a';
state.host = undefined;
state.news.push('a');
// @ts-expect-error containers are written through, not assigned
state.news = team.log as never as typeof state.news;

// Declaring.
// @ts-expect-error what grows is not sent
void S.text().sync;
// @ts-expect-error what grows starts empty
S.bytes().init(new Uint8Array(1));
// @ts-expect-error what grows is not sent
void S.array(S.u8).sync;
// @ts-expect-error sorted maps only grow
S.sorted(S.int, S.u8, 3);
// @ts-expect-error keys are whole numbers, texts, names or refs
S.set(S.f64);
// @ts-expect-error an optional number starts as a number
S.optional(S.u8).init('a');
// @ts-expect-error a message has a size
S.command({ t: S.text() });
// @ts-expect-error a message has a size
S.command({ t: S.set(S.u8, 3) });
S.command({ t: S.optional(S.u8) });
