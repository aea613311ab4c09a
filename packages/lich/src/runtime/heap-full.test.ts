/** A handler that wants more of the heap than there is: undone, and the next one is handled. */
import { array, command, int, protocol, state, text } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { payloadCodec, typeOf } from '../bus/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { Peer, startService, until } from '../testing/service-rig.ts';
import { service } from './service.ts';
import { tagOfProtocol } from './system-messages.ts';

const P = protocol({ add: command({ count: int }), addAndCatch: command({ count: int }) });
const add = (words: { push(value: string): unknown }, count: number) => {
  for (let k = 0; k < count; k++) words.push('x'.repeat(1_000));
};
const hoard = service('hoard', {
  state: state({ words: array(text()), handled: int }),
  protocol: P,
  on: {
    add({ state: s }, { count }) {
      s.handled++;
      add(s.words, count);
    },
    addAndCatch({ state: s }, { count }) {
      s.handled++;
      try {
        add(s.words, count);
      } catch {
        // As if nothing had happened.
      }
    },
  },
});

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanUp.reverse()) await stop();
  cleanUp = [];
  removeTestDirs();
});

it('a handler that fills the heap is undone, whether it catches the error or not', async () => {
  const dir = testDir();
  const running = await startService(hoard as never, { dir, limits: { logBytes: 1 << 22, heapBytes: 1 << 20 } });
  const peer = await Peer.start(dir, 'peer-1');
  cleanUp.push(
    () => running.stop(),
    () => peer.stop(),
  );
  const say = (name: string, count: number) => {
    const { layout, index } = P.byName.get(name) as unknown as { layout: never; index: number };
    const segment = memorySegment({ regions: [{ name: 'data', bytes: 256 }] });
    payloadCodec(layout, { resolve: () => undefined }).write(segment, 8192, { count } as never);
    const bytes = segment.u8.slice(8192, 8192 + (layout as { bytes: number }).bytes);
    peer.say(running.core.self.index, typeOf(tagOfProtocol(P), index), 0, 0, bytes);
  };
  say('add', 10);
  await until(() => running.logic.counts.handled === 1);
  for (const name of ['add', 'addAndCatch']) {
    const failed = running.logic.counts.failed;
    say(name, 5_000);
    await until(() => running.logic.counts.failed > failed);
    expect([running.state.words.length, running.state.handled]).toEqual([10, 1]);
  }
  const said = running.lines.filter(({ level }) => level === 'warn').map(({ data }) => JSON.stringify(data));
  expect(said.length).toBe(2);
  for (const line of said) expect(line).toMatch(/heap full.*raise limits.heapBytes/);
  say('add', 5);
  await until(() => running.state.words.length === 15);
  expect(running.core.store.check()).toEqual([]);
});
