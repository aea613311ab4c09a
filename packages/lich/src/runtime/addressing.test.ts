/** Commands and requests by instance, by key, and to all of a kind; who counts as one. */
import { command, int, own, protocol, request, state } from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { rendezvous, hashOfKey, seedOf } from '../bus/index.ts';
import { removeNode } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Peer, type Running, startService, stopAll, until } from '../testing/service-rig.ts';
import type { Answer } from './requests.ts';
import { service } from './service.ts';

const BankProtocol = protocol({ note: command({ n: int }), which: request({ n: int }, { n: int }) });
const bank = service('bank', {
  state: state({ noted: int, last: int }),
  protocol: BankProtocol,
  on: {
    note({ state: s }, { n }) {
      s.noted++;
      s.last = n;
    },
    which: ({ state: s }, { n }) => {
      s.noted++;
      return { n: s.noted * 1_000 + n };
    },
  },
});
const told: number[] = [];
const shop = service('shop', {
  state: state({ answers: int }),
  protocol: protocol({ ask: own({ n: int }) }),
  on: {},
  answers: {
    told(_: unknown, answer: Answer) {
      told.push(answer.of(bank, 'which').n);
    },
  },
  flows: {
    *ask(ctx, { n }) {
      const { n: answer } = yield* ctx.call(bank, 'which', { n }, { key: n });
      yield* ctx.send(bank, 'note', { n: answer }, { key: n });
      yield* ctx.send(bank, 'note', { n: answer }, 'all');
    },
  },
});

let running: (Running | Peer)[] = [];
afterEach(async () => {
  await stopAll(running);
  told.length = 0;
  removeTestDirs();
});
async function start(what: any, dir: string, name?: string, limits: object = {}): Promise<Running> {
  const one = await startService(what, { dir, ...(name && { name }), limits: { logBytes: 1 << 18, ...limits } });
  running.push(one);
  return one;
}
async function world(instances: number): Promise<{ dir: string; shop: Running; banks: Running[] }> {
  const dir = testDir();
  const banks: Running[] = [];
  for (let k = 1; k <= instances; k++) banks.push(await start(bank, dir, `bank-${k}`));
  const from = await start(shop, dir);
  return { dir, shop: from, banks };
}
const owner = (key: number, instances: readonly number[]): number =>
  instances[
    rendezvous(
      hashOfKey(key),
      instances.map(n => seedOf(`bank-${n}`)),
    )
  ]!;
const noted = (banks: readonly Running[]): number[] => banks.map(each => each.state.noted);
const sum = (banks: readonly Running[]): number => noted(banks).reduce((a, b) => a + b, 0);

describe('a command', () => {
  it('goes to the first instance, to one by number, to the one that has a key, to all', async () => {
    const { shop: from, banks } = await world(3);
    const send = (where: any): boolean => {
      let sent = false;
      from.core.transact(() => void (sent = from.logic.send(bank, 'note', { n: 1 }, where)));
      return sent;
    };
    expect([1, 2, { instance: 3 }, { instance: 3 }].map(send)).toEqual([true, true, true, true]);
    await until(() => sum(banks) === 4);
    expect(noted(banks)).toEqual([1, 1, 2]);
    const keys = Array.from({ length: 60 }, (_, k) => k);
    const expected = [1, 1, 2];
    for (const key of keys) {
      expected[owner(key, [1, 2, 3]) - 1]!++;
      expect(send({ key })).toBe(true);
    }
    await until(() => sum(banks) === 64);
    expect(noted(banks)).toEqual(expected);
    expect(send('all')).toBe(true);
    await until(() => sum(banks) === 67);
    expect(noted(banks)).toEqual(expected.map(n => n + 1));
    for (const wrong of [{ key: 1.5 }, { key: undefined }])
      expect(() => send(wrong)).toThrow(/a key is a whole number/);
    for (const wrong of [{ instance: 4 }, 9]) expect(() => send(wrong)).toThrow(/no node bank-/);
  });

  it('to all goes to none where one has no room, and to nobody where there is nobody', async () => {
    const dir = testDir();
    const paused = await Peer.start(dir, 'bank-2');
    running.push(paused);
    const there = await start(bank, dir, 'bank-1');
    const from = await start(shop, dir, 'shop-1', { lanesBytes: 1 << 20, maxLaneBytes: 65_536 });
    paused.paused = true;
    let sent = 0;
    for (let full = false; !full; sent += full ? 0 : 1)
      from.core.transact(() => void (full = !from.logic.send(bank, 'note', { n: 1 }, 'all')));
    await until(() => there.state.noted === sent);
    paused.paused = false;
    await until(() => paused.heard.length === sent);
    from.core.transact(() => expect(from.logic.send({ ...bank, name: 'nobody' }, 'note', { n: 1 }, 'all')).toBe(true));
    from.core.transact(() =>
      expect(() => from.logic.send({ ...bank, name: 'nobody' }, 'note', { n: 1 }, { key: 1 })).toThrow(
        expect.objectContaining({ code: 'BUS_UNKNOWN_NODE' }),
      ),
    );
  });
});

