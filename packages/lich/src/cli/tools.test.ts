/** Paths, queries, values and differences, over states in memory that were dumped. */
import { join } from 'node:path';
import {
  array,
  bool,
  bytes,
  f64,
  int,
  list,
  map,
  oneOf,
  optional,
  pool,
  ref,
  state,
  struct,
  text,
  u16,
  u64,
  variants,
} from '@lich/schema';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { dumpSegment, openReader, openStore, type Store, storePlan } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { diff } from './diff.ts';
import { inspect } from './inspect.ts';
import { follow, parsePath } from './path.ts';
import { size, table } from './text.ts';
import { UsageError } from './usage.ts';

class Item extends struct({ kind: u16, count: int }) {}
class Vec extends struct({ x: f64, y: f64 }) {}
class Unit extends struct({
  name: text(12),
  pos: Vec,
  hp: int.init(100),
  alive: bool.init(true),
  mood: oneOf('calm', 'angry'),
  big: u64,
  data: bytes(8),
  bag: map(u16, Item, 4),
  names: map(text(6), int, 4),
  way: list(Vec, 3),
  slots: array(u16, 3),
  mate: ref('units'),
}) {}
const Schema = state({ units: pool(Unit, { capacity: 40 }), round: int.init(7), counts: map(text(4), int, 4) });
const plan = storePlan(Schema, { logWords: 1 << 14 });

function storeOf(fill: (state: any) => void, of = plan): Store<any> {
  const segment = memorySegment({
    regions: of.regions,
    catalog: of.catalog,
    layoutHash: of.layoutHash,
    name: 'arena-1',
  });
  const store = openStore(segment, of as typeof plan) as Store<any>;
  store.log.begin();
  fill(store.state);
  store.log.commit();
  return store;
}

function people(s: any): void {
  for (const [k, name] of ['Ann', 'Bo', 'Cy', 'Dee', 'Eve'].entries()) {
    const unit = s.units.create({ name, hp: k * 25, pos: { x: k, y: 0.5 }, big: 2n ** 40n + BigInt(k), alive: k > 0 });
    unit.bag.set(k, { kind: k, count: 10 * k });
    unit.names.set('sword', k);
    unit.way.push({ x: k, y: k });
    unit.data = new Uint8Array([k, 255]);
  }
  s.units.get(0).mate = s.units.get(1);
  s.units.get(1).mate = s.units.get(4);
  s.units.destroy(s.units.get(4));
  s.counts.set('all', 4);
}

const files = testDir();
afterAll(removeTestDirs);
let made = 0;
function dumped(store: Store<any>): string {
  const file = join(files, `${made++}.dump`);
  dumpSegment(store.segment, file);
  return file;
}

