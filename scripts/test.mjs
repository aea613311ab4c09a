// npm test: everything, in stages, each to its end. The last line is `N passed, N failed, N skipped`.
//
//   npm test                           all stages
//   npm test -- --only unit,lint       some stages: types, lint, imports, unit, crash, step, proc, browser, bench
//   npm test -- packages/lich/src/bus  vitest on what these paths match, with vitest's own options
//
// What the machine lacks is skipped and named at the end; LICH_TEST_REQUIRE=chromium,ptrace makes such a skip a failure.
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runScript, runTool } from './lib/run.mjs';
import { filesBelow } from './lib/tree.mjs';
import { lintCode, lintImports } from './lint.mjs';
import { compile, root, setup } from './setup.mjs';

const scratch = fs.mkdtempSync(join(tmpdir(), 'lich-test-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));
const skipsFile = join(scratch, 'skips');

const passed = () => ({ passed: 1, failed: 0, skipped: 0 });
const failed = () => ({ passed: 0, failed: 1, skipped: 0 });
const none = () => ({ passed: 0, failed: 0, skipped: 0 });
const verdict = ok => (ok ? passed() : failed());
const add = (a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped });

async function vitest(name, args) {
  const report = join(scratch, `${name}.json`);
  const { code } = await runTool(
    'vitest/vitest.mjs',
    ['run', '--passWithNoTests', '--reporter=dot', '--reporter=json', `--outputFile.json=${report}`, ...args],
    { env: { LICH_TEST_SKIPS: skipsFile } },
  );
  if (!fs.existsSync(report)) return verdict(code === 0);
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(fs.readFileSync(report, 'utf8'));
  const counts = { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests };
  // A file that does not load, or an error outside any test, fails no test and yet the run.
  return code !== 0 && counts.failed === 0 ? add(counts, failed()) : counts;
}

/** The small size of every topic: proves that the benches run, measures nothing. */
async function bench() {
  let counts = none();
  const topics = filesBelow(join(root, 'benchmarks'), path => path.endsWith('/topic.ts')).map(path =>
    path.split('/').at(-2),
  );
  for (const topic of topics) {
    const done = await runScript('benchmarks/dist/lib/main.js', [topic, '--small', '--json'], { capture: true });
    const rows = done.stdout.split('\n').filter(Boolean).length;
    const skips = done.stderr.split('\n').filter(line => line.startsWith('skipped: '));
    fs.appendFileSync(skipsFile, skips.map(line => `${line}\n`).join(''));
    const ok = done.code === 0 && rows + skips.length > 0;
    if (!ok) process.stdout.write(`bench ${topic} failed (code ${done.code}, ${rows} rows)\n${done.stderr}`);
    counts = add(counts, { ...verdict(ok), skipped: skips.length });
  }
  return counts;
}

const isKind = name => path => (name === 'unit' ? path.endsWith('.test.ts') : path.endsWith(`.${name}.test.ts`));
const haveTests = name =>
  ['packages', 'examples', 'benchmarks', 'scripts'].some(area => filesBelow(join(root, area), isKind(name)).length > 0);
const kind = name => [name, () => (haveTests(name) ? vitest(name, ['--project', name]) : none())];
const STAGES = new Map([
  ['types', () => verdict(compile({ tests: true }))],
  ['lint', async () => verdict(await lintCode())],
  ['imports', () => verdict(lintImports())],
  kind('unit'),
  kind('crash'),
  kind('step'),
  kind('proc'),
  kind('browser'),
  ['bench', bench],
]);

function stagesFor(args) {
  const only = args.indexOf('--only');
  if (only < 0) return args.length ? new Map([['vitest', () => vitest('vitest', args)]]) : STAGES;
  const names = (args[only + 1] ?? '').split(',');
  const unknown = names.find(name => !STAGES.has(name));
  if (unknown !== undefined) {
    process.stderr.write(
      `npm test: no stage ${unknown || '(none named)'}; there are: ${[...STAGES.keys()].join(', ')}\n`,
    );
    process.exit(2);
  }
  return new Map(names.map(name => [name, STAGES.get(name)]));
}

const stages = stagesFor(process.argv.slice(2));
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => (interrupted = true));

await setup({ compileErrors: 'return' }); // what it finds, the stage `types` shows and counts
let total = none();
const lines = [];
for (const [name, stage] of stages) {
  if (interrupted) break;
  process.stdout.write(`\n== ${name}\n`);
  const began = Date.now();
  let counts;
  try {
    counts = await stage();
  } catch (error) {
    process.stdout.write(`${error.stack}\n`);
    counts = failed();
  }
  const seconds = `${((Date.now() - began) / 1000).toFixed(1)} s`;
  lines.push(
    `${name.padEnd(9)} ${counts.failed ? 'FAILED' : 'ok'.padEnd(6)} ${seconds.padStart(8)}   ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`,
  );
  process.stdout.write(`== ${lines.at(-1)}\n`);
  total = add(total, counts);
}
if (interrupted) total = add(total, failed());

process.stdout.write(`\n${lines.join('\n')}\n`);
const skips = fs.existsSync(skipsFile) ? fs.readFileSync(skipsFile, 'utf8').split('\n').filter(Boolean) : [];
for (const line of new Set(skips)) process.stdout.write(`${line}\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed ? 1 : 0;
