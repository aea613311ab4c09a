/** The bus as people look at it, and what they do to it: two nodes in one process, over real segments. */
import * as fs from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { BusLook, latencyUs, type PairLook, typeOf, whatWaits } from '../bus/index.ts';
import { giveUp } from '../runtime/drops.ts';
import { MetricsSource, prometheusText } from '../runtime/report/metrics.ts';
import { ANSWER } from '../runtime/system-messages.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Peer, until } from '../testing/service-rig.ts';
import { LaneTrace } from './trace.ts';

const TYPE = typeOf(7, 1);
let peers: Peer[] = [];
let dir = '';
const looks: BusLook[] = [];

async function start(name: string, talksTo?: readonly string[]): Promise<Peer> {
  const peer = await Peer.start(dir, name, { dataBytes: 1 << 20, maxLaneBytes: 1 << 18 }, talksTo);
  peers.push(peer);
  return peer;
}

async function stop(peer: Peer): Promise<void> {
  peers = peers.filter(each => each !== peer);
  await peer.stop();
}

afterEach(async () => {
  for (const look of looks.splice(0)) look.close();
  for (const peer of peers.splice(0)) await peer.stop();
  removeTestDirs();
});

async function pairOfPeers(): Promise<{ a: Peer; b: Peer; look: BusLook }> {
  dir = testDir();
  const a = await start('a-1');
  const b = await start('b-1');
  const look = new BusLook(dir);
  looks.push(look);
  return { a, b, look };
}

const from = (pairs: readonly PairLook[], sender: string): PairLook | undefined =>
  pairs.find(pair => pair.from === sender);
const say = (to: Peer, by: Peer, n: number, bytes = 16): void => {
  for (let k = 0; k < n; k++) by.say(to.index, TYPE, k, 0, new Uint8Array(bytes));
};

