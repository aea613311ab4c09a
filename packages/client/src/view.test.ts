import { recordRefOf, SyncWriter, syncPlanOf, Writer } from '@lich/schema';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Drop, Player, playerValues, State } from './testing/arena.ts';
import type { MirrorPool } from './types.ts';
import { ViewMirror } from './view.ts';

const plan = syncPlanOf(State);
const [playersPool, dropsPool] = plan.pools;
const hp = playersPool.fields.find(field => field.name === 'hp')!.index;
const target = playersPool.fields.find(field => field.name === 'target')!.index;

let view: ViewMirror;
let players: MirrorPool<Player>;
let drops: MirrorPool<Drop>;
let log: string[];

beforeEach(() => {
  view = new ViewMirror(State, plan);
  players = view.pools.players as unknown as MirrorPool<Player>;
  drops = view.pools.drops as unknown as MirrorPool<Drop>;
  log = [];
  players
    .onEnter(p => log.push(`+${p.id} ${p.name}`))
    .onChange(p => log.push(`~${p.id} ${p.hp}`))
    .onLeave(p => log.push(`-${p.id} ${p.hp}`));
});

function body(fill: (sync: SyncWriter) => void, epoch = 1, tick = 1): Uint8Array {
  const writer = new Writer();
  const sync = new SyncWriter(plan, writer);
  sync.begin(epoch, tick);
  fill(sync);
  sync.end();
  return writer.finish();
}

function apply(full: boolean, fill: (sync: SyncWriter) => void): void {
  view.apply(body(fill), full).notify();
}
const picture = (fill: (sync: SyncWriter) => void): void => apply(true, fill);
const delta = (fill: (sync: SyncWriter) => void): void => apply(false, fill);

function enters(sync: SyncWriter, slot: number, generation: number, values: Record<string, unknown> = {}): void {
  sync.pool(playersPool);
  sync.enter(slot, generation, playerValues(values));
}

describe('a picture', () => {
  test('fills the view with objects of the class', () => {
    picture(sync => enters(sync, 3, 1, { hp: 0 }));
    const p = players.get(3)!;
    expect(p).toBeInstanceOf(Player);
    expect(p.dead).toBe(true);
    expect([players.size, [...players].length, p.at.x, p.mood, p.dice]).toEqual([1, 1, 0, 'calm', [1, 2, 3]]);
    expect(Object.keys(p)).not.toContain('gold');
    expect(recordRefOf(p)).toEqual({ pool: 'players', slot: 3, generation: 1 });
    expect(log).toEqual(['+3.1 ann']);
  });

  test('replaces: what is gone leaves, what is new enters, what differs changes, and nothing else is told', () => {
    picture(sync => {
      enters(sync, 0, 1);
      sync.enter(1, 1, playerValues());
      sync.enter(2, 1, playerValues());
      sync.enter(3, 1, playerValues());
    });
    const [same, changed] = [players.get(0), players.get(1)];
    log = [];
    picture(sync => {
      enters(sync, 0, 1);
      sync.enter(1, 1, playerValues({ hp: 5 }));
      sync.enter(2, 3, playerValues({ name: 'bob' }));
    });
    expect(log).toEqual(['-2.1 100', '-3.1 100', '~1.1 5', '+2.3 bob']);
    expect([players.get(0) === same, players.get(1) === changed, players.size]).toEqual([true, true, 3]);
  });

  test('without a pool empties it', () => {
    picture(sync => enters(sync, 0, 1));
    picture(sync => {
      sync.pool(dropsPool);
      sync.enter(0, 1, { id: 9, count: 1 });
    });
    expect([players.size, drops.size]).toEqual([0, 1]);
  });
});

