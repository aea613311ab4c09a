import { expect, test } from 'vitest';
import * as S from './index.ts';

const coded = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

class Player extends S.struct({ hp: S.i32 }) {}
class Bag extends S.struct({ items: S.list(S.u8, 2) }) {}
class Cached extends S.struct({ a: S.u8 }) {
  cache = 1;
}
const { command, event, own, protocol, request } = S;

test('messages are numbered in declared order and laid out', () => {
  const Arena = protocol({
    walk: command({ dx: S.f32, dy: S.f32 }),
    buy: request({ kind: S.u16 }, { count: S.int }),
    respawn: own({ who: S.ref<Player>('players') }),
    ping: event({}),
  });
  expect(Arena.messages.map(({ name, id, role }) => [name, id, role])).toEqual([
    ['walk', 0, 'command'],
    ['buy', 1, 'request'],
    ['respawn', 2, 'own'],
    ['ping', 3, 'event'],
  ]);
  expect(Arena.byName.get('buy')).toBe(Arena.messages[1]);
  expect(Arena.messages[1].layout).toMatchObject({ name: 'buy', bytes: 4, fields: [{ name: 'kind', offset: 0 }] });
  expect(Arena.messages[1].reply).toMatchObject({ name: 'buy.reply', bytes: 8 });
  expect(Arena.messages[0].reply).toBe(undefined);
  expect(Arena.messages[3].layout.bytes).toBe(0);
});

test('the hash tells protocols apart', () => {
  const hashes = [
    protocol({ a: command({ x: S.u8 }), b: event({}) }),
    protocol({ b: event({}), a: command({ x: S.u8 }) }),
    protocol({ a: own({ x: S.u8 }), b: event({}) }),
    protocol({ a: command({ x: S.i8 }), b: event({}) }),
    protocol({ a: command({ y: S.u8 }), b: event({}) }),
    protocol({ a: command({ x: S.u8 }) }),
    protocol({ a: request({ x: S.u8 }, {}), b: event({}) }),
    protocol({ a: request({ x: S.u8 }, { y: S.u8 }), b: event({}) }),
    protocol({ a: command({ x: S.ref('p') }), b: event({}) }),
    protocol({ a: command({ x: S.ref('q') }), b: event({}) }),
  ].map(({ hash }) => hash);
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(protocol({ a: command({ x: S.u8.init(3).sync }), b: event({}) }).hash).toBe(hashes[0]);
});

test('a nested struct tells protocols apart by its own fields', () => {
  const like = (fields: Record<string, unknown>) => {
    class V extends (S.struct(fields as never) as unknown as S.StructClass) {}
    return protocol({ a: command({ v: V }) } as never).hash;
  };
  expect(like({ x: S.f32 })).not.toBe(like({ y: S.f32 }));
  expect(like({ x: S.f32 })).not.toBe(like({ x: S.i32 }));
  expect(like({ x: S.f32 })).toBe(like({ x: S.f32 }));
});

test.each<[string, () => unknown, string, RegExp]>([
  [
    'a list',
    () => protocol({ a: command({ l: S.list(S.u8, 2) as never }) }),
    'SCHEMA_PROTOCOL',
    /field l of a is a list, which cannot be sent: use array\(kind, n\)/,
  ],
  [
    'a map inside a struct',
    () => protocol({ a: request({}, { b: S.array(Bag, 2) }) }),
    'SCHEMA_PROTOCOL',
    /field b of a\.reply, in its field items, is a list/,
  ],
  [
    'a function',
    () => protocol({ a: command({ f: (() => 0) as never }) }),
    'SCHEMA_KIND',
    /field f of a is a function/,
  ],
  ['a reserved field', () => protocol({ a: command({ $f: S.u8 }) }), 'SCHEMA_PROTOCOL', /field of a \$f/],
  ['a reserved name', () => protocol({ toString: command({}) }), 'SCHEMA_PROTOCOL', /message toString/],
  ['something else', () => protocol({ a: {} as never }), 'SCHEMA_PROTOCOL', /message a is not made by command/],
  [
    'a class with a field',
    () => protocol({ a: command({ c: Cached }) }),
    'SCHEMA_STRUCT',
    /^Cached: the class field cache/,
  ],
])('a protocol with %s is refused', (_, declare, code, message) => {
  expect(declare).toThrow(coded(code, message));
});

