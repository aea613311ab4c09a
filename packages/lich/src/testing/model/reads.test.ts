import { describe, expect, test } from 'vitest';
import { explore, report } from './explorer.ts';
import { READS_MUTATIONS, type ReadsConfig, type ReadsMutation, readsModel } from './reads.ts';

const SOAK = process.env.LICH_SOAK === '1';

function explored(config: ReadsConfig) {
  const model = readsModel(config);
  const found = explore(model);
  return { found, text: report(model, found) };
}

// `atLeast`: states that a search of this size must reach, so that a model that lost its steps is noticed.
const PROOFS: (ReadsConfig & { atLeast: number })[] = [
  { atLeast: 10_000, transactions: 3, ring: 4, kills: 0 },
  { atLeast: 100_000, transactions: 3, ring: 6, kills: 1 },
];
const SOAK_PROOFS: typeof PROOFS = [{ atLeast: 500_000, transactions: 4, ring: 7, kills: 2 }];

describe('a read in several steps is one commit', () => {
  test.each(SOAK ? [...PROOFS, ...SOAK_PROOFS] : PROOFS)('%o', ({ atLeast, ...config }) => {
    const { found, text } = explored(config);
    console.log(text);
    expect(text).toContain(': ok,');
    expect(found.finals).toBeGreaterThan(0);
    expect(found.states).toBeGreaterThan(atLeast);
  });
});

describe('each rule is needed: without it the model finds a torn view', () => {
  const usual: ReadsConfig = { transactions: 3, ring: 5, kills: 0 };
  test.each(Object.keys(READS_MUTATIONS) as ReadsMutation[])('%s', mutation => {
    const { found, text } = explored({ ...usual, mutation });
    expect(text).toMatch(/torn/);
    expect(found.path).not.toHaveLength(0);
  });
});
