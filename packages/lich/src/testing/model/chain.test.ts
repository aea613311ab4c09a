import { describe, expect, test } from 'vitest';
import { CHAIN_MUTATIONS, type ChainConfig, type ChainMutation, chainModel } from './chain.ts';
import { explore, report } from './explorer.ts';

const SOAK = process.env.LICH_SOAK === '1';

function explored(config: ChainConfig) {
  const model = chainModel(config);
  const found = explore(model);
  return { found, text: report(model, found) };
}

// `atLeast`: states that a search of this size must reach, so that a model that lost its steps is noticed.
const PROOFS: (ChainConfig & { atLeast: number })[] = [
  { atLeast: 40_000, messages: 3, capacity: 1, kills: 2 },
  { atLeast: 400_000, messages: 3, capacity: 2, kills: 3 },
  { atLeast: 50_000, messages: 2, capacity: 1, kills: 1, reader: true },
];
const SOAK_PROOFS: typeof PROOFS = [
  { atLeast: 900_000, messages: 4, capacity: 2, kills: 3 },
  { atLeast: 2_500_000, messages: 5, capacity: 2, kills: 4 },
  { atLeast: 1_000_000, messages: 3, capacity: 1, kills: 2, reader: true },
];

describe('one message, one commit', () => {
  test.each(SOAK ? [...PROOFS, ...SOAK_PROOFS] : PROOFS)('%o', ({ atLeast, ...config }) => {
    const { found, text } = explored(config);
    console.log(text);
    expect(text).toContain(': ok,');
    expect(found.finals).toBeGreaterThan(0);
    expect(found.states).toBeGreaterThan(atLeast);
  });
});

describe('each rule is needed: without it the model finds a violation', () => {
  const usual: ChainConfig = { messages: 3, capacity: 1, kills: 2 };
  const read: ChainConfig = { messages: 2, capacity: 1, kills: 1, reader: true };
  const expected: Record<ChainMutation, [ChainConfig, RegExp]> = {
    headBeforeCommit: [usual, /head of B visible before its commit/],
    tailBeforeCommit: [usual, /tail of A visible before its commit/],
    dataBeforeLog: [usual, /A has handled 1 but sent 0/],
    noLogHead: [usual, /B stands at 1 but has handled 0/],
    noLogTail: [usual, /A has handled 0 but sent 1/],
    slotAfterTail: [usual, /gets 0 where 1 is due/],
    noRepublish: [usual, /stuck/],
    popWhileUndo: [usual, /A has handled 1 but sent 0/],
    // Survives kills: only a reader from outside sees it.
    popAfterRestore: [read, /torn view/],
    undoOldestFirst: [usual, /A has handled 101/],
  };
  test.each(Object.keys(CHAIN_MUTATIONS) as ChainMutation[])('%s', mutation => {
    const [config, violation] = expected[mutation];
    const { found, text } = explored({ ...config, mutation });
    expect(text).toMatch(violation);
    expect(found.path).not.toHaveLength(0);
  });

  test('popping entries after each restore survives every kill', () => {
    const { text } = explored({ ...usual, mutation: 'popAfterRestore' });
    expect(text).toContain(': ok,');
  });
});