test('refs must name pools of the state', () => {
  const State = S.state({ players: S.pool(Player) });
  S.checkProtocol(protocol({ a: command({ who: S.ref('players') }) }), State);
  expect(() => S.checkProtocol(protocol({ a: request({}, { who: S.ref('plyers') }) }), State)).toThrow(
    coded('SCHEMA_STATE', /field who of a\.reply is a ref to pool `plyers`, which does not exist; there is `players`/),
  );
});

test('commands and requests say who may say them', () => {
  const P = protocol({
    walk: command({}),
    grant: command({ n: S.int }, { from: 'services' }),
    count: request({}, {}, { from: 'both' }),
    later: own({}),
  });
  expect(P.messages.map(({ from }) => from)).toEqual(['players', 'services', 'both', 'players']);
  // What nothing is said about is the protocol that it was; who may say it is part of it.
  expect(protocol({ a: command({}) }).hash).toBe(protocol({ a: command({}, { from: 'players' }) }).hash);
  expect(protocol({ a: command({}) }).hash).not.toBe(protocol({ a: command({}, { from: 'services' }) }).hash);
  expect(() => protocol({ a: command({}, { from: 'anybody' as never }) })).toThrow(
    coded('SCHEMA_PROTOCOL', /message a: from is anybody; want players, services, both/),
  );
});

test('commands and requests say whether they are control', () => {
  const P = protocol({
    walk: command({}),
    halt: command({}, { priority: 'control' }),
    where: request({}, {}, { from: 'both', priority: 'control' }),
  });
  expect(P.messages.map(({ priority }) => priority)).toEqual(['data', 'control', 'control']);
  expect(P.messages.map(({ from }) => from)).toEqual(['players', 'players', 'both']);
  // How it travels is no part of what is said: one side may be deployed before the other.
  expect(protocol({ a: command({}) }).hash).toBe(protocol({ a: command({}, { priority: 'control' }) }).hash);
  expect(() => protocol({ a: command({}, { priority: 'high' as never }) })).toThrow(
    coded('SCHEMA_PROTOCOL', /message a: priority is high; want data, control/),
  );
});

test('own messages say what becomes of them in a crash and in an outage', () => {
  const P = protocol({
    plain: own({}),
    careful: own({ n: S.int }, { onCrash: 'skip' }),
    late: own({}, { onOutage: 'shift' }),
    both: own({}, { onCrash: 'skip', onOutage: 'skip' }),
    other: command({}),
  });
  expect(P.messages.map(({ onCrash, onOutage }) => [onCrash, onOutage])).toEqual([
    ['retry', 'fire'],
    ['skip', 'fire'],
    ['retry', 'shift'],
    ['skip', 'skip'],
    ['retry', 'fire'],
  ]);
  // Clients do not see it: the protocol is the same.
  expect(protocol({ a: own({}) }).hash).toBe(protocol({ a: own({}, { onCrash: 'skip' }) }).hash);
  const wrong: [object, RegExp][] = [
    [{ onCrash: 'never' }, /own message a: onCrash is never; want retry, skip/],
    [{ onOutage: 'wait' }, /onOutage is wait; want fire, skip, shift/],
    [{ late: 'fire' }, /late is fire; want onCrash, onOutage/],
    [null as never, /options is null/],
  ];
  for (const [options, message] of wrong)
    expect(() => protocol({ a: own({}, options) })).toThrow(coded('SCHEMA_PROTOCOL', message));
});