describe('a look at the bus', () => {
  it('counts what was handled and what waits, and says since when', async () => {
    const { a, b, look } = await pairOfPeers();
    expect(look.pairs()).toEqual([]);
    say(b, a, 5);
    await until(() => b.heard.length === 5);
    await until(() => from(look.pairs(), 'a-1')?.messages === 5);
    const first = from(look.pairs(), 'a-1')!;
    expect(first).toMatchObject({ to: 'b-1', ringBytes: 65_536, waitingBytes: 0, bytes: 5 * 32 });
    expect(first.lanes).toMatchObject([{ priority: 'data', bytes: 65_536, sealed: false, waitingBytes: 0 }]);
    expect(first.oldestMs).toBeUndefined();
    expect(first.latency.reduce((sum, n) => sum + n, 0)).toBeGreaterThan(0);
    expect(latencyUs(first.latency, 0.5)).toBeGreaterThan(0);

    b.paused = true;
    say(b, a, 7, 100);
    await until(() => from(look.pairs(), 'a-1')!.waitingBytes > 0);
    const then = from(look.pairs(), 'a-1')!;
    expect(then).toMatchObject({ waitingMessages: 7, waitingBytes: 7 * 128, messages: 5 });
    await until(() => from(look.pairs(), 'a-1')!.oldestMs! > then.oldestMs!);
    expect(from(look.pairs({ count: false }), 'a-1')!.waitingMessages).toBeUndefined();

    b.paused = false;
    await until(() => from(look.pairs(), 'a-1')!.messages === 12);
    expect(from(look.pairs(), 'a-1')).toMatchObject({ waitingMessages: 0, waitingBytes: 0, bytes: 5 * 32 + 7 * 128 });
  });

  it('a lane that waits over several rings is counted whole, and of dead nodes what they committed', async () => {
    const { a, b } = await pairOfPeers();
    await stop(b);
    // Nothing of it is shown before the loop turns.
    say(b, a, 20, 10_000);
    expect(from(whatWaits(dir), 'a-1')?.waitingMessages ?? 0).toBe(0);
    await stop(a);
    const [waiting] = whatWaits(dir);
    expect(waiting).toMatchObject({ from: 'a-1', to: 'b-1', waitingMessages: 20 });
    expect(waiting!.lanes.some(({ sealed }) => sealed)).toBe(true);
    expect(whatWaits(dir, name => name === 'b-1')).toHaveLength(1);
    expect(whatWaits(dir, name => name === 'c-1')).toEqual([]);
    const again = await start('b-1');
    await until(() => again.heard.length === 20);
    expect(again.heard.map(({ a: n }) => n)).toEqual(Array.from({ length: 20 }, (_, k) => k));
    await stop(again);
    expect(whatWaits(dir)).toEqual([]);
  });

  it('Prometheus rows, with a histogram that adds up', async () => {
    const { a, b, look } = await pairOfPeers();
    say(b, a, 3);
    await until(() => from(look.pairs(), 'a-1')?.messages === 3);
    const source = new MetricsSource(dir);
    const text = prometheusText(source.busSamples());
    source.close();
    expect(text).toContain('# TYPE lich_bus_messages_total counter\nlich_bus_messages_total{from="a-1",to="b-1"} 3\n');
    expect(text).toContain('lich_bus_waiting_bytes{from="a-1",to="b-1"} 0\n');
    expect(text.match(/# TYPE lich_bus_latency_seconds histogram/g)).toHaveLength(1);
    const counts = [...text.matchAll(/latency_seconds_bucket\{from="a-1",to="b-1",le="([^"]+)"\} (\d+)/g)];
    expect(counts.map(found => found[1])).toEqual([
      '0.00001',
      '0.00003',
      '0.0001',
      '0.0003',
      '0.001',
      '0.004',
      '0.016667',
      '+Inf',
    ]);
    const values = counts.map(found => Number(found[2]));
    expect(values).toEqual([...values].sort((x, y) => x - y));
    expect(text).toContain(`lich_bus_latency_seconds_count{from="a-1",to="b-1"} ${values.at(-1)}\n`);
  });

  it('a trace shows what passes, in order, and counts what it leaves out', async () => {
    const { a, b } = await pairOfPeers();
    say(b, a, 3);
    await until(() => b.heard.length === 3);
    const trace = new LaneTrace(dir, 'a-1');
    // What was there before is not shown.
    expect(trace.next(100)).toEqual([]);
    say(b, a, 5, 40);
    b.say(a.index, ANSWER, 1, 2);
    await until(() => b.heard.length === 8 && a.heard.length === 1);
    const seen = trace.next(4);
    expect(seen.map(({ from, to, what, bytes }) => `${from} ${to} ${what} ${bytes}`)).toEqual(
      Array.from({ length: 4 }, () => 'a-1 b-1 1 of protocol tag 7 48'),
    );
    expect(trace.skipped).toBe(2);
    b.say(a.index, ANSWER, 1, 2);
    await until(() => a.heard.length === 2);
    expect(trace.next(4)).toMatchObject([{ from: 'b-1', to: 'a-1', what: 'ANSWER', bytes: 0 }]);
    // Round the ring several times, faster than anybody looks.
    for (let k = 0; k < 30; k++) {
      say(b, a, 1, 30_000);
      await until(() => b.heard.length === 9 + k);
    }
    trace.next(100);
    expect(trace.skipped).toBeGreaterThan(2);
    trace.close();
    expect(() => new LaneTrace(dir, 'c-1')).toThrow(expect.objectContaining({ code: 'SHM_NOT_FOUND' }));
  });
});

describe('giving up what waits', () => {
  it.each([true, false])('for a node that is gone; its sender runs: %s', async runs => {
    const { a, b, look } = await pairOfPeers();
    say(b, a, 2);
    await until(() => b.heard.length === 2);
    await stop(b);
    say(b, a, 20, 10_000);
    let sender = a;
    if (!runs) await stop(a);
    else await until(() => from(look.pairs(), 'a-1')!.waitingMessages === 20);
    const done = giveUp(dir, 'a-1', 'b-1');
    if (runs) {
      const { order } = done as { order: string };
      await until(() => !fs.existsSync(order));
      expect(a.lines).toContainEqual(
        expect.objectContaining({ data: expect.objectContaining({ to: 'b-1', messages: 20 }) }),
      );
      expect(fs.readdirSync(`${dir}/orders/a-1`)).toEqual([]);
    } else {
      expect(done).toMatchObject({ messages: 20 });
      sender = await start('a-1');
    }
    expect(whatWaits(dir)).toEqual([]);
    // It comes back all the same, and goes on behind what was given up.
    const again = await start('b-1');
    say(again, sender, 3);
    await until(() => again.heard.length === 3);
    expect(again.heard.map(({ a: n }) => n)).toEqual([0, 1, 2]);
    await until(() => from(look.pairs(), 'a-1')!.waitingBytes === 0);
    // Rings that were full are given back.
    await until(() => sender.core.bus.outbox.lanes().length === 1);
  });

  it('not while the receiver runs, nor for nodes that nobody knows', async () => {
    const { a, b } = await pairOfPeers();
    expect(() => giveUp(dir, 'a-1', 'b-1')).toThrow(expect.objectContaining({ code: 'RUNTIME_IN_USE' }));
    expect(() => giveUp(dir, 'a-1', 'c-1')).toThrow(expect.objectContaining({ code: 'BUS_UNKNOWN_NODE' }));
    // It came back before the sender got to it.
    await stop(b);
    const { order } = giveUp(dir, 'a-1', 'b-1') as { order: string };
    const again = await start('b-1');
    await until(() => !fs.existsSync(order));
    const said = order.replace(/json$/, 'error');
    if (fs.existsSync(said)) expect(fs.readFileSync(said, 'utf8')).toContain('RUNTIME_IN_USE');
    say(again, a, 1);
    await until(() => again.heard.length === 1);
  });
});

describe('lanes that are made at start', () => {
  it('are there before anything is sent, stay, and there are no others', async () => {
    dir = testDir();
    const c = await start('c-1');
    const a = await start('a-1', ['b-1']);
    const b = await start('b-1', ['a-1']);
    // Who was not there yet is met by the next tidying.
    await until(() => a.core.bus.outbox.isOpen(b.index) && b.core.bus.outbox.isOpen(a.index));
    expect(a.core.bus.outbox.lanes()).toMatchObject([{ peer: b.index, sizeBytes: 65_536, sealed: false }]);
    expect(() => a.say(c.index, TYPE, 0, 0)).toThrow(expect.objectContaining({ code: 'BUS_UNDECLARED' }));
    say(b, a, 10, 20_000);
    await until(() => b.heard.length === 10);
    // Larger ones that were needed for a while are given back; an open one is kept, however idle it is.
    await until(() => a.core.bus.outbox.lanes().length === 1);
    a.core.bus.outbox.tidy(a.core.now + 1e6, 0);
    a.core.bus.outbox.tidy(a.core.now + 2e6, 0);
    expect(a.core.bus.outbox.lanes()).toMatchObject([{ peer: b.index, sealed: false }]);
    await stop(a);
    const again = await start('a-1', ['b-1']);
    expect(again.core.bus.outbox.lanes()).toHaveLength(1);
    say(b, again, 1);
    await until(() => b.heard.length === 11);
  });

  it('more than there is room for are refused at start', async () => {
    dir = testDir();
    for (const name of ['b-1', 'b-2', 'b-3']) await start(name);
    const failed = Peer.start(dir, 'a-1', { dataBytes: 131_072, maxLaneBytes: 65_536 }, ['b-1', 'b-2', 'b-3']);
    await expect(failed).rejects.toMatchObject({ code: 'BUS_NO_ROOM' });
  });
});
