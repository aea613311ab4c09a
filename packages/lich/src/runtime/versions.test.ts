/** Two versions of a protocol side by side, the older one asking and being asked: what both have is understood, what is new
 * has its default, what changed is refused by name and not done. */
import {
  bytes,
  command,
  int,
  map,
  msgpack,
  own,
  protocol,
  request,
  state,
  struct,
  text,
  topic,
  u8,
} from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { payloadCodec, typeOf } from '../bus/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { Peer, type Running, startService, stopAll, until } from '../testing/service-rig.ts';
import { protocolProblems } from './deploy/outlook.ts';
import { rememberProtocol } from './former-protocols.ts';
import { hear } from './hear.ts';
import type { Answer } from './requests.ts';
import { service } from './service.ts';
import { ANSWER, tagOfProtocol } from './system-messages.ts';

class PriceOld extends struct({ value: int }) {}
class PriceNew extends struct({ value: int, cut: u8.init(3) }) {}

// What each version declares; the order of messages differs too.
const OLD = {
  note: command({ n: int, gone: text(4) }),
  charge: request({ amount: int }, { left: int }),
  moved: command({ to: int }),
  blob: request(bytes(), bytes()),
  free: request(msgpack<any>(), msgpack<any>()),
  narrow: request({ n: int }, { n: int }),
  priced: command({ price: PriceOld }),
  news: topic({ n: int }),
};
const NEW = {
  fresh: command({}),
  blob: request(bytes(), bytes()),
  priced: command({ price: PriceNew }),
  charge: request({ amount: int, tip: int.init(5) }, { left: int, thanks: text(8) }),
  free: request(msgpack<any>(), msgpack<any>()),
  note: command({ more: text(4).init('new'), n: int }),
  moved: command({ to: text(4) }),
  narrow: request({ n: int }, { n: text(8) }),
  news: topic({ n: int, why: text(8) }),
};

/** For `note`: the same in all versions. */
const NAMES = ['charge', 'blob', 'free', 'narrow'];
const handled: unknown[] = [];
const bankOf = (messages: object): any => {
  const protocolOf = protocol(messages as never);
  const on: Record<string, unknown> = {};
  for (const { name, role } of protocolOf.messages) {
    if (role === 'topic') continue;
    on[name] = (ctx: any, payload: any) => {
      handled.push([name, payload instanceof Uint8Array ? [...payload] : payload]);
      if (name === 'note') ctx.publish('news', { n: payload.n, why: 'because' });
      if (name === 'charge') return { left: 100 - payload.amount, thanks: 'thanks' };
      return role === 'request' ? payload : undefined;
    };
  }
  return service('bank', { state: state({ n: int }), protocol: protocolOf, on } as never);
};
let going: (ctx: any) => void = () => {};
const told: unknown[] = [];
const askerOf = (bank: any): any =>
  service('asker', {
    state: state({ sum: map(int, int) }),
    protocol: protocol({ go: command({}), flow: own({}) }),
    flows: {
      *flow(ctx: any): any {
        const reply = yield* ctx.call(bank, 'charge', { amount: 1 }, { withinMs: 600_000 });
        yield* ctx.do(() => void told.push(reply));
      },
    },
    on: { go: (ctx: any) => going(ctx) },
    answers: {
      told(_: unknown, answer: Answer, note: number) {
        const name = NAMES[note]!;
        const said: unknown = answer.failed ?? answer.of(bank, name as never);
        told.push(said instanceof Uint8Array ? [...said] : said);
      },
    },
    hears: { news: { topic: hear(bank, 'news' as never), handle: (_: unknown, news: any) => void told.push(news) } },
  } as never);

const running: (Running | Peer)[] = [];
afterEach(async () => {
  await stopAll(running);
  handled.length = 0;
  told.length = 0;
  removeTestDirs();
});

/** A server of one version, and who asks with the other one. */
async function world(
  server: object,
  asker: object,
): Promise<{ bank: Running; do(fn: (ctx: any, bank: any) => void): void }> {
  const dir = testDir();
  const limits = { logBytes: 1 << 18 };
  const bank = await startService(bankOf(server), { dir, limits });
  const meant = bankOf(asker);
  const asking = askerOf(meant);
  const from = await startService(asking, { dir, limits });
  running.push(bank, from);
  await until(() => bank.core.store.pools.get('$subscribers')!.size === 1);
  return {
    bank,
    do: fn => {
      going = ctx => fn(ctx, meant);
      from.core.transact(() => void from.logic.send(asking, 'go', {}, 1));
    },
  };
}
const ask = (ctx: any, bank: any, name: string, payload: unknown): number =>
  ctx.ask(bank, name, payload, { answer: 'told', note: NAMES.indexOf(name) });