/** What a command prints, and its exit code. */
function said(run: () => number): { code: number; out: string; errors: string } {
  let out = '';
  let errors = '';
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(text => ((out += String(text)), true)),
    vi.spyOn(process.stderr, 'write').mockImplementation(text => ((errors += String(text)), true)),
  ];
  try {
    return { code: run(), out, errors };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
const print = (...args: string[]) => {
  let result!: { code: number; out: string; errors: string };
  const code = (result = said(() => inspect(args))).code;
  return { ...result, code };
};

describe('paths', () => {
  const { segment } = storeOf(people);
  const reader = openReader(segment);
  const at = (path: string, limit = 100) =>
    reader.snapshot(s => follow(reader.layouts, s, parsePath(path), limit).found.map(one => [one.where, one.value]));

  const cases: readonly (readonly [path: string, ...found: unknown[][]])[] = [
    ['round', ['round', 7]],
    ['counts["all"]', ['counts["all"]', 4]],
    ['counts.all', ['counts["all"]', 4]],
    ["counts['none']"],
    ['units[1].name', ['units[1].name', 'Bo']],
    ['units[4].name'],
    ['units[99].name'],
    ['units[0].name', ['units[0].name', 'Ann']],
    ['units[name="Bo"].hp', ['units[1].hp', 25]],
    ['units[name=Bo].pos.x', ['units[1].pos.x', 1]],
    ['units[hp>=50].name', ['units[2].name', 'Cy'], ['units[3].name', 'Dee']],
    ['units[hp<25].name', ['units[0].name', 'Ann']],
    ['units[hp!=25].hp', ['units[0].hp', 0], ['units[2].hp', 50], ['units[3].hp', 75]],
    ['units[alive=false].name', ['units[0].name', 'Ann']],
    ['units[pos.x>2].name', ['units[3].name', 'Dee']],
    ['units[mate=1].name', ['units[0].name', 'Ann']],
    ['units[big>1099511627777].name', ['units[2].name', 'Cy'], ['units[3].name', 'Dee']],
    ['units[2].bag[2].count', ['units[2].bag[2].count', 20]],
    ['units[2].bag[count>5].kind', ['units[2].bag[2].kind', 2]],
    ['units[2].way[0].y', ['units[2].way[0].y', 2]],
    ['units[2].way[7]'],
    ['units[2].slots[1]', ['units[2].slots[1]', 0]],
    ['units[2].names.sword', ['units[2].names["sword"]', 2]],
  ];
  it.each(cases.map(([path, ...wanted]) => ({ path, wanted })))('$path', ({ path, wanted }) => {
    expect(at(path)).toEqual(wanted);
  });

  it.each(['', '.x', '[3]', 'units[', 'units[name=]', 'units[3]..x', 'a b', 'units[name="x]'])('not %s', path => {
    expect(() => at(path)).toThrow(UsageError);
  });
  it.each([
    ['players', 'there is no players; there are units, round, counts'],
    ['units[0].nam', 'units[0] has no nam; it has name, pos'],
    ['units.name', 'units is a pool'],
    ['round[3]', 'round is int'],
  ])('%s says what there is', (path, message) => {
    expect(() => at(path)).toThrow(message);
  });

  it('counts what is beyond the limit', () => {
    const { found, more } = reader.snapshot(s => follow(reader.layouts, s, parsePath('units'), 3));
    expect(found.map(one => one.where)).toEqual(['units[0]', 'units[1]', 'units[2]']);
    expect(more).toBe(1);
  });
});

describe('inspect', () => {
  const file = dumped(storeOf(people));

  it('shows a record field by field, with refs that lead somewhere and refs that do not', () => {
    const { out, code } = print(file, 'units[1]');
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'units[1]: Unit, generation 1, stamp 16',
        '  name   text(12)                "Bo"',
        '  pos    Vec                     { x: 1, y: 0.5 }',
        '  hp     int                     25',
        '  alive  bool                    true',
        "  mood   oneOf('calm', 'angry')  calm",
        '  big    u64                     1099511627777',
        '  data   bytes(8)                <01ff>',
        '  bag    map(u16, Item, 4)       { 1: { kind: 1, count: 10 } }',
        '  names  map(text(6), int, 4)    { "sword": 1 }',
        '  way    list(Vec, 3)            [{ x: 1, y: 1 }]',
        '  slots  array(u16, 3)           [0, 0, 0]',
        "  mate   ref('units')            - (units[4] is gone)",
        '',
      ].join('\n'),
    );
    expect(print(file, 'units[0].mate').out).toBe('units[0].mate  units[1]\n');
  });

  it('says so when a path leads to nothing', () => {
    expect(print(file, 'units[33]')).toEqual({ code: 1, out: '', errors: 'units[33] leads to nothing\n' });
  });

  it('gives JSON that can be read', () => {
    const { out } = print(file, 'units[1]', '--json');
    expect(JSON.parse(out)).toMatchObject({
      more: 0,
      found: [
        { path: 'units[1]', generation: 1, value: { big: '1099511627777', data: '01ff', bag: [[1, { count: 10 }]] } },
      ],
    });
    expect(JSON.parse(print(file, '--json').out)).toMatchObject({
      from: 'dump',
      root: { round: 7, counts: [['all', 4]] },
    });
  });
});

