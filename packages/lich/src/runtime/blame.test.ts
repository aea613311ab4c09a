/** Whom to suspect: the words page after a death, killed again at every store; and what the exit note makes of it. */
import { describe, expect, it } from 'vitest';
import type { OwnerLock } from '../shm/index.ts';
import {
  Blame,
  countDeath,
  CUR,
  CUR_MORE,
  CUR_POS,
  diedByItself,
  KILL_DEATHS,
  NOTE_WAIT_MS,
  OWN,
  OWN_DEATHS,
  TICK,
} from './blame.ts';
import { killedAtEachStore } from '../testing/words-page.ts';

const page = () => new Int32Array(2048);
const waiting = () => true;
const tries = (S: Int32Array) => S[CUR]! & 0xff;

/** As the loop does: what is handled now. */
function handling(S: Int32Array, code: number, pos: number, more = 0): void {
  S[CUR_POS] = pos;
  S[CUR_MORE] = more;
  S[CUR] = (code << 8) | tries(S);
}

describe('counting deaths', () => {
  it('nothing was being handled: nobody is suspected', () => {
    expect(countDeath(page(), waiting)).toBeUndefined();
  });

  it('the same record again and again: one more each time', () => {
    const S = page();
    for (let n = 1; n <= 5; n++) {
      handling(S, 4, 160);
      expect(countDeath(S, waiting)).toEqual({ code: 4, pos: 160, more: 0, tries: n });
    }
  });

  it('a record that was committed is not blamed', () => {
    const S = page();
    handling(S, 4, 160);
    expect(countDeath(S, () => false)).toBeUndefined();
    expect(S[CUR]).toBe(0);
  });

  it('another record, another sender, another own message: counted from the start', () => {
    for (const [code, pos, more] of [
      [4, 176, 0],
      [5, 160, 0],
      [OWN, 160, 3],
    ] as const) {
      const S = page();
      handling(S, 4, 160);
      countDeath(S, waiting);
      handling(S, 4, 160);
      countDeath(S, waiting);
      handling(S, code, pos, more);
      expect(countDeath(S, waiting)).toEqual({ code, pos, more, tries: 1 });
    }
  });

  it('the same slot of another own message is another one', () => {
    const S = page();
    handling(S, OWN, 7, 1);
    countDeath(S, waiting);
    handling(S, OWN, 7, 3);
    expect(countDeath(S, waiting)).toEqual({ code: OWN, pos: 7, more: 3, tries: 1 });
  });

  it('a death while the suspect only waits is not counted, and the count stays', () => {
    const S = page();
    handling(S, 4, 160);
    countDeath(S, waiting);
    expect(countDeath(S, waiting)).toEqual({ code: 4, pos: 160, more: 0, tries: 1 });
    expect(countDeath(S, waiting)).toEqual({ code: 4, pos: 160, more: 0, tries: 1 });
  });

  it("a death in a tick is nobody's, and the count of a waiting suspect stays", () => {
    const S = page();
    handling(S, 4, 160);
    countDeath(S, waiting);
    handling(S, TICK, 0);
    expect(countDeath(S, code => code === 4)).toEqual({ code: 4, pos: 160, more: 0, tries: 1 });
  });

  it('the count does not run over', () => {
    const S = page();
    for (let n = 0; n < 400; n++) {
      handling(S, 4, 160);
      countDeath(S, waiting);
    }
    expect(countDeath(S, waiting)).toEqual({ code: 4, pos: 160, more: 0, tries: 255 });
  });

  it('killed at each of its stores and begun again: counted once, whatever came before', () => {
    let points = 0;
    for (const before of [undefined, [4, 160, 0], [4, 100, 0], [5, 160, 0], [OWN, 160, 1]] as const) {
      for (let deaths = 1; deaths <= 3; deaths++) {
        const S = page();
        for (let n = 0; before !== undefined && n < deaths; n++) {
          handling(S, before[0], before[1], before[2]);
          countDeath(S, waiting);
        }
        handling(S, 4, 160);
        const expected = countDeath(S.slice(), waiting);
        for (const left of killedAtEachStore(S, page => void countDeath(page, waiting))) {
          // Killed twice more in the counting, then it gets through.
          for (const again of killedAtEachStore(left, page => void countDeath(page, waiting))) {
            points++;
            expect(countDeath(again, waiting)).toEqual(expected);
          }
        }
      }
    }
    expect(points).toBeGreaterThan(200);
  });

  it('killed while the loop notes what it handles: never more than one death is counted, and never for two', () => {
    const S = page();
    handling(S, 4, 160);
    countDeath(S, waiting);
    for (const left of killedAtEachStore(S, page => handling(page, 4, 160)))
      expect(countDeath(left, waiting)!.tries).toBeLessThanOrEqual(2);
    for (const left of killedAtEachStore(S, page => handling(page, 9, 16))) {
      const suspect = countDeath(left, (code, pos) => (code === 4 && pos === 160) || (code === 9 && pos === 16))!;
      expect([4, 9]).toContain(suspect.code);
      expect(suspect.tries).toBe(1);
    }
  });
});

