/** Own messages under SIGKILLs, in real processes: none is lost, none is handled twice, the risky ones are handled or told
 * to have been skipped, once; and what an outage makes of those that fell due in it. */
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { attachSegment } from '../shm/index.ts';
import { catalogOf, WORDS } from '../state/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { AGAIN_MS, BOMB_EVERY, ONCE_MS } from '../testing/fixtures/clock/game.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../testing/fixtures/clock/${name}`, import.meta.url));
const KILLS = process.env.LICH_SOAK ? 1_000 : 8;
const TOTAL = process.env.LICH_SOAK ? 60_000 : 800;

let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

describe('SIGKILLs while timers fire', () => {
  it.each(['0', '1'])('%s standbys: each message once', { timeout: KILLS * 4_000 + 120_000 }, async standby => {
    up = await LichUp.up(fixture('topology.ts'), testDir(), { CLOCK_TOTAL: String(TOTAL), CLOCK_STANDBY: standby });
    const cluster = up;
    const clock = cluster.reader('clock-1');
    const isOver = (root: Record<string, number>): boolean => root.safe === TOTAL && root.risky! + root.told! === TOTAL;
    for (let kills = 0; kills < KILLS && !isOver(rootOf(clock)); ) {
      const before = rootOf(clock);
      if (cluster.kill('clock-1') === undefined) {
        await sleep(1);
        continue;
      }
      kills++;
      // At one time after a handful of messages, at another after some dozens.
      const more = 1 + ((kills * 17) % 60);
      await until(() => {
        const root = rootOf(clock);
        return (
          isOver(root) || root.safe! + root.risky! + root.told! >= before.safe! + before.risky! + before.told! + more
        );
      });
      expect(wrongOf(rootOf(clock)), `after ${kills} kills`).toEqual(NONE_WRONG);
    }
    await until(() => isOver(rootOf(clock)));
    const root = rootOf(clock);
    expect(root).toMatchObject({ safePosted: TOTAL, riskyPosted: TOTAL, safe: TOTAL, cancelled: TOTAL });
    expect(wrongOf(root)).toEqual(NONE_WRONG);
    // Those that end the process, and those that throw; kills from outside may have added some.
    expect(root.told).toBeGreaterThanOrEqual(Math.floor(TOTAL / BOMB_EVERY) * 3);
    const marks = clock.snapshot(s => [...s.pool('marks').values()][0]!) as Record<string, number[]>;
    for (let n = 0; n < TOTAL; n++)
      expect([marks.safe![n], marks.risky![n]! + marks.told![n]!], String(n)).toEqual([1, 1]);
    // Late or not, each time of the period came, and none that was not due.
    const missing = (): number => {
      const { now, beats } = clockOf(cluster.dir, 'clock-1');
      return Math.floor((now - root.startedAt!) / 7) - beats;
    };
    await until(() => missing() <= 0);
    expect(clock.check()).toEqual([]);
  });
});

const NONE_WRONG = { early: 0, unordered: 0, twice: 0, uncancelled: 0, untrue: 0 };
function wrongOf({ early, unordered, twice, uncancelled, untrue }: Record<string, number>): object {
  return { early, unordered, twice, uncancelled, untrue };
}

/** Service time, and beats, as the last commit left them. */
function clockOf(dir: string, name: string): { now: number; beats: number } {
  const segment = attachSegment({ dir, name, kind: 'state' });
  const now = segment.f64[WORDS.NOW / 2]!;
  const field = catalogOf(segment).root.fields.find(({ name }) => name === 'beats')!;
  const beats = segment.f64[(segment.regions.get('root')!.offset + field.offset) / 8]!;
  segment.close();
  return { now, beats };
}

/** The last outage that the state knows. */
function outageOf(dir: string, name: string): { from: number; to: number } {
  const segment = attachSegment({ dir, name, kind: 'state' });
  const field = catalogOf(segment).root.fields.find(({ name }) => name === '$outages')!;
  const at = (segment.regions.get('root')!.offset + field.offset) / 8;
  const found = { from: segment.f64[at + 1]!, to: segment.f64[at + 2]! };
  segment.close();
  return found;
}

describe('an outage', () => {
  it('a kill and a pause: fire, skip and shift, once and with a period', { timeout: 300_000 }, async () => {
    const dir = testDir();
    up = await LichUp.up(fixture('outage.topology.ts'), dir);
    const reader = up.reader('outage-1');
    const { startedAt } = rootOf(reader) as { startedAt: number };
    await until(() => rootOf(reader).aliveAt! >= startedAt + 350);
    // The supervisor must not start the next one yet.
    process.kill(up.process.pid!, 'SIGSTOP');
    const pid = up.kill('outage-1')!;
    expect(pid).toBeGreaterThan(0);
    process.kill(up.process.pid!, 'SIGKILL');
    await up.ended;
    const before = rootOf(reader) as { aliveAt: number };
    await sleep(1_000);
    up = await LichUp.up(fixture('outage.topology.ts'), dir);

    const events = (what: string): number[] =>
      (rootOf(reader) as unknown as { events: { what: string; at: number }[] }).events
        .filter(event => event.what === what)
        .map(({ at }) => at);
    // What says `ready` may see that the life before was serving.
    await until(() => events('resumed').length === 1);
    const { from, to } = outageOf(dir, 'outage-1');
    expect(from).toBeGreaterThanOrEqual(before.aliveAt);
    expect(to - from).toBeGreaterThanOrEqual(1_000);
    const longer = to - from;
    const once = startedAt + ONCE_MS;
    expect(once > from && once <= to).toBe(true);
    await until(() => rootOf(reader).aliveAt! >= Math.max(once + longer, to) + 3 * AGAIN_MS);

    const [resumedAt] = events('resumed') as [number];
    expect(resumedAt).toBeGreaterThanOrEqual(to);
    // Late, and each once.
    expect(events('fireOnce').length).toBe(1);
    expect(events('fireOnce')[0]).toBeGreaterThanOrEqual(resumedAt);
    expect(events('skipOnce')).toEqual([]);
    expect(events('told').length).toBe(1);
    expect(events('shiftOnce').length).toBe(1);
    expect(events('shiftOnce')[0]).toBeGreaterThanOrEqual(once + longer);

    const upTo = (at: number): number => Math.floor((at - startedAt) / AGAIN_MS);
    // All that it missed came when it was back.
    const fired = events('fireAgain');
    fired.forEach((at, k) => expect(at).toBeGreaterThanOrEqual(startedAt + (k + 1) * AGAIN_MS));
    expect(fired.length).toBeGreaterThanOrEqual(upTo(to));
    const skipped = events('skipAgain');
    skipped.forEach((at, k) => {
      const time = k < upTo(from) ? k + 1 : k + 1 + upTo(to) - upTo(from);
      expect(at).toBeGreaterThanOrEqual(startedAt + time * AGAIN_MS);
    });
    expect(skipped.length).toBeGreaterThan(upTo(from));
    expect(events('toldAgain')).toEqual([]);
    const shifted = events('shiftAgain');
    shifted.forEach((at, k) => {
      const later = k < upTo(from) ? 0 : longer;
      expect(at).toBeGreaterThanOrEqual(startedAt + (k + 1) * AGAIN_MS + later);
    });
    expect(shifted.length).toBeGreaterThan(upTo(from));
    expect(reader.check()).toEqual([]);
  });
});
