// Families, extend and mix.
import * as S from './index.ts';
import type { FamilyPool, Init, Plain, RecordOfPool, StateOf, VariantRecord } from './index.ts';
import { expectType } from './testing/types.ts';
import type { Equal } from './testing/types.ts';

class Animal extends S.struct({ hp: S.i32, next: S.ref<Animal>('animals') }) {
  static legs = 4;
  get dead() {
    return this.hp <= 0;
  }
  hurt(by: number) {
    this.hp -= by;
    return this;
  }
}
class Wolf extends S.extend(Animal, { rage: S.f32, prey: S.ref<Sheep>('animals') }) {
  override get dead() {
    return super.dead && this.rage === 0;
  }
  howl() {
    return this.prey?.wool ?? 0;
  }
}
class Sheep extends S.extend(Animal, { wool: S.u16 }) {}
class Swims extends S.struct({ depth: S.f32 }) {
  dive() {
    return this.depth;
  }
}
class Otter extends S.mix(Animal, Swims, { fish: S.list(S.u8) }) {
  both() {
    return this.dive() + this.hp + this.fish.length;
  }
}
class Seal extends S.mix(Animal, Swims) {}

declare const wolf: Wolf;
declare const otter: Otter;
declare const seal: Seal;
expectType<Equal<typeof wolf.rage, number>>();
expectType<Equal<typeof wolf.hp, number>>();
expectType<Equal<typeof wolf.prey, Sheep | undefined>>();
expectType<Equal<typeof wolf.dead, boolean>>();
expectType<Equal<typeof Wolf.legs, number>>();
wolf.hurt(1).hurt(2);
const animal: Animal = wolf;
const swims: Swims = otter;
void swims;
expectType<Equal<typeof otter.hp, number>>();
expectType<Equal<ReturnType<typeof otter.dive>, number>>();
expectType<Equal<typeof seal.depth, number>>();
if (animal instanceof Wolf) animal.howl();
const init: Init<Wolf> = { hp: 1, rage: 2, prey: undefined };
void init;
expectType<Equal<keyof Init<Otter>, 'hp' | 'next' | 'depth' | 'fish'>>();
expectType<Equal<Plain<Wolf>['rage'], number>>();
expectType<Equal<keyof Plain<Wolf>, 'hp' | 'next' | 'rage' | 'prey'>>();
// @ts-expect-error no such field
const wrong: Init<Wolf> = { wool: 1 };
void wrong;
// @ts-expect-error the base has this field
S.extend(Animal, { hp: S.u8 });
// @ts-expect-error the base has this getter
S.extend(Animal, { dead: S.u8 });
// @ts-expect-error one of the bases has this method
S.mix(Animal, Swims, { dive: S.u8 });
// @ts-expect-error a record holds data only
S.extend(Animal, { think: () => 1 });
// @ts-expect-error a base is a record class
S.extend(Date, {});

const Animals = S.variants({ Wolf, Sheep });
const State = S.state({ animals: S.pool(Animals), others: S.pool(Animal) });
declare const state: StateOf<typeof State>;
expectType<Equal<typeof state.animals, FamilyPool<{ readonly Wolf: typeof Wolf; readonly Sheep: typeof Sheep }>>>();
const made = state.animals.create('Wolf', { rage: 1, hp: 2 });
expectType<Equal<typeof made.rage, number>>();
expectType<Equal<typeof made.variant, 'Wolf'>>();
const asWolf: Wolf = made;
void asWolf;
for (const each of state.animals) {
  each.hp -= 1;
  expectType<Equal<typeof each.variant, 'Wolf' | 'Sheep'>>();
  if (each.variant === 'Wolf') each.howl();
  else expectType<Equal<typeof each.wool, number>>();
  if (each instanceof Sheep) each.wool++;
  // @ts-expect-error only wolves have rage
  each.rage += 1;
}
expectType<Equal<Plain<typeof made>['variant'], 'Wolf'>>();
expectType<Equal<keyof Plain<typeof made>, 'hp' | 'next' | 'rage' | 'prey' | 'variant'>>();
state.animals.forEach(each => each.hurt(1));
state.animals.destroy(wolf as typeof made);
state.animals.get(3)?.hurt(1);
expectType<
  Equal<
    RecordOfPool<typeof State, 'animals'>,
    VariantRecord<{ readonly Wolf: typeof Wolf; readonly Sheep: typeof Sheep }>
  >
>();
expectType<Equal<RecordOfPool<typeof State, 'others'>, Animal>>();
// @ts-expect-error no such class
state.animals.create('Cow');
// @ts-expect-error sheep have no rage
state.animals.create('Sheep', { rage: 1 });
// @ts-expect-error a name is needed
state.animals.create({ hp: 1 });
class Kinded extends S.struct({ variant: S.u8 }) {}
// @ts-expect-error the name is taken
S.variants({ Kinded });
// @ts-expect-error a family holds record classes
S.variants({ Date });
