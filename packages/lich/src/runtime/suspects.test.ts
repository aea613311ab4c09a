/** Which record to suspect: the words page after a death, killed again at every store. */
import { describe, expect, it } from 'vitest';
import { WORDS } from '../state/index.ts';
import { SITE_WALK, Visits } from '../state/internal.ts';
import { countVisit, suspendedIn } from './suspects.ts';
import { killedAtEachStore } from '../testing/words-page.ts';

const page = () => new Int32Array(2048);
const living = () => 1;

function visiting(S: Int32Array, pool: number, slot: number, site = SITE_WALK): void {
  S[WORDS.VISIT_SLOT] = S[WORDS.VISIT_SLOT]! & 7;
  S[WORDS.VISIT_POOL] = ((pool + 1) << 8) | site;
  S[WORDS.VISIT_SLOT] = ((slot + 1) << 3) | (S[WORDS.VISIT_SLOT]! & 7);
}

describe('counting deaths in visits', () => {
  it('no record was visited: none is suspected', () => {
    expect(countVisit(page(), living)).toBeUndefined();
  });

  it('the same record again and again: one more each time, up to what fits', () => {
    const S = page();
    for (let n = 1; n <= 10; n++) {
      visiting(S, 2, 41);
      expect(countVisit(S, living)).toEqual({
        pool: 2,
        slot: 41,
        generation: 1,
        site: SITE_WALK,
        tries: Math.min(n, 7),
      });
    }
  });

  it('another slot, pool, site or generation begins at one', () => {
    for (const [pool, slot, site, generation] of [
      [2, 42, 1, 1],
      [3, 41, 1, 1],
      [2, 41, 16, 1],
      [2, 41, 1, 3],
    ] as const) {
      const S = page();
      visiting(S, 2, 41);
      countVisit(S, living);
      visiting(S, pool, slot, site);
      expect(countVisit(S, () => generation)).toEqual({ pool, slot, site, generation, tries: 1 });
    }
  });

  it('a record that is gone, or was made in the transaction that died, is not blamed', () => {
    const S = page();
    visiting(S, 2, 41);
    expect(countVisit(S, () => 0)).toBeUndefined();
    expect(S[WORDS.VISIT_SLOT]).toBe(0);
  });

  it('a death in no visit leaves the count of the accused', () => {
    const S = page();
    visiting(S, 2, 41);
    countVisit(S, living);
    const visits = new Visits(S);
    visits.tries = 1;
    visits.clear();
    expect(countVisit(S, living)!.tries).toBe(1);
  });

  it('killed at each of its stores and begun again: counted once', () => {
    let points = 0;
    for (const before of [undefined, [2, 41], [2, 40], [1, 41]] as const) {
      for (let deaths = 1; deaths <= 3; deaths++) {
        const S = page();
        for (let n = 0; before !== undefined && n < deaths; n++) {
          visiting(S, before[0], before[1]);
          countVisit(S, living);
        }
        visiting(S, 2, 41);
        const expected = countVisit(S.slice(), living);
        for (const left of killedAtEachStore(S, copy => void countVisit(copy, living))) {
          for (const again of killedAtEachStore(left, copy => void countVisit(copy, living))) {
            points++;
            expect(countVisit(again, living)).toEqual(expected);
          }
        }
      }
    }
    expect(points).toBeGreaterThan(50);
  });
});

it('visits within visits: the outer one is told again', () => {
  const S = page();
  const visits = new Visits(S);
  visits.tries = 2;
  const outer = visits.enter(3, 20);
  S[WORDS.VISIT_SLOT] = (8 << 3) | 2;
  const words = [S[WORDS.VISIT_POOL], S[WORDS.VISIT_SLOT]];
  const inner = visits.enter(0, 3);
  S[WORDS.VISIT_SLOT] = (1_000_000 << 3) | 2;
  expect(visits.none).toBe(false);
  visits.leave(inner);
  expect([S[WORDS.VISIT_POOL], S[WORDS.VISIT_SLOT]]).toEqual(words);
  visits.leave(outer);
  expect(visits.none).toBe(true);
  expect(S[WORDS.VISIT_SLOT]).toBe(2);
});

it('$suspended as readers see it', () => {
  expect(suspendedIn([0, 0, 0, 0], ['monsters'])).toEqual([]);
  expect(suspendedIn([5, 7, 1, 2], ['monsters'])).toEqual([{ pool: '(gone)', slot: 7, generation: 1, deaths: 2 }]);
});
