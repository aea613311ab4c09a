import {
  array,
  bool,
  bytes,
  f32,
  f64,
  i16,
  i32,
  i64,
  i8,
  int,
  list,
  map,
  oneOf,
  pool,
  ref,
  state,
  struct,
  text,
  u16,
  u32,
  u64,
  u8,
} from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { memorySegment } from '../testing/memory-segment.ts';
import { openStore, plain, storePlan } from './index.ts';

class Vec extends struct({ x: f32, y: f32 }) {
  get length() {
    return Math.hypot(this.x, this.y);
  }
}
class Item extends struct({ kind: u16, count: int }) {}
class Player extends struct({
  name: text(24),
  hp: i32.init(100),
  a: u8,
  b: i8,
  c: u16,
  d: i16,
  e: u32,
  g: f64,
  big: u64,
  sbig: i64,
  gold: int,
  alive: bool.init(true),
  mood: oneOf('calm', 'angry', 'sad').init('sad'),
  data: bytes(10),
  pos: Vec,
  mate: ref<Player>('players'),
  slots: array(u8, 6),
  path: list(Vec, 4),
  tags: list(text(6), 3),
  bag: map(int, Item, 8),
  names: map(text(8), i32, 4),
}) {
  get dead() {
    return this.hp <= 0;
  }
  hurt(n: number) {
    this.hp -= n;
  }
}
const Schema = state({
  players: pool(Player, { capacity: 100 }),
  round: int.init(7),
  title: text(10),
  counts: map(oneOf('a', 'b'), u32, 2),
});

function open() {
  const plan = storePlan(Schema, { logWords: 1 << 14 });
  const segment = memorySegment({ regions: plan.regions, catalog: plan.catalog });
  return { plan, segment, store: openStore(segment, plan) };
}

describe('store', () => {
  it('reads and writes every kind', () => {
    const { store } = open();
    const { state: s, log } = store;
    expect(s.round).toBe(7);
    log.begin();
    const p = s.players.create({
      name: 'Ann',
      gold: 5,
      pos: { x: 1, y: 2 },
      slots: [1, 2],
      path: [{ x: 3 }],
      bag: [[1, { kind: 2, count: 3 }]],
    });
    expect(plain(p)).toEqual({
      name: 'Ann',
      hp: 100,
      a: 0,
      b: 0,
      c: 0,
      d: 0,
      e: 0,
      g: 0,
      big: 0n,
      sbig: 0n,
      gold: 5,
      alive: true,
      mood: 'sad',
      data: new Uint8Array(0),
      pos: { x: 1, y: 2 },
      mate: undefined,
      slots: [1, 2, 0, 0, 0, 0],
      path: [{ x: 3, y: 0 }],
      tags: [],
      bag: [[1, { kind: 2, count: 3 }]],
      names: [],
    });
    p.a = 255;
    p.b = -128;
    p.c = 65535;
    p.d = -3;
    p.e = 0xffff_ffff;
    p.g = Math.PI;
    p.big = 2n ** 64n - 1n;
    p.sbig = -1n;
    p.alive = false;
    p.mood = 'angry';
    p.data = new Uint8Array([1, 2, 3]);
    p.mate = p;
    p.name = 'Bob the builder, long';
    p.pos.x = 9;
    expect([p.a, p.b, p.c, p.d, p.e, p.g, p.big, p.sbig, p.alive, p.mood, p.name, p.pos.x]).toEqual([
      255,
      -128,
      65535,
      -3,
      0xffff_ffff,
      Math.PI,
      2n ** 64n - 1n,
      -1n,
      false,
      'angry',
      'Bob the builder, long',
      9,
    ]);
    expect(p.mate).toBe(p);
    expect(p.pos).toBe(p.pos);
    p.hurt(130);
    expect(p.dead).toBe(true);
    log.commit();
    expect(store.check()).toEqual([]);
    expect(s.players.size).toBe(1);
    expect(p instanceof Player).toBe(true);
    expect(Object.keys(p)).toEqual(Object.keys(Player.fields));
  });
});
