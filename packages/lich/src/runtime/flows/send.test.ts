/** A flow that sends, or asks, waits where the lane is full; nothing else waits for it, and it goes on over lives. */
import { command, int, own, protocol, request, state, text } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { Peer, type Running, startService, stopAll, until } from '../../testing/service-rig.ts';
import { service } from '../service.ts';

const Far = protocol({
  note: command({ n: int, text: text(1_000) }),
  which: request({ n: int }, { n: int }),
  pad: command({}),
});
const far = { name: 'far', protocol: Far };
const near = service('near', {
  state: state({ begun: int, sent: int, failed: int, other: int }),
  protocol: protocol({ go: own({ many: int }), ask: own({ n: int }), other: own({ n: int }), bad: own({}) }),
  on: { other: ({ state: s }) => void s.other++ },
  flows: {
    *go(ctx, { many }) {
      yield* ctx.do(({ state: s }) => void s.begun++);
      for (let n = 1; n <= many; n++) yield* ctx.send(far, 'note', { n, text: 'x'.repeat(1_000) });
      yield* ctx.do(({ state: s }) => void s.sent++);
    },
    *ask(ctx, { n }) {
      yield* ctx.do(({ state: s }) => void s.begun++);
      try {
        yield* ctx.within(50, ctx.call(far, 'which', { n }, { withinMs: 600_000 }));
      } catch {
        yield* ctx.do(({ state: s }) => void s.failed++);
      }
    },
    *bad(ctx) {
      try {
        yield* ctx.send({ ...far, name: 'nobody' }, 'note', { n: 1, text: '' });
      } catch (error) {
        const { code } = error as { code: string };
        yield* ctx.do(({ state: s }) => void (s.failed += code === 'BUS_UNKNOWN_NODE' ? 1 : 0));
      }
    },
  },
});

let running: (Running | Peer)[] = [];
afterEach(async () => {
  await stopAll(running);
  removeTestDirs();
});
const start = async (dir: string): Promise<Running> => {
  const limits = { logBytes: 1 << 20, lanesBytes: 1 << 20, maxLaneBytes: 65_536 };
  const one = await startService(near, { dir, limits });
  running.push(one);
  return one;
};
const flows = (of: Running): number => of.core.store.pools.get('$flows')!.size;
const say = (to: Running, name: string, payload: object): void =>
  to.core.transact(() => to.logic.post(name, payload as never));

const MANY = 100;
it('waits for room, over a life too, and each is sent once', async () => {
  const dir = testDir();
  const peer = await Peer.start(dir, 'far-1');
  running.push(peer);
  peer.paused = true;
  let from = await start(dir);
  say(from, 'go', { many: MANY });
  const tail = (): number => from.core.bus.outbox.lanes().find(lane => lane.peer === peer.index)?.tail ?? 0;
  let before = -1;
  // It stands still once the lane is full.
  await until(() => from.state.begun === 1);
  for (let same = 0; same < 20; same = tail() === before ? same + 1 : 0) {
    before = tail();
    say(from, 'other', { n: 1 });
    const other = from.state.other;
    await until(() => from.state.other > other);
  }
  expect(from.state.sent).toBe(0);
  await from.stop();
  running = running.filter(each => each !== from);
  from = await start(dir);
  say(from, 'other', { n: 1 });
  const other = from.state.other;
  await until(() => from.state.other > other);
  expect(from.state.sent).toBe(0);
  peer.paused = false;
  await until(() => from.state.sent === 1 && peer.heard.length === MANY && flows(from) === 0);
  const numbers = peer.heard.map(({ bytes }) => new Float64Array(bytes.slice(0, 8).buffer)[0]);
  expect(numbers).toEqual(Array.from({ length: MANY }, (_, k) => k + 1));
});

it('may be given up while it waits, and so may a call', async () => {
  const dir = testDir();
  const peer = await Peer.start(dir, 'far-1');
  running.push(peer);
  peer.paused = true;
  const from = await start(dir);
  const before = ['note', 'pad'].map(name => {
    let count = 0;
    for (let full = false; !full; count += full ? 0 : 1)
      from.core.transact(() => void (full = !from.logic.send(far, name, { n: 0, text: 'x'.repeat(1_000) }, 1)));
    return count;
  });
  say(from, 'ask', { n: 7 });
  await until(() => from.state.failed === 1 && flows(from) === 0);
  from.core.transact(() => void from.logic.startFlow('go', { many: 1 }));
  await until(() => from.state.begun === 2);
  let id = 0;
  from.core.transact(() => void (id = from.logic.startFlow('go', { many: 1 })));
  await until(() => from.state.begun === 3);
  from.core.transact(() => expect(from.logic.cancelFlow(id)).toBe(true));
  await until(() => flows(from) === 1);
  peer.paused = false;
  await until(() => flows(from) === 0 && peer.heard.length === before[0]! + before[1]! + 1);
  const last = peer.heard.at(-1)!;
  expect(new Float64Array(last.bytes.slice(0, 8).buffer)[0]).toBe(1);
});

it('is told why it cannot be sent', async () => {
  const from = await start(testDir());
  say(from, 'bad', {});
  await until(() => from.state.failed === 1 && flows(from) === 0);
});
