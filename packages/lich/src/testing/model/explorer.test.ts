import { expect, test } from 'vitest';
import { explore, type Model, report } from './explorer.ts';

/** Two counters to 3; a step may add to either. With `trap`, 2/1 cannot be left. */
function counters(options: { trap?: boolean; limit?: number; hide?: boolean }): Model {
  return {
    name: 'counters',
    bytes: 2,
    initial() {},
    next(s, moves) {
      if (options.trap && s[0] === 2 && s[1] === 1) return;
      for (let i = 0; i < 2; i++) {
        if (s[i] === 3) continue;
        const n = moves.begin();
        n[i]++;
        moves.end(`add to ${i}`);
      }
    },
    check: s => (options.limit !== undefined && s[0] + s[1] > options.limit ? `sum is ${s[0] + s[1]}` : undefined),
    isFinal: s => s[0] === 3 && s[1] === 3,
    ...(options.hide && { isTransient: (s: Uint8Array) => s[1] === 1 }),
  };
}

test('visits every state once', () => {
  const found = explore(counters({}));
  expect(found).toMatchObject({ ok: true, states: 16, finals: 1, steps: 24 });
  expect(report(counters({}), found)).toContain('ok, 16 states');
});

test('gives the shortest way to a violation', () => {
  const found = explore(counters({ limit: 2 }));
  expect(found.violation).toBe('sum is 3');
  expect(found.path).toEqual(['add to 0', 'add to 0', 'add to 0']);
});

test('finds a state without a way to the end', () => {
  const found = explore(counters({ trap: true }));
  expect(found.violation).toMatch(/^stuck/);
  expect(found.path).toHaveLength(3);
});

test('transient states are checked but not stored', () => {
  const found = explore(counters({ hide: true }));
  expect(found).toMatchObject({ ok: true, states: 12 });
  const broken = explore(counters({ hide: true, limit: 0 }));
  expect(broken.violation).toBe('sum is 1');
  const late = explore(counters({ hide: true, limit: 3 }));
  expect(late.violation).toBe('sum is 4');
  expect(late.path).toHaveLength(4);
});

test('says when it gave up', () => {
  const found = explore(counters({}), { maxStates: 5 });
  expect(found).toMatchObject({ ok: false, truncated: true });
});