describe('the verdict', () => {
  const lockWith = (note: unknown) =>
    ({ readExit: (pid: number) => (pid === 42 ? note : undefined) }) as unknown as OwnerLock;
  const blame = (deaths: number, note: unknown) =>
    new Blame({ code: 4, pos: 160, more: 0, tries: deaths }, lockWith(note), 42, 1_000);
  const abort = { signal: 'SIGABRT', atMs: 1 };
  const kill = { signal: 'SIGKILL', atMs: 1 };

  it.each<[number, unknown, number, string]>([
    [1, undefined, 0, 'run'],
    [1, abort, 0, 'run'],
    [OWN_DEATHS, undefined, 0, 'wait'],
    [OWN_DEATHS, undefined, NOTE_WAIT_MS - 1, 'wait'],
    [OWN_DEATHS, undefined, NOTE_WAIT_MS, 'run'],
    [OWN_DEATHS, abort, 0, 'set aside'],
    [OWN_DEATHS, { code: 1, atMs: 1 }, 0, 'set aside'],
    [OWN_DEATHS, { signal: 'SIGSEGV', atMs: 1 }, 0, 'set aside'],
    [OWN_DEATHS, kill, 0, 'run'],
    [OWN_DEATHS, { code: 0, atMs: 1 }, 0, 'run'],
    [OWN_DEATHS, { signal: 'SIGTERM', atMs: 1 }, 0, 'run'],
    [KILL_DEATHS - 1, kill, 0, 'run'],
    [KILL_DEATHS, kill, 0, 'set aside'],
    [KILL_DEATHS, undefined, 0, 'wait'],
    [KILL_DEATHS, undefined, NOTE_WAIT_MS, 'set aside'],
  ])('%i deaths, note %o, after %i ms: %s', (deaths, note, ms, verdict) => {
    expect(blame(deaths, note).verdict(1_000 + ms)).toBe(verdict);
  });

  it('waits for what is said of something smaller, from the second death on', () => {
    for (const [deaths, said, verdict] of [
      [1, 'wait', 'run'],
      [2, 'wait', 'wait'],
      [2, 'run', 'run'],
      [2, undefined, 'set aside'],
    ] as const) {
      const b = blame(deaths, abort);
      b.smaller = () => said;
      expect(b.verdict(1_000)).toBe(verdict);
    }
  });

  it('knows its suspect, and nobody once that is over', () => {
    const b = blame(2, kill);
    expect([b.isSuspect(4, 160), b.isSuspect(4, 161), b.isSuspect(5, 160), b.over]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    b.clear();
    expect(b.over).toBe(true);
    expect(new Blame(undefined, lockWith(kill), 42, 0).over).toBe(true);
    expect(diedByItself({ code: 134, atMs: 1 })).toBe(true);
  });
});
