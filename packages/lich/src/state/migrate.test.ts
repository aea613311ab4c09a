import {
  array,
  bool,
  f64,
  i32,
  int,
  list,
  machine,
  map,
  oneOf,
  optional,
  pool,
  ref,
  type StateSchema,
  state,
  struct,
  text,
  u16,
  u32,
  u8,
} from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Segment } from '../shm/index.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { examineMigration, migrate } from './migrate.ts';
import { plain } from './plain.ts';
import { type StorePlan, storePlan } from './plan.ts';
import { catalogOf } from './reader.ts';
import { openStore, type Store } from './store.ts';

class V1Item extends struct({ kind: u16, count: int }) {}
class V1Player extends struct({
  name: text(24),
  level: u8,
  gold: int,
  mood: oneOf('calm', 'angry'),
  friend: ref<any>('players'),
  note: text(),
  bag: map(int, V1Item),
  path: list(u8),
  marks: array(u16, 3),
  old: f64,
  luck: optional(u8),
}) {}
const V1 = state({
  players: pool(V1Player, { capacity: 500 }),
  round: i32,
  log: list(text(8)),
  gone: map(int, text()),
});

class V2Item extends struct({ bound: bool, count: int, kind: u32 }) {}
class V2Player extends struct({
  gold: int,
  hp: int.init(100),
  rank: u16.was('level'),
  name: text(40),
  mood: oneOf('angry', 'calm', 'sad'),
  friend: ref<any>('people'),
  note: text(),
  bag: map(int, V2Item),
  path: list(u16),
  marks: array(u32, 5),
  luck: optional(int),
}) {}
const V2 = state({ people: pool(V2Player, { was: 'players' }), round: int, log: list(text(8)), fresh: map(int, u8) });

const ROOM = { logWords: 1 << 17, heapBytes: 1 << 22 };

function made<S extends StateSchema>(schema: S) {
  const plan = storePlan(schema, ROOM);
  const segment = room(plan);
  return { plan, segment, store: openStore(segment, plan) };
}

function migrated<S extends StateSchema>(old: Segment, schema: S, fill?: Segment) {
  const plan = storePlan(schema, ROOM);
  const layouts = catalogOf(old);
  const segment = room(plan);
  const report = migrate(old, segment, plan, {
    layouts,
    ...(fill && { fill: { segment: fill, layouts: catalogOf(fill) } }),
  });
  return { plan, segment, report, store: openStore(segment, plan) };
}

function room({ regions, catalog }: StorePlan): Segment {
  return memorySegment({ regions, catalog });
}

function transact(store: Store<unknown>, fn: () => void): void {
  store.log.begin();
  fn();
  store.log.commit();
}

function filled() {
  const v1 = made(V1);
  transact(v1.store, () => {
    const { players } = v1.store.state;
    for (let n = 0; n < 100; n++) {
      const player = players.create({ name: `p${n}`, level: n, gold: n * 1_000_003, mood: n % 2 ? 'calm' : 'angry' });
      if (n % 3 === 0) player.note = `a long note about number ${n}`.repeat(3);
      for (let k = 0; k < n % 5; k++) player.bag.set(k, { kind: k + 1, count: n });
      for (let k = 0; k < n % 7; k++) player.path.push(k);
      player.marks.set(1, n);
      player.old = n / 3;
      if (n % 2) player.luck = n;
      if (n > 0) player.friend = players.get(n - 1);
    }
    for (let n = 0; n < 100; n += 4) players.destroy(players.get(n)!);
    v1.store.state.round = 7;
    v1.store.state.log.push('hello');
    for (let n = 0; n < 20; n++) v1.store.state.gone.set(n, 'this goes away with what it owns');
  });
  return v1;
}

