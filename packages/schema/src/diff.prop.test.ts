import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as S from './index.ts';
import {
  check,
  describe,
  diff,
  kindOf,
  layoutHash,
  pool,
  ref,
  relateKinds,
  state,
  variants,
  type AnyKind,
  type StateSchema,
} from './index.ts';
import { anyKind, POOL, structFields, structNamed, valueOf } from './testing/arbitrary.ts';

type Parts = Record<string, AnyKind>;
function stateOf(record: Parts, root: Parts, family: Parts, reverse = false): StateSchema {
  const [A, B] = [structNamed(record, 'A'), structNamed(family, 'B')];
  const pools = { [POOL]: pool(A, { capacity: 9 }), family: pool(variants(reverse ? { B, A } : { A, B })) };
  return state({ ...root, ...pools, last: ref(POOL) } as never);
}

const parts = () => structFields(anyKind(true, 1));

test('a layout does not differ from itself, however its classes are ordered', () => {
  fc.assert(
    fc.property(parts(), parts(), parts(), (record, root, family) => {
      const schema = stateOf(record, root, family);
      expect(diff(schema, schema)).toEqual([]);
      expect(diff(describe(schema), stateOf(record, root, family, true))).toEqual([]);
      expect(diff(JSON.parse(JSON.stringify(describe(schema))), schema)).toEqual([]);
    }),
    { numRuns: 100 },
  );
});

const KINDS: Record<string, AnyKind> = {
  u8: kindOf(S.u8),
  u16: kindOf(S.u16),
  text: kindOf(S.text()),
  bool: kindOf(S.bool),
};

// Few names and kinds, so that two of them are equal now and then.
function fewParts(): fc.Arbitrary<Parts> {
  return fc
    .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom(...Object.keys(KINDS))), {
      minLength: 1,
      maxLength: 2,
      selector: ([name]) => name,
    })
    .map(entries => Object.fromEntries(entries.map(([name, tag]) => [name, KINDS[tag]!])));
}

test('nothing differs exactly when the hashes are equal', () => {
  let equal = 0;
  fc.assert(
    fc.property(fewParts(), fewParts(), fc.option(fewParts(), { nil: undefined }), (one, two, root) => {
      const [a, b] = [stateOf(one, root ?? one, one), stateOf(two, root ?? two, two)];
      const same = layoutHash(a) === layoutHash(b);
      if (same) equal++;
      expect(diff(a, b).length === 0).toBe(same);
    }),
    { numRuns: 1000 },
  );
  expect(equal).toBeGreaterThan(0);
});

/** Nothing was renamed. */
const NAMES: S.LayoutNames = {
  pool: name => name,
  struct: name => name,
  field: (_from, _to, field) => field.name,
};

interface Edit {
  readonly keep: boolean;
  readonly rename: boolean;
  readonly order: number;
}

test('what was edited is told, and nothing else', () => {
  const edits = fc.array(fc.record({ keep: fc.boolean(), rename: fc.boolean(), order: fc.nat() }), {
    minLength: 6,
    maxLength: 6,
  });
  fc.assert(
    fc.property(parts(), parts(), edits, (before, added, how) => {
      const names = Object.keys(before);
      const edit = new Map<string, Edit>(names.map((name, index) => [name, how[index]!]));
      const kept = names.filter(name => edit.get(name)!.keep).sort((a, b) => edit.get(a)!.order - edit.get(b)!.order);
      const after: Parts = {};
      for (const name of kept) {
        const kind = before[name]!;
        if (edit.get(name)!.rename) after[`was_${name}`] = (kind as unknown as S.AnyKindBase).was(name) as never;
        else after[name] = kind;
      }
      for (const [name, kind] of Object.entries(added)) after[`new_${name}`] = kind;
      const changes = diff(stateOf(before, before, before), stateOf(after, before, before)).filter(
        change => change.pool === POOL && change.of === 'field' && change.class === undefined,
      );
      const of = (what: string) => changes.filter(({ change }) => change === what).map(({ name }) => name);
      expect(of('added').sort()).toEqual(
        Object.keys(added)
          .map(name => `new_${name}`)
          .sort(),
      );
      expect(of('removed').sort()).toEqual(names.filter(name => !kept.includes(name)).sort());
      expect(of('renamed').sort()).toEqual(
        kept
          .filter(name => edit.get(name)!.rename)
          .map(name => `was_${name}`)
          .sort(),
      );
      const places = kept.map(name => names.indexOf(name));
      expect(of('reordered').length).toBe(
        places.some((place, index) => index > 0 && place < places[index - 1]!) ? 1 : 0,
      );
      expect([...of('widened'), ...of('narrowed'), ...of('kind'), ...of('resized')]).toEqual([]);
    }),
    { numRuns: 200 },
  );
});

/** Kinds whose values need no conversion among each other. */
function plainKind(): fc.Arbitrary<AnyKind> {
  const converted = (kind: AnyKind): boolean =>
    kind.tag === 'bool' || kind.tag === 'u64' || kind.tag === 'i64' || S.innerKinds(kind).some(converted);
  return anyKind(true, 2).filter(kind => !converted(kind));
}

test('what is called lossless fits', () => {
  let looked = 0;
  fc.assert(
    fc.property(
      fc
        .tuple(plainKind(), plainKind())
        .chain(([from, to]) => fc.tuple(fc.constant(from), fc.constant(to), valueOf(from))),
      ([from, to, value]) => {
        const { effect } = relateKinds(from, to, NAMES);
        expect(relateKinds(from, from, NAMES)).toMatchObject({ change: 'same', effect: 'lossless' });
        if (effect !== 'lossless') return;
        looked++;
        expect(check(to, value)).toBe(undefined);
      },
    ),
    { numRuns: 1500 },
  );
  expect(looked).toBeGreaterThan(0);
});

test('the way back of a lossless change is one', () => {
  fc.assert(
    fc.property(anyKind(true, 1), anyKind(true, 1), (from, to) => {
      const there = relateKinds(from, to, NAMES);
      const back = relateKinds(to, from, NAMES);
      expect(there.change === 'same').toBe(back.change === 'same');
      if (there.effect === 'lossless' && !there.inexact) expect(back.effect).not.toBe('refused');
      if (there.change === 'widened' && there.effect === 'lossless') expect(back.effect).toBe('checked');
    }),
    { numRuns: 1000 },
  );
});
