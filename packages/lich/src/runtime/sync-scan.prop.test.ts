/** What players see against what there is: random changes, creates and destroys, ticks, players that come late, kills in
 * the delta. A player that applies its picture and the deltas after it always has what the state had at that delta. */
import {
  array,
  f32,
  f64,
  int,
  list,
  pool,
  readSync,
  ref,
  state,
  type StateSchema,
  struct,
  text,
  u16,
  u8,
  Writer,
} from '@lich/schema';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openStore, plain, type Store, type StorePlan, storePlan } from '../state/index.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { SyncScan, shownFields } from './sync-scan.ts';

class Pos extends struct({ x: f32.sync, y: f32.sync, secret: u8 }) {}
class Unit extends struct({
  hp: u8.sync,
  small: u16.sync,
  name: text(5).sync,
  gold: int.sync,
  hidden: int,
  pos: Pos,
  marks: array(u8, 3).sync,
  mate: ref<Unit>('units').sync,
}) {}
class Quiet extends struct({ n: int }) {}
class Shot extends struct({ kind: u8.sync }) {}
const pools = {
  units: pool(Unit, { capacity: 6 }),
  quiet: pool(Quiet, { capacity: 4 }),
  shots: pool(Shot, { capacity: 4 }),
};
const Schema = state(pools);
/** 2.2 GiB that are not touched lie before the others. */
class Room extends struct({ room: list(f64, 349_000) }) {}
const FarSchema = state({ rooms: pool(Room, { capacity: 280 }), ...pools });
const planOf = (schema: StateSchema) => storePlan(schema, { logWords: 1 << 13, hidden: shownFields(schema) as never });

type World = Store<any>;
type View = Record<string, Record<number, Record<string, unknown>>>;

/** As a client does it. */
class Player {
  view: View = { units: {}, shots: {} };

  /** Refs to records that are gone lead nowhere. */
  get seen(): View {
    const units = Object.entries(this.view.units!).map(([at, unit]) => {
      const mate = unit.mate as { slot: number; generation: number } | undefined;
      const there = mate !== undefined && this.view.units![mate.slot]?.generation === mate.generation;
      return [at, { ...unit, mate: there ? mate : undefined }];
    });
    return { ...this.view, units: Object.fromEntries(units) as View[string] };
  }

  take(scan: SyncScan, body: Uint8Array, full: boolean): void {
    if (full) this.view = { units: {}, shots: {} };
    const { view } = this;
    readSync(scan.plan, body.subarray(1), full, {
      begin() {},
      enter: (p, slot, generation, values) => void (view[p.name]![slot] = { ...values, generation }),
      change(p, slot, values) {
        const known = view[p.name]![slot];
        if (known === undefined) throw new Error(`change of ${p.name}[${slot}], which is not there`);
        merge(known, values);
      },
      leave(p, slot) {
        if (view[p.name]![slot] === undefined) throw new Error(`${p.name}[${slot}] leaves and was not there`);
        delete view[p.name]![slot];
      },
    });
  }
}

function merge(into: Record<string, unknown>, values: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(values)) {
    if (name === 'pos') into[name] = { ...(into[name] as object), ...(value as object) };
    else into[name] = value;
  }
}

function truth(store: World): View {
  const view: View = { units: {}, shots: {} };
  for (const name of ['units', 'shots']) {
    const found = store.pools.get(name)!;
    found.forEach((record: object, slot: number) => {
      const all = plain(record) as Record<string, any>;
      const generation = found.generationOf(slot);
      if (name === 'shots') view[name]![slot] = { kind: all.kind, generation };
      else {
        const { hidden: _, pos, ...rest } = all;
        view[name]![slot] = { ...rest, pos: { x: pos.x, y: pos.y }, generation };
      }
    });
  }
  return view;
}

/** A store, its scan and when it was last scanned: as service-logic keeps them. */
class Scene {
  segment;
  store!: World;
  scan!: SyncScan;
  readonly writer = new Writer(1024);
  since = 0;
  readonly players: Player[] = [];

  readonly #schema: StateSchema;
  readonly #plan: StorePlan;