describe('migrate', () => {
  it('renamed, widened, reordered, added, removed, resized, and containers whose elements changed', () => {
    const v1 = filled();
    const { store, report } = migrated(v1.segment, V2);
    expect(store.check()).toEqual([]);
    expect(report.records).toBe(75);
    const { people } = store.state;
    expect(people.size).toBe(75);
    v1.store.state.players.forEach((player, slot) => {
      const person = people.get(slot)!;
      const was = plain(player);
      expect(people.refOf(person)).toEqual(v1.store.state.players.refOf(player));
      expect(plain(person)).toEqual({
        gold: was.gold,
        hp: 100,
        rank: was.level,
        name: was.name,
        mood: was.mood,
        friend: was.friend,
        note: was.note,
        bag: was.bag.map(([key, item]) => [key, { bound: false, count: item.count, kind: item.kind }]),
        path: was.path,
        marks: [...was.marks, 0, 0],
        luck: was.luck,
      });
    });
    expect(store.state.round).toBe(7);
    expect(store.state.log.toArray()).toEqual(['hello']);
    expect(store.log.commitNo).toBeGreaterThan(v1.store.log.commitNo);
  });

  it('goes on as if it had always been so: slots are reused, containers grow, refs of the dead stay dead', () => {
    const v1 = filled();
    const { store } = migrated(v1.segment, V2);
    transact(store, () => {
      const stale = v1.store.state.players.refOf(v1.store.state.players.get(1)!);
      store.state.people.destroy(stale);
      for (let n = 0; n < 1_000; n++) store.state.people.create({ name: `new ${n}` }).bag.set(n, { bound: true });
      expect(store.state.people.resolve(stale.slot, stale.generation)).toBeUndefined();
    });
    expect(store.check()).toEqual([]);
    expect(store.state.people.size).toBe(1_074);
  });

  it('and back again: what was removed comes from the segment before, the rest is what it is now', () => {
    const v1 = filled();
    const before = plain(v1.store.state.players.get(5)!);
    const v2 = migrated(v1.segment, V2);
    transact(v2.store, () => {
      v2.store.state.people.get(5)!.gold = 1;
      v2.store.state.people.create({ name: 'late', rank: 9 });
    });
    const BackPlayer = class V1Player extends struct({ ...V1Fields, level: u8.was('rank') }) {};
    const Back = state({
      players: pool(BackPlayer, { capacity: 500, was: 'people' }),
      round: i32,
      log: list(text(8)),
      gone: map(int, text()),
    });
    const back = migrated(v2.segment, Back, v1.segment);
    expect(back.store.check()).toEqual([]);
    expect(plain(back.store.state.players.get(5)!)).toEqual({ ...before, gold: 1 });
    const late = [...back.store.state.players].find(player => player.name === 'late')!;
    expect(plain(late)).toMatchObject({ level: 9, old: 0 });
  });

  it('values that do not fit are refused with their places, all counted, and the dry run finds the same', () => {
    const v2 = made(V2);
    transact(v2.store, () => {
      for (let n = 0; n < 40; n++) v2.store.state.people.create({ rank: 250 + n, name: 'x'.repeat(n) });
    });
    const Narrow = state({
      people: pool(class V2Player extends struct({ rank: u8, name: text(38) }) {}, { capacity: 39 }),
    });
    const plan = storePlan(Narrow, ROOM);
    const layouts = catalogOf(v2.segment);
    const options = { layouts };
    const found = examineMigration(v2.segment, plan, options);
    expect(found.unfit.count).toBe(34 + 1 + 1);
    expect(found.unfit.list[0]).toBe('people[6].rank: 256 is not a u8 (0..255)');
    expect(() => migrate(v2.segment, room(plan), plan, options)).toThrow(
      expect.objectContaining({ code: 'STATE_MIGRATION', message: expect.stringMatching(/^3\d values do not fit/) }),
    );
  });

  it('a kind that nothing leads to needs a hook, and the hook sees old and new', () => {
    const v1 = filled();
    class Changed extends struct({ name: text(24), level: text(8), total: int }) {
      static migrate(player: Changed, old: Record<string, unknown>): void {
        player.level = `level ${String(old.level)}`;
        player.total = (old.gold as number) + 1;
      }
    }
    const plan = (schema: StateSchema) => {
      const next = storePlan(schema, ROOM);
      return () =>
        migrate(v1.segment, room(next), next, {
          layouts: catalogOf(v1.segment),
        });
    };
    class NoHook extends struct({ name: text(24), level: text(8) }) {}
    expect(plan(state({ players: pool(NoHook) }))).toThrow(/field level was u8 and is text\(8\): nothing leads/);
    const { store } = migrated(v1.segment, state({ players: pool(Changed) }));
    expect(plain(store.state.players.get(3)!)).toEqual({ name: 'p3', level: 'level 3', total: 3_000_010 });
    expect(store.check()).toEqual([]);
  });

  it('machines: states are found by name, times and timeouts stay', () => {
    class Door extends struct({
      lock: machine({
        initial: 'open',
        states: { open: { to: ['shut'] }, shut: { to: ['open'], after: [10, 'open'] } },
      }),
    }) {}
    const from = made(state({ doors: pool(Door) }));
    const armed: object[] = [];
    from.store.machines.timers = { arm: name => armed.push(name), cancel: () => {} };
    transact(from.store, () => {
      from.store.state.doors.create();
      from.store.state.doors.create({ lock: 'shut' });
    });
    class Gate extends struct({
      wide: int,
      bolt: machine({
        initial: 'open',
        states: { shut: { to: ['open', 'broken'], after: [20, 'open'] }, open: { to: ['shut'] }, broken: {} },
      }).was('lock'),
    }) {}
    const { store } = migrated(from.segment, state({ gates: pool(Gate, { was: 'doors' }) }));
    expect([...store.state.gates].map(gate => gate.bolt.state)).toEqual(['open', 'shut']);
    const found = store.machineNames.find(armed[0] as never)!;
    expect(found).toBe(store.state.gates.get(1)!.bolt);
    transact(store, () => expect(found.timeout(1)).toBe(true));
    expect(store.state.gates.get(1)!.bolt.state).toBe('open');
  });

  it('a pool without changes is copied word for word, growing or not', () => {
    const same = state({ players: pool(V1Player), round: i32, more: pool(V1Player, { capacity: 64 }) });
    const from = made(same);
    transact(from.store, () => {
      for (let n = 0; n < 300; n++) from.store.state.players.create({ gold: n }).bag.set(n, { count: n });
      for (let n = 0; n < 64; n++) from.store.state.more.create({ gold: n, note: 'more of it' });
      from.store.state.more.destroy(from.store.state.more.get(7)!);
    });
    const Next = state({
      added: pool(V1Item),
      more: pool(V1Player, { capacity: 64 }),
      players: pool(V1Player),
      round: i32,
    });
    const { store, report } = migrated(from.segment, Next);
    expect(report.rebuilt).toBe(0);
    expect(store.check()).toEqual([]);
    expect(store.state.players.size).toBe(300);
    expect([...store.state.more].map(player => plain(player))).toEqual(
      [...from.store.state.more].map(player => plain(player)),
    );
  });

  it('any history, there and back: every field as it was', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.record({ op: fc.constant('create' as const), level: fc.nat(255), name: fc.string({ maxLength: 24 }) }),
            fc.record({ op: fc.constant('destroy' as const), at: fc.nat(30) }),
            fc.record({ op: fc.constant('bag' as const), at: fc.nat(30), key: fc.nat(9), count: fc.nat() }),
            fc.record({ op: fc.constant('note' as const), at: fc.nat(30), note: fc.string({ maxLength: 90 }) }),
            fc.record({ op: fc.constant('befriend' as const), at: fc.nat(30), other: fc.nat(30) }),
          ),
          { maxLength: 60 },
        ),
        history => {
          const v1 = made(V1);
          transact(v1.store, () => {
            const { players } = v1.store.state;
            for (const step of history) {
              if (step.op === 'create') players.create({ level: step.level, name: step.name, old: step.level / 7 });
              else if (players.get(step.at) === undefined) continue;
              else if (step.op === 'destroy') players.destroy(players.get(step.at)!);
              else if (step.op === 'bag') players.get(step.at)!.bag.set(step.key, { count: step.count });
              else if (step.op === 'note') players.get(step.at)!.note = step.note;
              else players.get(step.at)!.friend = players.get(step.other);
            }
          });
          const v2 = migrated(v1.segment, V2);
          expect(v2.store.check()).toEqual([]);
          const Back = state({
            players: pool(class V1Player extends struct({ ...V1Fields, level: u8.was('rank') }) {}, {
              capacity: 500,
              was: 'people',
            }),
            round: i32,
            log: list(text(8)),
            gone: map(int, text()),
          });
          const back = migrated(v2.segment, Back, v1.segment);
          expect(back.store.check()).toEqual([]);
          const all = (pool: Iterable<object>) => [...pool].map(record => plain(record));
          expect(all(back.store.state.players)).toEqual(all(v1.store.state.players));
        },
      ),
      { numRuns: 60 },
    );
  });
});

const V1Fields = {
  name: text(24),
  level: u8,
  gold: int,
  mood: oneOf('calm', 'angry'),
  friend: ref<any>('players'),
  note: text(),
  bag: map(int, V1Item),
  path: list(u8),
  marks: array(u16, 3),
  old: f64,
  luck: optional(u8),
};