describe('a request and a flow', () => {
  it('ask the instance that has a key', async () => {
    const { shop: from, banks } = await world(3);
    const keys = [11, 12, 13, 14, 15];
    const expected = [0, 0, 0];
    for (const key of keys) expected[owner(key, [1, 2, 3]) - 1]!++;
    from.core.transact(() => {
      for (const key of keys) from.logic.ask(bank, 'which', { n: key }, { key, answer: 'told' });
    });
    await until(() => told.length === keys.length);
    expect(noted(banks)).toEqual(expected);
    from.core.transact(() => void from.logic.startFlow('ask', { n: 11 }));
    await until(() => sum(banks) === 5 + 1 + 1 + 3);
    const at = owner(11, [1, 2, 3]);
    expect(banks[at - 1]!.state.noted).toBe(expected[at - 1]! + 3);
    const last = banks[at - 1]!.state.last;
    expect(banks.map(each => each.state.last)).toEqual([last, last, last]);
    await until(() => from.core.store.pools.get('$flows')!.size === 0);
  });
});

describe('who counts', () => {
  it('an instance that is down keeps its keys, one that is new takes its share, one that was removed gives them up', async () => {
    const { dir, shop: from, banks } = await world(2);
    const keys = Array.from({ length: 40 }, (_, k) => k);
    const nodes = (): string[] =>
      keys.map(key => from.core.directory.byIndex(from.logic.bus.members.nodeOf('bank', key))!.name);
    const owners = (instances: number[]): string[] => keys.map(key => `bank-${owner(key, instances)}`);
    expect(nodes()).toEqual(owners([1, 2]));
    await banks[1]!.stop();
    running = running.filter(each => each !== banks[1]);
    expect(nodes()).toEqual(owners([1, 2]));
    await start(bank, dir, 'bank-7');
    await until(() => from.logic.bus.members.of('bank').nodes.length === 3);
    expect(nodes()).toEqual(owners([1, 2, 7]));
    removeNode(dir, 'bank-2');
    await until(() => from.logic.bus.members.of('bank').nodes.length === 2);
    expect(nodes()).toEqual(owners([1, 7]));
    await start(bank, dir, 'bank-2');
    await until(() => from.logic.bus.members.of('bank').nodes.length === 3);
    expect(nodes()).toEqual(owners([1, 2, 7]));
  });

  it('is part of the state: the next life sends where this one did', async () => {
    const { dir, shop: from } = await world(3);
    const before = from.logic.bus.members.of('bank').nodes;
    await from.stop();
    running = running.filter(each => each !== from);
    const again = await start(shop, dir);
    expect(again.logic.bus.members.of('bank').nodes).toEqual(before);
  });
});
