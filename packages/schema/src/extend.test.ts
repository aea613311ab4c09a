import { expect, test } from 'vitest';
import * as S from './index.ts';

const coded = (message: RegExp) =>
  expect.objectContaining({ code: 'SCHEMA_STRUCT', message: expect.stringMatching(message) });

class Animal extends S.struct({ hp: S.i32.init(10), x: S.f32.sync }) {
  static legs = 4;
  get dead(): boolean {
    return this.hp <= 0;
  }
  name(): string {
    return `animal ${this.hp}`;
  }
}
class Wolf extends S.extend(Animal, { rage: S.f32 }) {
  override name(): string {
    return `wolf, ${super.name()}`;
  }
}
class Alpha extends S.extend(Wolf, { pack: S.u16 }) {}

const names = (struct: S.StructClass) => S.layoutOf(struct).fields.map(field => [field.name, field.offset]);

test('the fields of the base come first, at their places', () => {
  expect(names(Wolf)).toEqual([...names(Animal), ['rage', 8]]);
  expect(names(Alpha)).toEqual([...names(Wolf), ['pack', 12]]);
  expect(Wolf.legs).toBe(4);
  expect(Object.keys(Animal.fields)).toEqual(['hp', 'x']);
  for (const each of [Animal, Wolf, Alpha]) S.validateStructClass(each);
  expect(S.zeroOf(S.kindOf(Alpha))).toEqual({ hp: 10, x: 0, rage: 0, pack: 0 });
});

test('methods, getters, super and instanceof come along', () => {
  const alpha = S.mirrorOf(Alpha, { hp: 3, x: 0, rage: 1, pack: 2 });
  expect(alpha.name()).toBe('wolf, animal 3');
  expect(alpha.dead).toBe(false);
  expect(alpha instanceof Animal && alpha instanceof Wolf && alpha instanceof Alpha).toBe(true);
  expect(S.mirrorOf(Animal, { hp: 3 }) instanceof Wolf).toBe(false);
  expect({} instanceof (Animal as unknown as new () => object)).toBe(false);
  expect((null as unknown) instanceof Animal).toBe(false);
});

class Swims extends S.struct({ depth: S.f32 }) {
  dive(): number {
    return this.depth;
  }
}
class Flies extends S.struct({ height: S.f32 }) {
  get aloft(): boolean {
    return this.height > 0;
  }
  set aloft(on: boolean) {
    this.height = on ? 1 : 0;
  }
}
class Duck extends S.mix(Swims, Flies, { quacks: S.u8 }) {
  both(): number {
    return this.dive() + this.height;
  }
}
class Left extends S.extend(Animal, { l: S.u8 }) {}
class Right extends S.extend(Animal, { r: S.u8 }) {}
class Both extends S.mix(Left, Right) {}
class Mule extends S.extend(Both, { load: S.u8 }) {}

test('several bases: fields and members of all', () => {
  expect(names(Duck).map(([name]) => name)).toEqual(['depth', 'height', 'quacks']);
  S.validateStructClass(Duck);
  const duck = S.mirrorOf(Duck, { depth: 2, height: 3, quacks: 1 }) as never as Duck;
  expect([duck.both(), duck.dive(), duck.aloft]).toEqual([5, 2, true]);
  duck.aloft = false;
  expect(duck.height).toBe(0);
  expect(duck instanceof Swims && duck instanceof Flies && duck instanceof Duck).toBe(true);
  expect(duck instanceof Animal).toBe(false);
  expect(S.mirrorOf(Swims, { depth: 1 }) instanceof Duck).toBe(false);
});

test('what two bases have from one common base is there once', () => {
  expect(names(Both).map(([name]) => name)).toEqual(['hp', 'x', 'l', 'r']);
  const mule = S.mirrorOf(Mule, { hp: 0, load: 1 });
  expect(mule.dead).toBe(true);
  for (const base of [Mule, Both, Left, Right, Animal]) expect(mule instanceof base).toBe(true);
});

class Loud extends S.struct({ volume: S.u8 }) {
  dive(): number {
    return this.volume;
  }
}
class Deep extends S.struct({ depth: S.f64 }) {}
class Height extends S.struct({ n: S.u8 }) {
  get height(): number {
    return this.n;
  }
}
class Cached extends S.struct({ a: S.u8 }) {
  cache = 1;
}

test.each<[string, () => unknown, RegExp]>([
  ['a field twice', () => S.extend(Animal, { hp: S.u8 } as never), /extend\(Animal\): Animal has a field hp already/],
  ['a field over a getter', () => S.extend(Animal, { dead: S.u8 } as never), /dead is a method or getter of Animal/],
  ['a base with a class field', () => S.extend(Cached, { b: S.u8 }), /Cached: the class field cache/],
  ['no base', () => S.extend(Date as never, {}), /extend takes a class that extends struct/],
  ['two methods', () => S.mix(Swims, Loud), /mix\(Swims, Loud\): Swims and Loud both have dive/],
  ['two fields', () => S.mix(Swims, Deep), /Swims and Deep both have depth/],
  ['a field and a getter', () => S.mix(Flies, Height), /Flies and Height both have height/],
  ['a new field twice', () => S.mix(Swims, { depth: S.u8 } as never), /Swims and the new fields both have depth/],
  ['a new field over a method', () => S.mix(Swims, { dive: S.u8 } as never), /the new fields and Swims both have dive/],
  ['nothing', () => (S.mix as () => unknown)(), /mix takes record classes/],
])('%s is refused', (_, declare, message) => {
  expect(declare).toThrow(coded(message));
});

test('a class field of a derived class is found as in any other', () => {
  class Bad extends S.extend(Animal, { n: S.u8 }) {
    hidden = 1;
  }
  class Worse extends S.mix(Swims, Flies) {
    #secret = 1;
    peek() {
      return this.#secret;
    }
  }
  expect(() => S.validateStructClass(Bad)).toThrow(coded(/Bad: the class field hidden/));
  expect(() => S.validateStructClass(Worse)).toThrow(coded(/Worse: #secret/));
});
