/** State updates to receivers that are too slow: the newest of each key arrives, whatever was dropped on the way, also over
 * lives of the sender; others are not held up, and memory is bounded. */
import { command, int, oneOf, protocol, ref, state, text, topic, u64, zeroOf } from '@lich/schema';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { removeNode } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Peer, type Running, startService, stopAll, until } from '../testing/service-rig.ts';
import { keyedBy, LATEST_MOST } from './latest.ts';
import { service } from './service.ts';

const FILLER = 1_000;
const BoardProtocol = protocol({
  put: command({ key: int, value: int }, { replaces: 'key' }),
  fill: command({ text: text(FILLER) }),
  pad: command({}),
});
const board = { name: 'board', protocol: BoardProtocol };
const game = service('game', { state: state({ n: int }), protocol: protocol({}), on: {} });

let running: (Running | Peer)[] = [];
afterEach(async () => {
  await stopAll(running);
  removeTestDirs();
});
const LIMITS = { logBytes: 1 << 20, lanesBytes: 1 << 20, maxLaneBytes: 65_536 };
async function start(dir: string): Promise<Running> {
  const one = await startService(game, { dir, limits: LIMITS });
  running.push(one);
  return one;
}
async function peer(dir: string, name: string): Promise<Peer> {
  const one = await Peer.start(dir, name);
  running.push(one);
  return one;
}
async function end(one: Running | Peer): Promise<void> {
  running = running.filter(each => each !== one);
  await one.stop();
}

/** Until it takes no more. */
function fill(from: Running, instance: number): void {
  for (const [name, payload] of [
    ['fill', { text: 'x'.repeat(FILLER) }],
    ['pad', {}],
  ] as const)
    for (let full = false; !full; )
      from.core.transact(() => void (full = !from.logic.send(board, name, payload, instance)));
}
function put(from: Running, key: number, value: number, instance = 1): boolean {
  let sent = false;
  from.core.transact(() => void (sent = from.logic.send(board, 'put', { key, value }, instance)));
  return sent;
}
/** What it was told, in order. */
function putsOf({ heard }: Peer): [key: number, value: number][] {
  return heard
    .filter(({ type }) => (type & 0xffff) === 0)
    .map(({ bytes }) => [...new Float64Array(bytes.slice(0, 16).buffer)] as [number, number]);
}
const waits = (from: Running): number => from.logic.bus.latest.size;

