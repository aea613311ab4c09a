import { defineConfig } from 'vitest/config';

// The kinds of test, by suffix, in the order in which `npm test` runs them.
const KINDS = ['crash', 'step', 'proc', 'browser'] as const;
const ROOTS = '{packages,examples,benchmarks,scripts}';
const IGNORED = ['**/node_modules/**', '**/dist/**'];

function project(name: string, include: string[], exclude: string[], timeoutMs: number) {
  return {
    test: {
      name,
      include,
      exclude: [...IGNORED, ...exclude],
      pool: 'forks' as const,
      testTimeout: timeoutMs,
      hookTimeout: timeoutMs,
    },
  };
}

// A time limit here is a watchdog against a hang, never an assertion about speed.
export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      project(
        'unit',
        [`${ROOTS}/**/*.test.ts`],
        KINDS.map(kind => `**/*.${kind}.test.ts`),
        120_000,
      ),
      ...KINDS.map(kind => project(kind, [`${ROOTS}/**/*.${kind}.test.ts`], [], 300_000)),
    ],
  },
});
