/** A recorded node that sends by key and to all, keeps updates for a receiver that is too slow, publishes and hears, over two
 * lives: done again it is the same bytes, without anybody there to send to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bytes, command, int, map, msgpack, protocol, state, struct, text, topic } from '@lich/schema';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DEFAULT_LIMITS, Directory, payloadCodec, sizeOf, typeOf } from '../../bus/index.ts';
import { dumpSegment, openDump, openReader } from '../../state/index.ts';
import { memorySegment } from '../../testing/memory-segment.ts';
import { Peer, type Running, startService, stopAll, until } from '../../testing/service-rig.ts';
import { hear } from '../hear.ts';
import { serviceCore } from '../node-process.ts';
import { service } from '../service.ts';
import { tagOfProtocol } from '../system-messages.ts';
import { firstDifference } from './compare.ts';
import { Inputs } from './inputs.ts';
import { requestRecord } from './recording.ts';
import { Replay } from './replay.ts';
import { runTwice } from './twice.ts';

class At extends struct({ x: int }) {}
const Board = protocol({
  put: command({ key: int, value: int, note: text(20) }, { replaces: 'key' }),
  all: command(msgpack<{ readonly n: number }>()),
});
const board = { name: 'board', protocol: Board };
const Hub = protocol({
  go: command({ n: int }),
  blob: command(bytes()),
  moved: command({ at: At, more: int.init(4) }),
  price: topic({ n: int }),
});
/** The version of before, which somebody still says. */
const Former = protocol({ moved: command({ at: At, less: int }) });
const hub = service('hub', {
  state: state({ heard: int, slow: int, sum: int, last: map(int, int) }),
  protocol: Hub,
  on: {
    go(ctx, { n }) {
      for (let k = 0; k < 3; k++) ctx.send(board, 'put', { key: n % 5, value: n, note: `no ${n}` }, { key: n + k });
      if (n % 3 === 0 && !ctx.send(board, 'all', { n }, 'all')) ctx.state.slow++;
      if (!ctx.publish('price', { n })) ctx.state.slow++;
      if (n % 11 === 0) throw new Error('on purpose');
    },
    blob({ state: s }, said) {
      for (const byte of said) s.sum += byte;
    },
    moved({ state: s }, { at, more }) {
      s.sum += at.x * more;
    },
  },
  hears: {
    prices: {
      topic: hear({ name: 'hub', protocol: Hub }, 'price'),
      handle({ state: s }, { n }, from) {
        s.heard++;
        s.last.set(n % 3, n + from.length);
      },
    },
  },
});

let dir: string;
const running: (Running | Peer)[] = [];
beforeEach(() => void (dir = mkdtempSync('/dev/shm/lich-record-')));
afterEach(async () => {
  await stopAll(running);
  rmSync(dir, { recursive: true, force: true });
});
const said = (of: typeof Hub | typeof Former, name: string, value: unknown): [type: number, bytes: Uint8Array] => {
  const message = of.byName.get(name)!;
  const codec = payloadCodec(message.layout, { resolve: () => undefined });
  const memory = memorySegment({ regions: [{ name: 'data', bytes: 4_096 }] });
  const size = sizeOf(codec, value);
  codec.write(memory, 8_192, value as never);
  return [typeOf(tagOfProtocol(of), message.id), memory.u8.slice(8_192, 8_192 + size)];
};

it('by key, to all, newest, topics, another version: the same bytes, forwards, backwards, twice', async () => {
  requestRecord(dir, 'hub-1', 2 ** 21);
  const limits = { lanesBytes: 1 << 20, maxLaneBytes: 65_536 };
  const start = async (): Promise<Running> => {
    const one = await startService(hub, { dir, limits });
    running.push(one);
    return one;
  };
  // Whoever says it first notes what it means.
  running.push(
    await startService(service('hub', { state: state({}), protocol: Former, on: { moved() {} } }), {
      dir,
      name: 'hub-9',
    }),
  );
  const [peer, slow, fast] = [
    await Peer.start(dir, 'peer-1'),
    await Peer.start(dir, 'board-1'),
    await Peer.start(dir, 'board-2'),
  ];
  running.push(peer, slow, fast);
  let one = await start();
  const dump = (name: string): string => {
    const path = join(dir, name);
    dumpSegment(one.core.store.segment, path, { packing: 'none' });
    return path;
  };
  const base = dump('base.dump');
  slow.paused = true;
  const MANY = 800;
  let sent = 0;
  const say = (to: number): void => {
    for (; sent < to; sent++) {
      const [type, payload] = said(Hub, 'go', { n: sent });
      peer.say(one.core.self.index, type, 0, 0, payload);
    }
  };
  say(MANY);
  const handled = (): number => one.logic.counts.handled + one.logic.counts.failed;
  await until(() => handled() >= MANY && one.logic.bus.latest.size > 0);
  running.splice(running.indexOf(one), 1);
  await one.stop();
  one = await start();
  const others: [number, Uint8Array][] = [
    said(Hub, 'blob', new Uint8Array([1, 2, 3])),
    said(Former, 'moved', { at: { x: 5 }, less: 1 }),
  ];
  for (const [type, payload] of others) peer.say(one.core.self.index, type, 0, 0, payload);
  say(MANY + 50);
  await until(() => one.state.sum === 6 + 20 && one.state.heard > 0);
  slow.paused = false;
  await until(() => one.logic.bus.latest.size === 0);
  const end = dump('end.dump');
  const k = Number(openReader(openDump(end).segment, { hidden: true }).snapshot(of => of.root()['$k']));
  running.splice(running.indexOf(one), 1);
  await one.stop();
  const { id } = new Directory(dir, DEFAULT_LIMITS.nodes).byName('hub-1');
  const quiet = { info() {}, warn() {}, error() {} };
  const replay = Replay.open({
    dir,
    node: 'hub-1',
    dump: base,
    inputs: new Inputs(dir, 'hub-1'),
    core: (where, name) => serviceCore(hub, {}, { dir: where, name, id, log: quiet, limits }),
  });
  try {
    replay.to(k);
    expect(firstDifference(replay.segment, openDump(end).segment)).toBeUndefined();
    replay.to(replay.firstK + 3);
    replay.to(k);
    expect(firstDifference(replay.segment, openDump(end).segment)).toBeUndefined();
    replay.to(replay.firstK);
    expect(runTwice(replay, k)).toBeUndefined();
  } finally {
    replay.close();
  }
});
