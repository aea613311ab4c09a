/** Control before data, through services over real segments: what is declared `priority: 'control'` overtakes what was sent
 * before, keeps its own order, and is answered in kind. */
import { command, int, list, protocol, request, state } from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { CONTROL, DATA, type Priority, payloadCodec, typeOf } from '../bus/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { Peer, type Running, startService, until } from '../testing/service-rig.ts';
import { service } from './service.ts';
import { ANSWER, REFUSAL, tagOfProtocol } from './system-messages.ts';

const P = protocol({
  step: command({ n: int }),
  halt: command({ n: int }, { priority: 'control' }),
  where: request({ n: int }, { n: int }, { priority: 'control' }),
});
const robot = service('robot', {
  state: state({ did: list(int) }),
  protocol: P,
  on: {
    step: ({ state: all }, { n }) => void all.did.push(n),
    halt({ state: all }, { n }) {
      all.did.push(-n);
      if (n === 13) throw new Error('a bug');
    },
    where: (_, { n }) => {
      if (n === 13) throw new Error('a bug');
      return { n: n + 1 };
    },
  },
});
const Boss = protocol({ tell: command({ n: int }) });
const boss = service('boss', {
  state: state({ told: int }),
  protocol: Boss,
  on: {
    tell(ctx, { n }) {
      ctx.send(robot, 'step', { n });
      ctx.send(robot, 'halt', { n });
    },
  },
});

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanUp.reverse()) await stop();
  cleanUp = [];
  removeTestDirs();
});

const type = (name: string, of: typeof P | typeof Boss = P): number =>
  typeOf(tagOfProtocol(of), of.byName.get(name)!.id);
function bytesOf(n: number): Uint8Array {
  const segment = memorySegment({ regions: [{ name: 'data', bytes: 256 }] });
  const { layout } = P.byName.get('step')!;
  payloadCodec(layout, { resolve: () => undefined }).write(segment, 8192, { n } as never);
  return segment.u8.slice(8192, 8192 + layout.bytes);
}

async function world(): Promise<{ robot: Running; peer: Peer; stream: (priority: Priority) => number; dir: string }> {
  const dir = testDir();
  const peer = await Peer.start(dir, 'peer-1');
  cleanUp.push(() => peer.stop());
  const running = await startService(robot, { dir, limits: { logBytes: 1 << 18 } });
  cleanUp.push(() => running.stop());
  // The robot's first batches are small.
  peer.core.bus.sweep();
  const stream = (priority: Priority): number => peer.core.bus.streamOf(running.core.self.index, priority);
  return { robot: running, peer, stream, dir };
}

describe('control', () => {
  it('is handled before data that was sent before it, each in its own order', async () => {
    const w = await world();
    for (let n = 1; n <= 100; n++) w.peer.say(w.stream(DATA), type('step'), 0, 0, bytesOf(n));
    for (let n = 1; n <= 40; n++) w.peer.say(w.stream(CONTROL), type('halt'), 0, 0, bytesOf(n + 100));
    await until(() => w.robot.state.did.length === 140);
    const did = [...w.robot.state.did] as number[];
    const [steps, halts] = [did.filter(n => n > 0), did.filter(n => n < 0)];
    expect(steps).toEqual(Array.from({ length: 100 }, (_, k) => k + 1));
    expect(halts).toEqual(Array.from({ length: 40 }, (_, k) => -k - 101));
    expect(did[0]).toBeLessThan(0);
    // Neither stops the other: of control that is left after a batch, data does not have to wait for the end.
    expect(did.lastIndexOf(-140)).toBeLessThan(did.indexOf(100));
  });

  it('a request is answered in control, also where it is refused', async () => {
    const w = await world();
    w.peer.say(w.stream(CONTROL), type('where'), 7, 9, bytesOf(4));
    w.peer.say(w.stream(CONTROL), type('where'), 8, 9, bytesOf(13));
    await until(() => w.peer.heard.length === 2);
    expect(w.peer.heard.map(heard => [heard.type, heard.a])).toEqual([
      [ANSWER, 7],
      [REFUSAL, 8],
    ]);
    const { inbox } = w.peer.core.bus;
    expect(inbox.headOf(w.stream(DATA))).toBe(0);
    expect(inbox.headOf(w.stream(CONTROL))).toBeGreaterThan(0);
  });

  it('a handler that throws is undone, and what follows is handled', async () => {
    const w = await world();
    for (const n of [1, 13, 2]) w.peer.say(w.stream(CONTROL), type('halt'), 0, 0, bytesOf(n));
    await until(() => w.robot.state.did.length === 2);
    expect([...w.robot.state.did]).toEqual([-1, -2]);
    expect(w.robot.logic.counts.failed).toBe(1);
  });

  it('is sent as it was declared', async () => {
    const w = await world();
    const { core, stop } = await startService(boss, { dir: w.dir, limits: { logBytes: 1 << 18 } });
    cleanUp.push(stop);
    w.peer.say(core.self.index, type('tell', Boss), 0, 0, bytesOf(5));
    await until(() => w.robot.state.did.length === 2);
    expect([...w.robot.state.did]).toEqual([-5, 5]);
    const { bus } = w.robot.core;
    const headOf = (priority: Priority): number => bus.inbox.headOf(bus.streamOf(core.self.index, priority));
    expect(headOf(CONTROL)).toBeGreaterThan(0);
    expect(headOf(CONTROL)).toBe(headOf(DATA));
  });
});