  constructor(schema: StateSchema = Schema) {
    this.#schema = schema;
    this.#plan = planOf(schema);
    this.segment = memorySegment({ regions: this.#plan.regions, catalog: this.#plan.catalog });
    this.open();
  }

  open(): void {
    this.store = openStore(this.segment, this.#plan) as World;
    this.store.recover();
    this.scan = new SyncScan(this.#schema, this.store, this.writer);
  }

  transact(fn: (s: any) => void, end: 'commit' | 'rollback' = 'commit'): void {
    this.store.log.begin();
    try {
      fn(this.store.state);
    } catch (error) {
      this.store.log.rollback();
      if ((error as { code?: string }).code !== 'STATE_POOL_FULL') throw error;
      return;
    }
    this.store.log[end]();
  }

  /** In the open transaction. @returns the body, when there is something to tell */
  #delta(): Uint8Array | undefined {
    return this.scan.delta(this.since, 1, 1) > 0 ? this.writer.view().slice() : undefined;
  }

  tick(end: 'commit' | 'kill' = 'commit'): void {
    const line = this.store.log.nextStamp();
    this.store.log.begin();
    const body = this.#delta();
    if (end === 'kill') {
      this.open();
      return;
    }
    this.store.log.commit();
    this.since = line;
    for (const player of this.players) if (body) player.take(this.scan, body, false);
  }

  /** A player comes: what is told to the others first is told in its transaction. */
  join(): void {
    this.store.log.begin();
    const body = this.#delta();
    this.scan.picture(1, 1);
    const picture = this.writer.view().slice();
    this.store.log.commit();
    for (const player of this.players) if (body) player.take(this.scan, body, false);
    const player = new Player();
    player.take(this.scan, picture, true);
    this.players.push(player);
  }
}

const slot = fc.nat(5);
const changes = fc.oneof(
  fc.record({ do: fc.constant('create' as const), pool: fc.constantFrom('units', 'units', 'quiet', 'shots') }),
  fc.record({ do: fc.constant('destroy' as const), pool: fc.constantFrom('units', 'shots'), slot }),
  fc.record({
    do: fc.constant('set' as const),
    slot,
    field: fc.constantFrom('hp', 'small', 'gold', 'hidden', 'name', 'x', 'secret', 'mark', 'mate'),
    value: fc.nat(3),
  }),
);
type Change = typeof changes extends fc.Arbitrary<infer C> ? C : never;
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('transact' as const),
      changes: fc.array(changes, { maxLength: 5 }),
      end: fc.constantFrom('commit' as const, 'commit' as const, 'rollback' as const),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ do: 'tick' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'join' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'killInTick' as const }) },
);

function change(s: any, c: Change): void {
  if (c.do === 'create') {
    s[c.pool].create();
    return;
  }
  const record = s[c.do === 'set' ? 'units' : c.pool].get(c.slot);
  if (record === undefined) return;
  if (c.do === 'destroy') s[c.pool].destroy(record);
  else if (c.field === 'name') record.name = 'abcde'.slice(0, c.value + 1);
  else if (c.field === 'x') record.pos.x = c.value;
  else if (c.field === 'secret') record.pos.secret = c.value;
  else if (c.field === 'mark') record.marks.set(c.value % 3, c.value);
  else if (c.field === 'mate') record.mate = s.units.get(c.value);
  else record[c.field] = c.value;
}

