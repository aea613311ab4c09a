import { expect, test } from 'vitest';
import * as S from './index.ts';

const coded = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

const action = (): void => {};
const mode = S.machine({
  initial: 'chase',
  states: {
    idle: { to: ['chase'], on: { hurt: 'dead' } },
    chase: { to: ['idle'], after: [5_000, 'idle'], enter: action },
    dead: {},
  },
});
class Npc extends S.struct({ hp: S.u8, mode: mode.sync }) {}
const stateOf = (kind: unknown, options = {}) => {
  const Class = class extends (S.struct({ mode: kind } as never) as unknown as S.StructClass) {};
  Object.defineProperty(Class, 'name', { value: 'Npc' });
  return S.state({ npcs: S.pool(Class, options) } as never);
};

test('a machine is three words of time, timer and state', () => {
  const kind = S.kindOf(mode);
  expect(kind).toMatchObject({
    tag: 'machine',
    bytes: 24,
    align: 8,
    initial: 'chase',
    names: ['idle', 'chase', 'dead'],
  });
  expect(S.machineLayout).toEqual({ since: 0, timer: 8, state: 16, entered: 20 });
  expect(S.describeKind(kind)).toBe('machine(idle, chase, dead)');
  expect(S.zeroOf(kind)).toBe('chase');
  expect(S.hasMachine(S.kindOf(Npc))).toBe(true);
  expect((kind as S.MachineShape).code!['chase']!.enter).toBe(action);
});

test('it takes a name or a machine of the same states', () => {
  const kind = S.kindOf(mode);
  expect(S.check(kind, 'dead')).toBe(undefined);
  expect(S.check(kind, { state: 'dead' })).toBe(undefined);
  expect(S.check(kind, 'sleep')).toBe("'sleep' is not a state ('idle', 'chase', 'dead')");
  expect(S.check(kind, 3)).toBe("3 is not a state ('idle', 'chase', 'dead')");
  expect(S.copyValue(kind, { state: 'dead' })).toBe('dead');
});

test('the catalog has names and transitions, the hash only the names', () => {
  const catalog = JSON.parse(JSON.stringify(S.describe(stateOf(mode))));
  expect(catalog.pools[0].record.fields[0].kind).toEqual({
    tag: 'machine',
    names: ['idle', 'chase', 'dead'],
    chart: {
      initial: 'chase',
      states: {
        idle: { to: ['chase'], on: { hurt: 'dead' } },
        chase: { to: ['idle'], after: [5_000, 'idle'] },
        dead: {},
      },
    },
  });
  const read = S.fromDescription(catalog);
  expect(S.describe(read)).toEqual(catalog);
  expect(read.pools[0].layout.fields[0]).toMatchObject({ initial: 'chase', kind: { code: undefined } });
  const other = S.machine({ initial: 'idle', states: { idle: {}, chase: { after: [1, 'idle'] }, dead: {} } });
  expect(S.layoutHash(stateOf(other))).toBe(S.layoutHash(stateOf(mode)));
  expect(S.diff(stateOf(mode), stateOf(other))).toEqual([]);
  const names = S.machine({ initial: 'idle', states: { chase: {}, idle: {}, dead: {} } });
  expect(S.layoutHash(stateOf(names))).not.toBe(S.layoutHash(stateOf(mode)));
});

test.each<[(kind: any) => void, RegExp]>([
  [kind => void (kind.names = ['idle', 'chase']), /states differ from its chart/],
  [kind => void (kind.chart.initial = 'x'), /starts in x, which is no state/],
  [kind => void (kind.chart.states.idle.to = ['x']), /leads to x, which is no state/],
  [kind => void (kind.chart = 3), /a chart is not an object/],
  [kind => void (kind.names[0] = 'dead'), /states differ from its chart/],
])('a catalog with another chart is refused: %s', (change, message) => {
  const catalog = JSON.parse(JSON.stringify(S.describe(stateOf(mode))));
  change(catalog.pools[0].record.fields[0].kind);
  expect(() => S.fromDescription(catalog)).toThrow(coded('SCHEMA_CATALOG', message));
});