describe('updates to a receiver that is too slow', () => {
  it('wait, the newest of each key, and do not hold up others', async () => {
    const dir = testDir();
    const [slow, fast] = [await peer(dir, 'board-1'), await peer(dir, 'board-2')];
    const from = await start(dir);
    slow.paused = true;
    fill(from, 1);
    for (let value = 1; value <= 50; value++) for (const key of [3, 1, 2]) expect(put(from, key, value)).toBe(true);
    for (let value = 1; value <= 5; value++) expect(put(from, 9, value, 2)).toBe(true);
    await until(() => putsOf(fast).length === 5);
    expect(waits(from)).toBe(3);
    slow.paused = false;
    await until(() => putsOf(slow).length === 3);
    expect(putsOf(slow)).toEqual([
      [3, 50],
      [1, 50],
      [2, 50],
    ]);
    await until(() => waits(from) === 0);
    put(from, 1, 51);
    await until(() => putsOf(slow).length === 4);
    expect(putsOf(slow)[3]).toEqual([1, 51]);
  });

  it('outlive the sender', async () => {
    const dir = testDir();
    const slow = await peer(dir, 'board-1');
    let from = await start(dir);
    slow.paused = true;
    fill(from, 1);
    put(from, 1, 1);
    put(from, 1, 2);
    await end(from);
    from = await start(dir);
    expect(waits(from)).toBe(1);
    put(from, 1, 3);
    slow.paused = false;
    await until(() => putsOf(slow).length === 1);
    expect(putsOf(slow)).toEqual([[1, 3]]);
  });

  it('are no part of a transaction that is undone', async () => {
    const dir = testDir();
    const slow = await peer(dir, 'board-1');
    const from = await start(dir);
    slow.paused = true;
    fill(from, 1);
    put(from, 1, 1);
    expect(() =>
      from.core.transact(() => {
        from.logic.send(board, 'put', { key: 1, value: 2 }, 1);
        from.logic.send(board, 'put', { key: 2, value: 2 }, 1);
        throw new Error('on purpose');
      }),
    ).toThrow('on purpose');
    expect(waits(from)).toBe(1);
    slow.paused = false;
    await until(() => putsOf(slow).length === 1);
    expect(putsOf(slow)).toEqual([[1, 1]]);
  });

  it('of more keys than may wait are refused by value', async () => {
    const dir = testDir();
    const slow = await peer(dir, 'board-1');
    const from = await start(dir);
    slow.paused = true;
    fill(from, 1);
    for (let key = 0; key < LATEST_MOST; key++) expect(put(from, key, 1)).toBe(true);
    expect(put(from, LATEST_MOST, 1)).toBe(false);
    expect(put(from, 0, 2)).toBe(true);
    expect(waits(from)).toBe(LATEST_MOST);
    slow.paused = false;
    await until(() => putsOf(slow).length === LATEST_MOST);
    expect(putsOf(slow)[0]).toEqual([0, 2]);
  });

  it('that was removed are dropped', async () => {
    const dir = testDir();
    const gone = await peer(dir, 'board-1');
    const from = await start(dir);
    gone.paused = true;
    fill(from, 1);
    put(from, 1, 1);
    await end(gone);
    removeNode(dir, 'board-1');
    await until(() => waits(from) === 0);
  });

  it('any program of puts and pauses: the last value of each key arrives last, in a subsequence of what was put', async () => {
    const dir = testDir();
    const from = await start(dir);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            { weight: 8, arbitrary: fc.record({ key: fc.nat(4) }) },
            fc.record({ paused: fc.boolean() }),
            fc.constant('fill' as const),
          ),
          { maxLength: 60 },
        ),
        async program => {
          const instance = ++run;
          const receiver = await peer(dir, `board-${instance}`);
          await until(() => from.logic.bus.members.of('board').nodes.length > 0);
          const said = new Map<number, number[]>();
          let value = 0;
          for (const step of program) {
            if (step === 'fill') {
              if (receiver.paused) fill(from, instance);
            } else if ('paused' in step) {
              receiver.paused = step.paused;
              await new Promise(resolve => setImmediate(resolve));
            } else {
              put(from, step.key, ++value, instance);
              said.set(step.key, [...(said.get(step.key) ?? []), value]);
            }
          }
          receiver.paused = false;
          const lastOf = (key: number): number | undefined =>
            putsOf(receiver)
              .filter(([k]) => k === key)
              .at(-1)?.[1];
          await until(() => [...said].every(([key, values]) => lastOf(key) === values.at(-1)));
          expect(waits(from)).toBe(0);
          for (const [key, values] of said) {
            const heard = putsOf(receiver)
              .filter(([k]) => k === key)
              .map(([, v]) => v);
            expect(heard).toEqual(values.filter(v => heard.includes(v)));
          }
          await end(receiver);
        },
      ),
      { numRuns: 15 },
    );
  });
});

it('keys are told apart by the value of their field, and one that is left out has its zero', () => {
  const P = protocol({
    a: topic({ k: ref('units') }, { replaces: 'k' }),
    b: topic({ k: u64 }, { replaces: 'k' }),
    c: topic({ k: oneOf('x', 'y') }, { replaces: 'k' }),
    d: topic({ k: int.init(7) }, { replaces: 'k' }),
    e: topic({ k: int }),
  });
  const [a, b, c, d, e] = P.messages.map(keyedBy);
  expect([undefined, { slot: 1, generation: 3 }, { slot: 1, generation: 5 }].map(k => a!({ k }))).toEqual([
    '',
    '1.3',
    '1.5',
  ]);
  expect([2n ** 64n - 1n, 0n].map(k => b!({ k }))).toEqual(['18446744073709551615', '0']);
  expect(c!({ k: 'y' })).toBe('y');
  expect(d!({})).toBe(String(zeroOf(P.messages[3]!.layout.fields[0]!.kind)));
  expect(e).toBe(undefined);
});