describe('what players see', () => {
  it('is what there is, whatever happened in between', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), steps => {
        const scene = new Scene();
        scene.join();
        for (const s of steps) {
          if (s.do === 'transact') scene.transact(root => s.changes.forEach(c => change(root, c)), s.end);
          else if (s.do === 'join') scene.join();
          else if (s.do === 'restart') scene.open();
          else scene.tick(s.do === 'killInTick' ? 'kill' : 'commit');
          if (s.do === 'tick' || s.do === 'join')
            for (const player of scene.players) expect(player.seen).toEqual(truth(scene.store));
        }
        scene.tick();
        for (const player of scene.players) expect(player.seen).toEqual(truth(scene.store));
        expect(scene.store.check()).toEqual([]);
      }),
      { numRuns: process.env.LICH_SOAK ? 5_000 : 400 },
    );
  });

  it('is what there is beyond 2 GiB too', () => {
    const scene = new Scene(FarSchema);
    expect(scene.segment.regions.get('p1:units')!.offset).toBeGreaterThan(2 ** 31);
    scene.join();
    for (let k = 0; k < 4; k++) {
      const values = {
        hp: k,
        small: 300 * k,
        name: `n${k}`,
        gold: 2 ** 40 + k,
        pos: { x: k, y: -k },
        marks: [k, 2, k],
      };
      scene.transact(s => s.units.create(values));
      scene.tick(k === 1 ? 'kill' : 'commit');
      scene.transact(s => {
        const unit = s.units.get(k);
        Object.assign(unit, { hp: 9, small: 65_000, name: 'x', mate: s.units.get(0) });
        unit.pos.y = 7;
        unit.marks.set(2, 8);
        if (k === 3) s.units.destroy(s.units.get(2));
      });
      scene.tick();
      expect(scene.players[0]!.seen).toEqual(truth(scene.store));
    }
  });

  it('who comes between two ticks sees what changes back before the next', () => {
    const scene = new Scene();
    scene.transact(s => s.units.create({ hp: 1 }));
    scene.join();
    scene.tick();
    scene.transact(s => void (s.units.get(0).hp = 2));
    scene.join();
    scene.transact(s => void (s.units.get(0).hp = 1));
    scene.tick();
    for (const player of scene.players) expect(player.view.units![0]!.hp).toBe(1);
  });

  it('a record that is destroyed, made again and destroyed between two ticks is gone', () => {
    const scene = new Scene();
    scene.transact(s => s.shots.create());
    scene.join();
    scene.tick();
    scene.transact(s => s.shots.destroy(s.shots.get(0)));
    scene.transact(s => s.shots.create());
    scene.transact(s => s.shots.destroy(s.shots.get(0)));
    scene.tick();
    expect(scene.players[0]!.view.shots).toEqual({});
  });

  it.each([1, 2, 5])('more changes than %i at a time go with the next deltas, each once', most => {
    const scene = new Scene();
    scene.join();
    scene.transact(s => {
      for (let hp = 0; hp < 5; hp++) s.units.create({ hp });
    });
    let told = 0;
    let deltas = 0;
    do {
      scene.store.log.begin();
      const ops = scene.scan.delta(scene.since, 1, 1, most);
      expect(ops).toBeLessThanOrEqual(most);
      const body = scene.writer.view().slice();
      scene.store.log.commit();
      scene.players[0]!.take(scene.scan, body, false);
      told += ops;
      deltas++;
    } while (!scene.scan.isWhole);
    expect(told).toBe(5);
    expect(deltas).toBe(Math.ceil(5 / most));
    expect(scene.players[0]!.seen).toEqual(truth(scene.store));
  });

  it('the same value, there and back, and fields that are not sent: nothing is told', () => {
    const scene = new Scene();
    scene.transact(s => s.units.create({ hp: 5, name: 'ab' }));
    scene.tick();
    const told = () => {
      const line = scene.store.log.nextStamp();
      scene.store.log.begin();
      const ops = scene.scan.delta(scene.since, 1, 1);
      scene.store.log.commit();
      scene.since = line;
      return ops;
    };
    for (const work of [
      (u: any) => void (u.hp = 5),
      (u: any) => {
        u.hp = 9;
        u.hp = 5;
      },
      (u: any) => void (u.hidden = 77),
      (u: any) => void (u.pos.secret = 7),
      () => {},
    ]) {
      scene.transact(s => work(s.units.get(0)));
      expect(told()).toBe(0);
    }
    scene.transact(s => void (s.units.get(0).name = 'abc'));
    expect(told()).toBe(1);
    expect(told()).toBe(0);
  });

  it('a pool of more than 28 sync fields, all of them changed', () => {
    const fields = Object.fromEntries(Array.from({ length: 60 }, (_, k) => [`f${k}`, k % 2 ? u8.sync : int.sync]));
    class Wide extends struct(fields) {}
    const schema = state({ wide: pool(Wide, { capacity: 2 }) });
    const widePlan = storePlan(schema, {
      logWords: 1 << 13,
      hidden: shownFields(schema) as never,
    });
    const store = openStore(memorySegment({ regions: widePlan.regions, catalog: widePlan.catalog }), widePlan) as World;
    const writer = new Writer(1024);
    const scan = new SyncScan(schema, store, writer);
    let since = 0;
    const seen: Record<string, unknown> = {};
    const show = () => {
      const line = store.log.nextStamp();
      store.log.begin();
      scan.delta(since, 1, 1);
      store.log.commit();
      since = line;
      readSync(scan.plan, writer.view().subarray(1), false, {
        begin() {},
        enter: (_, __, ___, values) => void Object.assign(seen, values),
        change: (_, __, values) => void Object.assign(seen, values),
        leave() {},
      });
    };
    store.log.begin();
    const record = store.state.wide.create();
    store.log.commit();
    show();
    for (let k = 0; k < 60; k++) {
      store.log.begin();
      record[`f${k}`] = k + 1;
      if (k > 30) record.f2 = 1_000 + k;
      store.log.commit();
      show();
      expect(seen).toEqual(plain(record));
    }
  });
});
