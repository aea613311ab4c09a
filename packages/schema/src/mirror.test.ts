import { expect, test } from 'vitest';
import {
  array,
  check,
  f32,
  i32,
  kindOf,
  mirrorOf,
  nested,
  RECORD_REF,
  recordRefOf,
  ref,
  struct,
  text,
  u8,
  value,
  updateMirror,
} from './index.ts';

class Vec extends struct({ x: f32.sync, y: f32 }) {
  get length() {
    return Math.hypot(this.x, this.y ?? 0);
  }
}
class Player extends struct({
  name: text(8),
  hp: i32.sync,
  at: nested(Vec).sync,
  way: array(Vec, 2).sync,
  target: ref<Player>('players').sync,
}) {
  get dead() {
    return this.hp <= 0;
  }
  describe() {
    return `${this.hp}${this.target?.dead === true ? '!' : ''}`;
  }
}

test('a mirror is an instance with own data, whose methods and getters work', () => {
  const mirror = mirrorOf(Player, {
    hp: 0,
    at: { x: 3, y: 4 },
    way: [
      { x: 1, y: 0 },
      { x: 0, y: 2 },
    ],
  });
  expect(mirror).toBeInstanceOf(Player);
  expect(mirror.dead).toBe(true);
  expect(mirror.describe()).toBe('0');
  expect(mirror.at).toBeInstanceOf(Vec);
  expect(mirror.at.length).toBe(5);
  expect(mirror.way.map(at => at.length)).toEqual([1, 2]);
  expect(Object.keys(mirror)).toEqual(['hp', 'at', 'way']);
  expect(JSON.parse(JSON.stringify(mirror))).toEqual({
    hp: 0,
    at: { x: 3, y: 4 },
    way: [
      { x: 1, y: 0 },
      { x: 0, y: 2 },
    ],
  });
});

test('a change keeps the identity of nested structs', () => {
  const mirror = mirrorOf(Player, { hp: 5, at: { x: 3, y: 4 } });
  const { at } = mirror;
  updateMirror(Player, mirror, { hp: 6, at: { x: 0, y: 1 } });
  expect(mirror.at).toBe(at);
  expect([mirror.hp, at.x, at.length]).toEqual([6, 0, 1]);
});

test('it says its ref', () => {
  const mirror = mirrorOf(Player, { hp: 5 }, { ref: { pool: 'players', slot: 3, generation: 7 } });
  expect(recordRefOf(mirror)).toEqual({ pool: 'players', slot: 3, generation: 7 });
  expect(mirror[RECORD_REF]?.slot).toBe(3);
  expect(recordRefOf(mirrorOf(Player, {}))).toBe(undefined);
});

test('refs lead to mirrors, also in a circle, and read undefined once gone', () => {
  const seen = new Map<number, object>();
  const resolve = (pool: string, to: { slot: number }) => (pool === 'players' ? seen.get(to.slot) : undefined);
  const a = mirrorOf(Player, { hp: 5, target: { slot: 2, generation: 1 } }, { resolve });
  const b = mirrorOf(Player, { hp: 0, target: { slot: 1, generation: 1 } }, { resolve });
  expect(a.target).toBe(undefined);
  seen.set(1, a).set(2, b);
  expect(a.target).toBe(b);
  expect(b.target?.target).toBe(b);
  expect(a.describe()).toBe('5!');
  expect(JSON.parse(JSON.stringify(a))).toEqual({ hp: 5, target: { slot: 2, generation: 1 } });
  updateMirror(Player, a, { target: undefined });
  expect(a.target).toBe(undefined);
  seen.delete(1);
  expect(b.target).toBe(undefined);
  expect(mirrorOf(Player, { target: { slot: 2, generation: 1 } }).target).toEqual({ slot: 2, generation: 1 });
});

test('names that are no fields are left out', () => {
  expect(Object.keys(mirrorOf(Player, { hp: 1, dead: false, $n: 3 }))).toEqual(['hp']);
});

test('a value is a whole record outside of any state', () => {
  class Pet extends struct({ age: u8.init(3), at: Vec, likes: array(u8) }) {
    older(): number {
      return this.age + 1;
    }
  }
  const pet = value(Pet, { at: { x: 2 }, likes: [1] });
  expect(pet).toEqual(Object.assign(Object.create(Pet.prototype), { age: 3, at: value(Vec, { x: 2 }), likes: [1] }));
  expect([pet.older(), value(Pet, { age: 9 }).older()]).toEqual([4, 10]);
  expect(check(kindOf(Pet), pet)).toBe(undefined);
  expect(() => value(Pet, { age: 300 })).toThrow(
    expect.objectContaining({ code: 'SCHEMA_RANGE', message: 'value of Pet: age: 300 is not a u8 (0..255)' }),
  );
});