test('a whole message may be bytes or msgpack', () => {
  const P = protocol({
    blob: command(S.bytes()),
    few: own(S.bytes(9)),
    free: request(S.msgpack<{ a: number }>(), S.bytes(), { from: 'services' }),
    shown: event(S.bytes()),
    said: S.topic(S.msgpack<string>()),
  });
  const [blob, few, free, shown, said] = P.messages.map(({ layout }) => layout.whole);
  expect([blob, few, free, shown, said]).toEqual([
    { form: 'bytes', most: 0 },
    { form: 'bytes', most: 9 },
    { form: 'msgpack', most: 0 },
    { form: 'bytes', most: 0 },
    { form: 'msgpack', most: 0 },
  ]);
  expect(P.byName.get('free')!.reply).toMatchObject({ name: 'free.reply', bytes: 0, whole: { form: 'bytes' } });
  const hashes = [
    protocol({ a: command({}) }),
    protocol({ a: command(S.bytes()) }),
    protocol({ a: command(S.bytes(4)) }),
    protocol({ a: command(S.msgpack()) }),
    protocol({ a: request({}, {}) }),
    protocol({ a: request({}, S.bytes()) }),
    protocol({ a: S.topic({}) }),
  ].map(({ hash }) => hash);
  expect(new Set(hashes).size).toBe(hashes.length);
  expect(() => protocol({ a: event(S.msgpack() as never) })).toThrow(
    coded('SCHEMA_PROTOCOL', /event a is msgpack, which players do not know: use bytes\(\)/),
  );
  expect(() => protocol({ a: command({ x: S.msgpack() as never }) })).toThrow(coded('SCHEMA_KIND', /field x of a/));
});

test('bytes go over the wire as they are, msgpack does not', () => {
  const P = protocol({ blob: command(S.bytes()), few: command(S.bytes(2)), free: command(S.msgpack()) });
  const [blob, few, free] = P.messages.map(S.payloadCodecOf);
  const writer = new S.Writer();
  blob.write(writer, new Uint8Array([1, 2, 3]));
  expect([...writer.view()]).toEqual([1, 2, 3]);
  const frame = new Uint8Array([9, 8]);
  const read = few.read(new S.Reader(frame));
  frame.fill(0);
  expect(read).toEqual(new Uint8Array([9, 8]));
  expect(() => few.read(new S.Reader(new Uint8Array(3)))).toThrow(coded('SCHEMA_WIRE', /3 bytes where 2 fit/));
  expect(() => few.write(writer, new Uint8Array(3))).toThrow(coded('SCHEMA_RANGE', /3 bytes do not fit/));
  expect(() => few.write(writer, { 0: 1 })).toThrow(coded('SCHEMA_RANGE', /not bytes/));
  for (const use of [() => free.write(writer, {}), () => free.read(new S.Reader())])
    expect(use).toThrow(coded('SCHEMA_PROTOCOL', /free is msgpack, which is for services alone/));
});

test('a state update says by which field a newer one replaces an older one', () => {
  const P = protocol({
    at: command({ who: S.ref<Player>('players'), x: S.f32 }, { replaces: 'who' }),
    price: S.topic({ symbol: S.text(8), value: S.int }, { replaces: 'symbol' }),
    plain: command({ n: S.int }),
  });
  expect(P.messages.map(({ replaces }) => replaces)).toEqual(['who', 'symbol', undefined]);
  // It is the sender's affair: the protocol is the same.
  expect(protocol({ a: command({ n: S.int }, { replaces: 'n' }) }).hash).toBe(
    protocol({ a: command({ n: S.int }) }).hash,
  );
  const wrong: [() => unknown, RegExp][] = [
    [() => command({ n: S.int }, { replaces: 'm' as never }), /replaces is m, which is no field of it/],
    [() => command({ n: S.f32 }, { replaces: 'n' }), /replaces is n, a f32; want a whole number/],
    [() => command({ n: S.text(65) }, { replaces: 'n' }), /a text\(65\)/],
    [() => command(S.bytes(), { replaces: 'n' as never }), /no field of it/],
  ];
  for (const [declare, message] of wrong)
    expect(() => protocol({ a: declare() as never })).toThrow(coded('SCHEMA_PROTOCOL', message));
});