describe('a delta', () => {
  test('enters, changes, leaves', () => {
    delta(sync => enters(sync, 0, 1));
    const p = players.get(0);
    delta(sync => {
      sync.pool(playersPool);
      sync.change(0, [1 << hp], playerValues({ hp: 7 }));
    });
    delta(sync => {
      sync.pool(playersPool);
      sync.leave(0);
    });
    expect(log).toEqual(['+0.1 ann', '~0.1 7', '-0.1 7']);
    expect([p!.hp, players.size, players.get(0)]).toEqual([7, 0, undefined]);
  });

  test('an enter of a known slot is a change with the same generation, and another record with another', () => {
    delta(sync => enters(sync, 0, 1));
    const first = players.get(0);
    delta(sync => enters(sync, 0, 1, { hp: 1 }));
    expect(players.get(0)).toBe(first);
    delta(sync => enters(sync, 0, 3, { hp: 2 }));
    expect(players.get(0)).not.toBe(first);
    expect(log).toEqual(['+0.1 ann', '~0.1 1', '-0.1 1', '+0.3 ann']);
  });

  test('a change to the same value is not told', () => {
    delta(sync => enters(sync, 0, 1));
    delta(sync => {
      sync.pool(playersPool);
      sync.change(0, [1 << hp], playerValues());
    });
    expect(log).toEqual(['+0.1 ann']);
  });

  test('a slot may be left and taken again in one', () => {
    delta(sync => enters(sync, 0, 1));
    delta(sync => {
      sync.pool(playersPool);
      sync.leave(0);
      sync.enter(0, 3, playerValues());
      sync.change(0, [1 << hp], playerValues({ hp: 4 }));
    });
    expect(log).toEqual(['+0.1 ann', '-0.1 100', '+0.3 ann', '~0.3 4']);
  });

  test.each([
    ['a change of an unknown slot', (sync: SyncWriter) => sync.change(5, [1 << hp], playerValues())],
    ['a leave of an unknown slot', (sync: SyncWriter) => sync.leave(5)],
    [
      'a change after a leave',
      (sync: SyncWriter) => {
        sync.leave(0);
        sync.change(0, [1 << hp], playerValues());
      },
    ],
  ])('%s is malformed and changes nothing', (_, fill) => {
    delta(sync => enters(sync, 0, 1));
    const bad = body(sync => {
      enters(sync, 1, 1);
      fill(sync);
    });
    expect(() => view.apply(bad, false)).toThrow(expect.objectContaining({ code: 'SCHEMA_WIRE' }));
    expect([log, players.size]).toEqual([['+0.1 ann'], 1]);
  });

  test('cut short anywhere, it changes nothing', () => {
    delta(sync => enters(sync, 0, 1));
    const whole = body(sync => {
      enters(sync, 1, 1);
      sync.change(0, [(1 << hp) | (1 << target)], playerValues({ hp: 3, target: { slot: 1, generation: 1 } }));
    });
    for (let length = 0; length < whole.length; length++)
      expect(() => view.apply(whole.subarray(0, length), false)).toThrow(/malformed/);
    expect([log, players.size, players.get(0)!.hp]).toEqual([['+0.1 ann'], 1, 100]);
  });
});

describe('refs', () => {
  const seesBob = (): unknown => players.get(0)!.target;

  test('lead to the mirrored record while it is in view', () => {
    delta(sync => {
      enters(sync, 0, 1, { target: { slot: 1, generation: 3 } });
    });
    expect(seesBob()).toBeUndefined();
    delta(sync => enters(sync, 1, 3, { name: 'bob' }));
    expect(seesBob()).toBe(players.get(1));
    delta(sync => enters(sync, 1, 5, { name: 'eve' }));
    expect(seesBob()).toBeUndefined();
  });

  test('may form a circle within one delta, and callbacks see all of it', () => {
    const names: unknown[] = [];
    players.onEnter(p => names.push((p.target as { name: string } | undefined)?.name));
    delta(sync => {
      enters(sync, 0, 1, { name: 'ann', target: { slot: 1, generation: 1 } });
      sync.enter(1, 1, playerValues({ name: 'bob', target: { slot: 0, generation: 1 } }));
    });
    expect(names).toEqual(['bob', 'ann']);
  });
});

describe('callbacks', () => {
  test('registered late are told of what is in view already', () => {
    delta(sync => enters(sync, 0, 1));
    const seen: string[] = [];
    players.onEnter(p => seen.push(p.name));
    expect(seen).toEqual(['ann']);
  });

  test('registered during a frame are told once', () => {
    const seen: string[] = [];
    players.onEnter(() => {
      if (seen.length === 0) players.onEnter(p => seen.push(p.name));
    });
    delta(sync => {
      enters(sync, 0, 1);
      sync.enter(1, 1, playerValues({ name: 'bob' }));
    });
    expect(seen).toEqual(['ann', 'bob']);
  });

  test('a class with an id of its own keeps that', () => {
    delta(sync => {
      sync.pool(dropsPool);
      sync.enter(4, 1, { id: 9, count: 1 });
    });
    expect(drops.get(4)!.id).toBe(9);
  });

  test('only pools with synced fields are seen', () => {
    expect(Object.keys(view.pools)).toEqual(['players', 'drops']);
  });
});