describe('a family', () => {
  class Wolf extends struct({ hp: int, rage: f64 }) {}
  class Sheep extends struct({ hp: int, wool: array(u16), nick: optional(text()) }) {}
  const herd = storePlan(state({ animals: pool(variants({ Wolf, Sheep })) }), { logWords: 1 << 14 });
  const filled = (more: (s: any) => void = () => {}) =>
    storeOf(s => {
      s.animals.create('Sheep', { hp: 3, wool: [1, 2], nick: 'Dolly' });
      s.animals.create('Wolf', { hp: 9, rage: 0.5 });
      more(s);
    }, herd as never);
  const file = dumped(filled());

  it('shows each record by its class', () => {
    const { out } = print(file);
    expect(out).toContain('animals: pool of Sheep, Wolf\n  2 live (it grows), 2 slots used');
    expect(out).toMatch(
      /\n {2}Sheep\n {6}hp {4}int\n {6}wool {2}array\(u16\)\n {6}nick {2}optional\(text\(\)\)\n {2}Wolf\n/,
    );
    expect(print(file, 'animals[0]').out).toMatch(
      /^animals\[0\]: Sheep, .*\n {2}hp .* 3\n {2}wool .*\[1, 2\]\n {2}nick .*"Dolly"\n$/,
    );
    expect(print(file, 'animals[variant=Wolf].rage').out).toBe('animals[1].rage  0.5\n');
    expect(print(file, 'animals[0].nick').out).toBe('animals[0].nick  "Dolly"\n');
  });

  it('is compared class by class', () => {
    const after = filled(s => {
      s.animals.get(0).wool.push(3);
      s.animals.get(0).nick = undefined;
      s.animals.create('Sheep', { nick: 'Shaun' });
    });
    const { out } = said(() => diff([file, dumped(after)]));
    expect(out).toBe(
      [
        'animals: 1 added, 0 removed, 1 changed, 1 the same',
        '  ~ animals[0]',
        '      wool: [1, 2] -> [1, 2, 3]',
        '      nick: "Dolly" -> -',
        '  + animals[2]',
        '',
      ].join('\n'),
    );
  });
});

describe('diff', () => {
  const before = dumped(storeOf(people));
  const lines = (a: string, b: string, ...more: string[]) => {
    const { out, code } = said(() => diff([a, b, ...more]));
    return { code, lines: out.trimEnd().split('\n') };
  };

  it('finds two dumps of one state the same', () => {
    expect(lines(before, dumped(storeOf(people)))).toEqual({ code: 0, lines: ['the same'] });
  });

  it('lists fields with the old and the new value, records that came and went', () => {
    const after = storeOf(s => {
      people(s);
      s.round = 8;
      s.counts.set('new', 1);
      const bo = s.units.get(1);
      bo.pos.x = 9;
      bo.bag.get(1).count = 11;
      bo.bag.set(3, { kind: 3, count: 1 });
      bo.way.push({ x: 0, y: 0 });
      s.units.destroy(s.units.get(2));
      s.units.create({ name: 'Fay' });
      s.units.create({ name: 'Gus' });
    });
    expect(lines(before, dumped(after))).toEqual({
      code: 1,
      lines: [
        'root: 2 fields changed',
        '  ~ round: 7 -> 8',
        '  ~ counts[new]: - -> 1',
        'units: 2 added, 1 removed, 1 changed, 2 the same',
        '  ~ units[1] "Bo"',
        '      pos.x: 1 -> 9',
        '      bag[1].count: 10 -> 11',
        '      bag[3]: - -> { kind: 3, count: 1 }',
        '      way: [{ x: 1, y: 1 }] -> [{ x: 1, y: 1 }, { x: 0, y: 0 }]',
        '  - units[2] "Cy"',
        '  + units[2] "Fay"',
        '  + units[4] "Gus"',
      ],
    });
    expect(lines(before, dumped(after), '--limit', '1').lines.at(-1)).toBe(
      '  … 3 records more; --limit says how many are listed',
    );
    expect(JSON.parse(lines(before, dumped(after), '--json').lines.join('\n'))).toMatchObject({
      same: false,
      root: [{ path: 'round', a: 7, b: 8 }, {}],
      pools: [{ name: 'units', added: 2, removed: 1, changed: 1, same: 2 }],
    });
  });

  it('compares what both layouts have, and says how they differ', () => {
    const other = class Unit extends struct({ name: text(20), hp: f64, level: u16 }) {};
    const next = storePlan(state({ units: pool(other, { capacity: 40 }), round: int.init(7), extra: int }), {
      logWords: 1 << 14,
    });
    const after = storeOf(s => {
      s.units.create({ name: 'Ann', hp: 1, level: 3 });
    }, next as never);
    const found = lines(before, dumped(after));
    expect(found.code).toBe(1);
    const all = found.lines.join('\n');
    expect(all).toMatch(/^layout: \d+ differences\n/);
    expect(all).toMatch(/ {2}\+ .*level/);
    expect(all).toMatch(/ {2}- .*bag/);
    expect(all).toMatch(/ {2}~ .*name/);
    expect(all).toContain('  ~ units[0] "Ann"\n      hp: 0 -> 1\n');
  });
});

it('numbers and tables', () => {
  expect([0, 1023, 1024, 1_572_864, 5 * 2 ** 30].map(size)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 MiB', '5.0 GiB']);
  expect(
    table(
      [
        ['a', '1'],
        ['bbb', '22'],
      ],
      [1],
    ),
  ).toEqual(['  a     1', '  bbb  22']);
});