test('differences of states', () => {
  const states = (...names: string[]) =>
    stateOf(S.machine({ initial: names[0]!, states: Object.fromEntries(names.map(name => [name, {}])) } as never));
  const told = (from: S.DiffSide, to: S.DiffSide) =>
    S.diff(from, to).map(({ change, effect }) => `${change} ${effect}`);
  expect(told(states('a', 'b'), states('a', 'b', 'c'))).toEqual(['widened lossless']);
  expect(told(states('a', 'b'), states('b', 'a'))).toEqual(['reordered lossless']);
  expect(told(states('a', 'b'), states('a'))).toEqual(['narrowed checked']);
  expect(told(stateOf(S.oneOf('a', 'b')), states('b', 'a'))).toEqual(['kind lossless']);
  expect(told(states('a', 'b'), stateOf(S.oneOf('a')))).toEqual(['kind checked']);
  expect(told(states('a'), stateOf(S.text(1)))).toEqual(['kind lossless']);
});

test('clients read the name of the state', () => {
  const plan = S.syncPlanOf(S.state({ npcs: S.pool(Npc) }));
  const { codec } = plan.pools[0].fields[0];
  const writer = new S.Writer(64);
  codec.write(writer, { state: 'dead' });
  codec.write(writer, 'idle');
  const reader = new S.Reader(writer.finish());
  expect([codec.read(reader), codec.read(reader)]).toEqual(['dead', 'idle']);
  expect(() => codec.write(writer, 'sleep')).toThrow(coded('SCHEMA_RANGE', /'sleep' is not a state/));
  expect(S.mirrorOf(Npc, { mode: 'dead' }).mode).toBe('dead');
  const other = S.machine({ initial: 'idle', states: { idle: {}, chase: {}, dead: {} } }).sync;
  class Npc2 extends S.struct({ hp: S.u8, mode: other }) {}
  expect(S.syncPlanOf(S.state({ npcs: S.pool(Npc2) })).hash).toBe(plan.hash);
});

const machine = S.machine as (declared: unknown) => unknown;
test.each<[string, () => unknown, RegExp]>([
  ['no state', () => machine({ initial: 'a', states: {} }), /a machine takes 1\.\.65536 states, not 0/],
  ['no initial', () => machine({ states: { a: {} } }), /starts in undefined, which is no state of it \(a\)/],
  ['a wrong target', () => machine({ initial: 'a', states: { a: { to: ['b'] } } }), /to of a leads to b/],
  ['a wrong event', () => machine({ initial: 'a', states: { a: { on: { go: 'b' } } } }), /event go of a leads to b/],
  ['a wrong timeout', () => machine({ initial: 'a', states: { a: { after: [1, 'b'] } } }), /after of a leads to b/],
  ['after 0', () => machine({ initial: 'a', states: { a: { after: [0, 'a'] } } }), /ms = 1\.\.2\^47, not 0,a/],
  ['after 1.5', () => machine({ initial: 'a', states: { a: { after: [1.5, 'a'] } } }), /not 1\.5,a/],
  ['after as a number', () => machine({ initial: 'a', states: { a: { after: 5 } } }), /after of a is \[ms, state\]/],
  ['to as a text', () => machine({ initial: 'a', states: { a: { to: 'a' } } }), /to of a is no list/],
  ['a slip', () => machine({ initial: 'a', states: { a: { onEnter: action } } }), /a has onEnter, a state has to, on/],
  ['an action by name', () => machine({ initial: 'a', states: { a: { enter: 'go' } } }), /enter of a is no function/],
  ['an initial value', () => (mode as any).init('idle'), /starts in 'chase': say initial in the declaration/],
  ['a list of them', () => S.list(mode), /the element of list\(…\) is a machine: a machine is a field of a record/],
  ['an array of its records', () => S.array(Npc, 3), /is Npc, which has a machine/],
  ['an optional one', () => S.optional(mode), /is a machine/],
])('%s is refused', (_, declare, message) => {
  expect(declare).toThrow(coded('SCHEMA_KIND', message));
});

test('a machine is not sent in a message', () => {
  expect(() => S.protocol({ a: S.command({ mode } as never) })).toThrow(
    coded('SCHEMA_PROTOCOL', /field mode of a has a machine, which is no value: use oneOf/),
  );
});
