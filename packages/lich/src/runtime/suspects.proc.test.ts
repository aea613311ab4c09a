/** Records that end the process when they have their turn, in real processes: suspended; all others go on. */
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { attachSegment } from '../shm/index.ts';
import { openReader } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';
import { listQuarantine } from './quarantine.ts';
import { type Suspended, suspendedIn } from './suspects.ts';

const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/mad/topology.ts', import.meta.url));
const MAD = 13;
const SOAK_CASES: [string, string, string, number, string][] =
  process.env.LICH_SOAK === undefined
    ? []
    : [
        ['of', 'exit', '1', 2, 'tick'],
        ['spread', 'abort', '1', 2, 'spread'],
        ['tried', 'abort', '0', 2, 'attempt in tick'],
      ];
const KILLS = process.env.LICH_SOAK === undefined ? 6 : 40;

interface Monster {
  n: number;
  beats: number;
  hits: number;
  resumed: number;
}

let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

class Land {
  readonly up: LichUp;
  readonly #reader;

  constructor(lich: LichUp) {
    this.up = lich;
    this.#reader = openReader(attachSegment({ dir: lich.dir, name: 'land-1', kind: 'state' }), { hidden: true });
  }

  static async up(env: Record<string, string>): Promise<Land> {
    up = await LichUp.up(TOPOLOGY, testDir(), env);
    return new Land(up);
  }

  get suspended(): Suspended[] {
    const words = this.#reader.snapshot(s => s.root()['$suspended']) as number[];
    return suspendedIn(words, ['monsters']);
  }

  monster(slot: number): Monster {
    return this.#reader.snapshot(s => s.entry('monsters', slot))!.value as unknown as Monster;
  }

  get root(): Record<string, number> {
    return rootOf(this.#reader);
  }

  get deaths(): number {
    return this.up.output.split('\n').filter(line => line.startsWith('land-1') && line.includes('ended')).length;
  }

  /** So many more ticks. */
  async ticks(count: number): Promise<void> {
    const { ticks } = this.root;
    await until(() => this.root['ticks']! >= ticks! + count);
  }

  check(): unknown[] {
    return this.#reader.check();
  }
}

describe('a record that ends its process', () => {
  it.each([
    ['walk', 'abort', '0', 2, 'tick'],
    ['spread', 'kill', '0', 4, 'spread'],
    ['walk', 'loop', '1', 2, 'tick'],
    ['walk', 'memory', '0', 2, 'tick'],
    ...SOAK_CASES,
  ])('in %s by %s, with %s standbys, is suspended after %i deaths', async (where, how, standby, deaths, site) => {
    const land = await Land.up({ MAD: `${where}:${how}`, MAD_STANDBY: standby });
    await until(() => land.suspended.length === 1);
    expect(land.suspended).toEqual([{ pool: 'monsters', slot: MAD, generation: 1, deaths }]);
    await land.ticks(20);
    // On a busy machine a process that still loads is taken for one that hangs.
    if (how === 'loop') expect(land.deaths).toBeGreaterThanOrEqual(deaths);
    else expect(land.deaths).toBe(deaths);
    expect(land.monster(MAD)).toMatchObject({ n: MAD, beats: 4 });
    for (const slot of [0, MAD - 1, MAD + 1, 999]) expect(land.monster(slot).beats).toBeGreaterThan(4);
    const entry = listQuarantine(land.up.dir)[0]?.entry;
    expect(entry).toMatchObject({ kind: 'record', node: 'land-1', pool: 'monsters', slot: MAD, deaths, site });
    expect(land.check()).toEqual([]);
  });

  it('in an attempt within a message: the record is suspended, the message is handled', async () => {
    const land = await Land.up({ MAD: 'attempt:abort' });
    await until(() => land.suspended.length === 1);
    const { pokes } = land.root;
    await until(() => land.root['pokes']! > pokes! + 5);
    expect(land.deaths).toBe(2);
    expect(land.monster(MAD).hits).toBe(0);
    expect(listQuarantine(land.up.dir).map(({ entry }) => entry.what)).toEqual(['monsters[13]']);
  });

  it('in onResume: it is used as it is, and stays suspended over lives', async () => {
    const land = await Land.up({ MAD: 'resume:abort', MAD_STANDBY: '1' });
    land.up.kill('land-1');
    await until(() => land.suspended.length === 1);
    await until(() => land.monster(999).resumed === 1);
    const before = land.monster(MAD).beats;
    await land.ticks(5);
    expect(land.deaths).toBe(3);
    // Of its walks it is passed over too.
    expect(land.monster(MAD)).toMatchObject({ resumed: 0, beats: before });
    land.up.kill('land-1');
    await until(() => land.monster(999).resumed === 2);
    await land.ticks(5);
    expect(land.deaths).toBe(4);
    expect(land.suspended.length).toBe(1);
  });

  it('an onResume that always throws is undone, each time, and its record is used', async () => {
    const land = await Land.up({ MAD: 'resume:throw' });
    land.up.kill('land-1');
    await until(() => land.monster(999).resumed === 1);
    await land.ticks(5);
    expect(land.monster(MAD).resumed).toBe(0);
    expect(land.monster(MAD).beats).toBeGreaterThan(5);
    expect(land.suspended).toEqual([]);
    expect(land.deaths).toBe(1);
  });

  it('SIGKILLs from outside, one after the other in a busy walk, suspend nothing', async () => {
    const land = await Land.up({ MAD: 'walk:none', MAD_STANDBY: '1' });
    let last = 0;
    for (let k = 0; k < KILLS; k++) {
      await land.ticks(2);
      let pid: number | undefined;
      await until(() => (pid = land.up.ownerOf('land-1')) !== undefined && pid !== last);
      last = pid!;
      process.kill(last, 'SIGKILL');
    }
    await land.ticks(5);
    expect(land.suspended).toEqual([]);
    expect(land.check()).toEqual([]);
  });
});
