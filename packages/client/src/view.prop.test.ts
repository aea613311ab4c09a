/** Random pictures and deltas against a model of plain maps. */
import { SyncWriter, syncPlanOf, Writer, type SyncPool } from '@lich/schema';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { playerValues, State } from './testing/arena.ts';
import { ViewMirror } from './view.ts';

const plan = syncPlanOf(State);
const SLOTS = 6;

interface ModelRecord {
  readonly generation: number;
  values: Record<string, unknown>;
}
type Model = Map<string, Map<number, ModelRecord>>;

const slot = fc.nat(SLOTS - 1);
const generation = fc.constantFrom(1, 3, 5);
const ref = fc.option(fc.record({ slot, generation }), { nil: undefined });
const values: Record<string, fc.Arbitrary<Record<string, unknown>>> = {
  players: fc
    .record({
      name: fc.string({ maxLength: 24, unit: 'binary' }),
      hp: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      at: fc.record({ x: fc.float(), y: fc.float() }),
      mood: fc.constantFrom('calm', 'angry'),
      dice: fc.array(fc.nat(255), { minLength: 3, maxLength: 3 }),
      badge: fc.uint8Array({ maxLength: 4 }),
      target: ref,
    })
    .map(playerValues),
  drops: fc.record({ id: fc.nat(65_535), count: fc.maxSafeInteger() }),
};
const opOf = (pool: SyncPool) =>
  fc.record({
    pool: fc.constant(pool),
    verb: fc.constantFrom('enter', 'change', 'change', 'leave'),
    slot,
    generation,
    values: values[pool.name],
    mask: fc.nat(2 ** pool.fields.length - 1),
  });
type Op = typeof opOf extends (pool: SyncPool) => fc.Arbitrary<infer T> ? T : never;
const frames = fc.array(
  fc.record({
    full: fc.boolean(),
    ops: fc.tuple(...plan.pools.map(pool => fc.array(opOf(pool), { maxLength: 12 }))),
  }),
  { maxLength: 12 },
);

/** Write the ops that are legal in this model, and do them there. */
function play(model: Model, full: boolean, lists: readonly (readonly Op[])[]): Uint8Array {
  const writer = new Writer();
  const sync = new SyncWriter(plan, writer);
  sync.begin(1, 1);
  lists.forEach((ops, index) => {
    const pool = plan.pools[index];
    if (full) model.set(pool.name, new Map());
    const records = model.get(pool.name)!;
    sync.pool(pool);
    for (const op of ops) {
      const record = records.get(op.slot);
      if (op.verb === 'enter' && !(full && record !== undefined)) {
        sync.enter(op.slot, op.generation, op.values);
        records.set(op.slot, { generation: op.generation, values: { ...op.values } });
      } else if (!full && op.verb === 'leave' && record !== undefined) {
        sync.leave(op.slot);
        records.delete(op.slot);
      } else if (!full && op.verb === 'change' && record !== undefined && op.mask !== 0) {
        sync.change(op.slot, [op.mask], op.values);
        for (const field of pool.fields)
          if (((op.mask >>> field.index) & 1) === 1) record.values[field.name] = op.values[field.name];
      }
    }
  });
  sync.end();
  return writer.finish();
}

/** What a mirror shows of a pool, refs as the id of what they lead to. */
function shown(view: ViewMirror, pool: SyncPool): unknown {
  const list: [number, unknown][] = [];
  for (let at = 0; at < SLOTS; at++) {
    const mirror = view.pools[pool.name].get(at) as Record<string, unknown> | undefined;
    if (mirror === undefined) continue;
    const fields: Record<string, unknown> = {};
    for (const { name } of pool.fields) {
      const value = mirror[name];
      fields[name] =
        name === 'target'
          ? (value as { id: string } | undefined)?.id
          : name === 'at'
            ? { ...(value as object) }
            : value;
    }
    list.push([at, fields]);
  }
  return list;
}

function expected(model: Model, pool: SyncPool): unknown {
  const players = model.get('players')!;
  return [...model.get(pool.name)!.entries()]
    .sort(([a], [b]) => a - b)
    .map(([at, record]) => {
      const fields = { ...record.values };
      const target = fields.target as { slot: number; generation: number } | undefined;
      if (pool.name === 'players') {
        const there = target !== undefined && players.get(target.slot)?.generation === target.generation;
        fields.target = there ? `${target.slot}.${target.generation}` : undefined;
      }
      return [at, fields];
    });
}

test('a mirror fed with random frames equals the model, and enters, leaves and identities fit together', () => {
  fc.assert(
    fc.property(frames, list => {
      const model: Model = new Map(plan.pools.map(pool => [pool.name, new Map()]));
      const view = new ViewMirror(State, plan);
      const present = new Map<string, Set<object>>();
      for (const pool of plan.pools) {
        const here = new Set<object>();
        present.set(pool.name, here);
        view.pools[pool.name]
          .onEnter((mirror: object) => {
            expect(here.has(mirror)).toBe(false);
            here.add(mirror);
          })
          .onChange((mirror: object) => expect(here.has(mirror)).toBe(true))
          .onLeave((mirror: object) => expect(here.delete(mirror)).toBe(true));
      }
      for (const { full, ops } of list) {
        const before = new Map(plan.pools.map(pool => [pool.name, identities(model, view, pool)]));
        view.apply(play(model, full, ops), full).notify();
        for (const pool of plan.pools) {
          expect(shown(view, pool)).toEqual(expected(model, pool));
          expect(new Set(view.pools[pool.name])).toEqual(present.get(pool.name));
          if (!full) continue;
          // A picture keeps the object of each record that stays.
          for (const [id, mirror] of identities(model, view, pool)) {
            const old = before.get(pool.name)!.get(id);
            if (old !== undefined) expect(mirror).toBe(old);
          }
        }
      }
    }),
    { numRuns: 500 },
  );
});

function identities(model: Model, view: ViewMirror, pool: SyncPool): Map<string, object> {
  return new Map(
    [...model.get(pool.name)!.entries()].map(([at, record]) => [
      `${at}.${record.generation}`,
      view.pools[pool.name].get(at) as object,
    ]),
  );
}

test('random bytes never change a view', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (bytes, full) => {
      const view = new ViewMirror(State, plan);
      let told = 0;
      for (const pool of plan.pools) view.pools[pool.name].onEnter(() => told++);
      try {
        view.apply(bytes, full);
      } catch (error) {
        expect(error).toMatchObject({ code: 'SCHEMA_WIRE' });
        expect(plan.pools.map(pool => view.pools[pool.name].size)).toEqual(plan.pools.map(() => 0));
      }
      expect(told).toBe(0);
    }),
    { numRuns: 5_000 },
  );
});