describe('an old asker and a new server', () => {
  it('understand each other: defaults for what is new, without what is gone', async () => {
    const w = await world(NEW, OLD);
    w.do((ctx, bank) => {
      ctx.send(bank, 'note', { n: 7, gone: 'old' });
      ask(ctx, bank, 'charge', { amount: 30 });
      ctx.send(bank, 'priced', { price: { value: 4 } });
    });
    await until(() => told.length === 2 && handled.length === 3);
    expect(handled).toEqual([
      ['note', { more: 'new', n: 7 }],
      ['charge', { amount: 30, tip: 5 }],
      ['priced', { price: { value: 4, cut: 3 } }],
    ]);
    expect(told).toEqual([{ n: 7 }, { left: 70 }]);
  });

  it('refuse what changed by name, and it is not done', async () => {
    const w = await world(NEW, OLD);
    w.do((ctx, bank) => {
      ctx.send(bank, 'moved', { to: 1 });
      ask(ctx, bank, 'narrow', { n: 1 });
    });
    await until(() => told.length === 1 && (running[1] as Running).logic.counts.refused === 1);
    expect(told).toEqual([
      {
        code: 'RUNTIME_UNKNOWN_MESSAGE',
        message: 'bank takes no narrow: in its reply field n is text(8) there and int here',
      },
    ]);
    expect(handled).toEqual([]);
    expect(w.bank.logic.counts.unknown).toBe(2);
    expect(
      w.bank.lines.filter(({ message }) => message === 'a message was refused').map(({ data }) => data.why),
    ).toEqual([
      'moved: field to is int there and text(4) here',
      'narrow: in its reply field n is text(8) there and int here',
    ]);
    expect(
      (running[1] as Running).lines.find(({ message }) => /refused by its receiver/.test(message))!.data,
    ).toMatchObject({
      receiver: 'bank-1',
      why: 'it has other fields in its version',
    });
  });
});

describe('a new asker and an old server', () => {
  it('understand each other: without what is new, defaults for what the reply lacks', async () => {
    const w = await world(OLD, NEW);
    w.do((ctx, bank) => {
      ctx.send(bank, 'note', { n: 7 });
      ask(ctx, bank, 'charge', { amount: 30, tip: 1 });
      ctx.send(bank, 'priced', { price: { value: 4, cut: 9 } });
    });
    await until(() => told.length === 2 && handled.length === 3);
    expect(handled).toEqual([
      ['note', { n: 7, gone: '' }],
      ['charge', { amount: 30 }],
      ['priced', { price: { value: 4 } }],
    ]);
    expect(told).toEqual([
      { n: 7, why: '' },
      { left: 70, thanks: '' },
    ]);
  });

  it('refuse what changed, and what is not there yet', async () => {
    const w = await world(OLD, NEW);
    w.do((ctx, bank) => {
      ctx.send(bank, 'moved', { to: 'x' });
      ctx.send(bank, 'fresh', {});
      ask(ctx, bank, 'narrow', { n: 1 });
    });
    await until(() => told.length === 1 && (running[1] as Running).logic.counts.refused === 2);
    expect(handled).toEqual([]);
  });
});

describe('a request that waits while its asker becomes another version', () => {
  it.each([
    ['the old', OLD],
    ['the new', NEW],
  ])('is answered in the version that was asked, by %s server, and read in the new one', async (_, server) => {
    const dir = testDir();
    const limits = { logBytes: 1 << 18 };
    const peer = await Peer.start(dir, 'bank-1');
    running.push(peer);
    const old = bankOf(OLD);
    const before = await startService(askerOf(old), { dir, limits });
    running.push(before);
    before.core.transact(() => void ask(before.logic, old, 'charge', { amount: 1 }));
    before.core.transact(() => before.logic.post('flow', {}));
    const asked = () => peer.heard.filter(({ a }) => a > 0);
    await until(() => asked().length === 2);
    running.splice(running.indexOf(before), 1);
    await before.stop();
    const after = await startService(askerOf(bankOf(NEW)), { dir, limits });
    running.push(after);
    const { protocol: spoken } = bankOf(server);
    rememberProtocol(dir, { name: 'bank', protocol: spoken });
    const charge = spoken.byName.get('charge');
    const codec = payloadCodec(charge.reply, { resolve: () => undefined });
    const memory = memorySegment({ regions: [{ name: 'data', bytes: 256 }] });
    memory.i32[8192 / 4] = typeOf(tagOfProtocol(spoken), charge.id);
    codec.write(memory, 8192 + 8, { left: 7, thanks: 'thanks' });
    const reply = memory.u8.slice(8192, 8192 + 8 + codec.bytes);
    for (const { a, b } of asked()) peer.say(after.core.self.index, ANSWER, a, b, reply);
    await until(() => told.length === 2);
    expect(told).toEqual([
      { left: 7, thanks: '' },
      { left: 7, thanks: '' },
    ]);
  });
});

describe('a deploy', () => {
  it('may add and leave out fields between services, and is told what the two versions could not understand', () => {
    const problems = (before: object, after: object): string[] => protocolProblems(bankOf(before), bankOf(after));
    const { moved: _, narrow: __, ...rest } = NEW;
    const { moved: ___, narrow: ____, ...restOld } = OLD;
    expect(problems(restOld, rest)).toEqual([]);
    expect(problems(rest, restOld)).toEqual(['command `fresh` is gone: who is connected may say it still']);
    expect(problems(OLD, NEW)).toEqual([
      'command `moved` has other fields, or another reply, than before: field to is int there and text(4) here',
      'request `narrow` has other fields, or another reply, than before: field n is text(8) there and int here',
    ]);
  });
});

describe.each([
  ['an old asker and a new server', NEW, OLD],
  ['a new asker and an old server', OLD, NEW],
  ['both new', NEW, NEW],
])('%s', (_, server, asker) => {
  it('say bytes and msgpack to each other', async () => {
    const w = await world(server, asker);
    w.do((ctx, bank) => {
      ask(ctx, bank, 'blob', new Uint8Array([1, 2, 3]));
      ask(ctx, bank, 'free', { a: [1n, 'b'] });
    });
    await until(() => told.length === 2);
    expect(told).toEqual([[1, 2, 3], { a: [1n, 'b'] }]);
  });
});
