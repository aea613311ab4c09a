/** A list of the state that was overwritten, met by handlers and by a tick: they fail and are undone, all else goes on. */
import { int, list, own, pool, protocol, state, struct } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { type Running, startService, until } from '../testing/service-rig.ts';
import { service } from './service.ts';

const SIZE = 5;
class Unit extends struct({ row: list(int, SIZE), sum: int, beats: int }) {}
const land = service('land', {
  state: state({ units: pool(Unit), ticks: int }),
  protocol: protocol({ sum: own({ n: int }) }),
  tickHz: 100,
  start(ctx) {
    for (let n = 0; n < 10; n++) {
      const unit = ctx.state.units.create();
      for (let k = 0; k < SIZE; k++) unit.row.push(k);
    }
  },
  tick(ctx) {
    ctx.state.ticks++;
    for (let n = 0; n < 10; n++) {
      const unit = ctx.state.units.get(n);
      ctx.attempt(unit, () => {
        unit!.beats++;
        for (const _ of unit!.row);
      });
    }
  },
  on: {
    sum(ctx, { n }) {
      const unit = ctx.state.units.get(n)!;
      unit.sum = 0;
      for (const value of unit.row) unit.sum += value;
    },
  },
});

let running: Running | undefined;
afterEach(async () => {
  await running?.stop();
  removeTestDirs();
});

it('a circle: a coded error, undone; the rest of the tick and other messages go on', async () => {
  running = await startService(land, { dir: testDir() });
  const { core, logic, lines, state: all } = running;
  const post = (n: number): void => core.transact(() => void (logic as any).post('sum', { n }));
  post(4);
  await until(() => all.units.get(4).sum === 10);
  // The third slot of unit 4 leads back to the first: what a stray write leaves. Slots: [prev][next][generation][value].
  const { u32 } = core.store.segment;
  const at = wordOfRow(u32, core.store.segment.regions);
  expect(u32[at + 1]).toBe(4);
  u32[at + 1] = 1;
  const { beats } = all.units.get(4);
  for (let n = 0; n < 10; n++) post(n);
  await until(() => all.units.get(9).sum === 10);
  const { ticks } = all;
  await until(() => all.ticks > ticks + 3);
  expect(all.units.get(4)).toMatchObject({ sum: 10, beats });
  expect(all.units.get(5).beats).toBeGreaterThan(beats);
  const failed = lines.filter(({ level }) => level !== 'info').map(({ data }) => data.err.code);
  expect(failed.length).toBeGreaterThanOrEqual(2);
  expect(new Set(failed)).toEqual(new Set(['STATE_CORRUPT']));
  // And who walks over all of it says where it is.
  expect(core.store.check().map(({ where, what }) => `${where}: ${what}`)).toContainEqual(
    expect.stringMatching(/^units\[4\]\.row: the order leads to slot/),
  );
});

/** Word of the third slot of the fifth row: [1 2 3 4 5] has links 1…5, and this one lies before `prev` 3, `next` 5. */
function wordOfRow(u32: Uint32Array, regions: ReadonlyMap<string, { offset: number; bytes: number }>): number {
  const found: number[] = [];
  const log = regions.get('log')!;
  for (let word = 1024; word < u32.length && found.length < 10; word++)
    if (
      !(word * 4 >= log.offset && word * 4 < log.offset + log.bytes) &&
      u32[word] === 2 &&
      u32[word + 1] === 4 &&
      u32[word + 2] === 1 &&
      new Float64Array(u32.buffer, (word + 4) * 4 - ((word * 4) % 8), 1)[0] >= 0 &&
      u32[word - 1] !== 4
    )
      found.push(word);
  return found[4]!;
}
