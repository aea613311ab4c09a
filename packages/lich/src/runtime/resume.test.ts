/** onResume as the runtime drives it: eager pools before the first message, the others after it, some at a time; spread in
 * ticks, over lives. */
import { command, int, pool, protocol, state, struct } from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { payloadCodec, typeOf } from '../bus/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { Peer, type Running, startService, until } from '../testing/service-rig.ts';
import { service } from './service.ts';
import { tagOfProtocol } from './system-messages.ts';

let seen: string[] = [];
let failing = -1;

class Unit extends struct({ n: int, lives: int, visits: int }) {
  onResume(why: string): void {
    seen.push(`unit ${this.n} ${why}`);
    this.lives++;
    if (this.n === failing) throw new Error('no');
  }
}
class Eager extends struct({ n: int }) {
  onResume(why: string): void {
    seen.push(`eager ${this.n} ${why}`);
  }
}
const UNITS = 3_000;
const State = state({ units: pool(Unit), eagers: pool(Eager, { resume: 'eager' }), handled: int });
const P = protocol({ poke: command({ slot: int }) });
const scene = service('scene', {
  state: State,
  protocol: P,
  tickHz: 500,
  start({ state: s }) {
    for (let n = 0; n < UNITS; n++) s.units.create({ n });
    for (let n = 0; n < 3; n++) s.eagers.create({ n });
  },
  resumed() {
    seen.push('resumed');
  },
  tick({ state: s }) {
    s.units.spread(100, unit => void unit.visits++);
  },
  on: {
    poke({ state: s }, { slot }) {
      seen.push(`poke ${slot}`);
      const unit = s.units.get(slot)!;
      seen.push(`lives ${unit.lives}`);
      s.handled++;
    },
  },
});

const TAG = tagOfProtocol(P);
const bytesOf = (value: object): Uint8Array => {
  const segment = memorySegment({ regions: [{ name: 'data', bytes: 256 }] });
  const { layout } = P.byName.get('poke')!;
  payloadCodec(layout, { resolve: () => undefined }).write(segment, 8192, value as never);
  return segment.u8.slice(8192, 8192 + layout.bytes);
};

let cleanUp: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of cleanUp.reverse()) await stop();
  cleanUp = [];
  seen = [];
  failing = -1;
  removeTestDirs();
});

async function start(dir: string): Promise<Running> {
  const running = await startService(scene as never, { dir, limits: { heapBytes: 1 << 22 } });
  cleanUp.push(() => running.stop());
  return running;
}

describe('onResume', () => {
  it('does not hold up the first message: what it needs has had its, the rest comes after', async () => {
    const dir = testDir();
    const first = await start(dir);
    const peer = await Peer.start(dir, 'peer-1');
    cleanUp.push(() => peer.stop());
    const { index } = first.core.self;
    const say = (slot: number) => peer.say(index, typeOf(TAG, 0), 0, 0, bytesOf({ slot }));
    say(1);
    await until(() => first.state.handled === 1);
    expect(first.core.store.resuming).toBe(false);
    await cleanUp.shift()!();
    seen = [];
    failing = 77;
    // Waits in the lane for the next life.
    say(2_500);
    // The peer's loop shows it.
    for (let k = 0; k < 3; k++) await new Promise(resolve => setImmediate(resolve));
    const second = await start(dir);
    await until(() => second.state.handled === 2);
    const poked = seen.indexOf('poke 2500');
    // Resumed before it: the eager ones; by it: the one that it used, and what ticks came by.
    expect(seen.slice(0, 4)).toEqual(['eager 0 restart', 'eager 1 restart', 'eager 2 restart', 'resumed']);
    expect(poked).toBe(4);
    expect(seen.slice(5, 7)).toEqual(['unit 2500 restart', 'lives 1']);
    await until(() => !second.core.store.resuming);
    expect(seen.filter(line => line.startsWith('unit')).length).toBe(UNITS);
    expect(new Set(seen).size).toBe(seen.length);
    const warned = second.lines.filter(line => line.message.startsWith('onResume of units[77] threw'));
    expect(warned.length).toBe(1);
    const lives: number[] = [...second.state.units].map((unit: Unit) => unit.lives);
    expect(lives.map((n, k) => (n === 1 ? -1 : k)).filter(k => k >= 0)).toEqual([77]);
    expect(second.core.store.check()).toEqual([]);
  });
});

describe('spread', () => {
  it('goes on in the next life where it stood', async () => {
    const dir = testDir();
    const first = await start(dir);
    const spread = (running: Running): number[] => [...running.state.units].map((unit: Unit) => unit.visits);
    await until(() => Math.max(...spread(first)) >= 2);
    await cleanUp.shift()!();
    const second = await start(dir);
    const before = Math.max(...spread(second));
    await until(() => Math.max(...spread(second)) >= before + 2);
    const visits = spread(second);
    // Whole rounds for all, but for the one that is under way.
    expect(Math.max(...visits) - Math.min(...visits)).toBeLessThanOrEqual(1);
    expect(second.core.store.check()).toEqual([]);
  });
});
