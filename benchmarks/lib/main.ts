/** npm run bench -- [topic…] [--small] [--json] [--save] [--list] */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { INFO, type Row, type Skip, type Topic, ratioOf } from './bench.ts';

const sources = join(import.meta.dirname, '../..'); // benchmarks/, seen from benchmarks/dist/lib
const results = join(sources, 'results');

const usage = `npm run bench -- [topic...] [options]
  --list    name the topics
  --small   a quick run that proves the benches work; its figures mean nothing
  --json    one JSON object a line
  --save    keep the figures in benchmarks/results/<topic>.json
`;

/** What the figures were measured on. */
function machine() {
  let commit = 'unknown';
  try {
    const git = (...args: string[]) =>
      execFileSync('git', args, { cwd: sources, encoding: 'utf8', stdio: 'pipe' }).trim();
    commit = git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') ? ' with changes' : '');
  } catch {
    // not a git checkout: the figures stand without a commit
  }
  const model = cpus()[0]?.model ?? 'unknown processor';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return {
    cores: cpus().length,
    processor: model.trim(),
    memory,
    kernel: `${type()} ${release()}`,
    node: process.version,
    commit,
  };
}

const topicNames = () =>
  readdirSync(sources)
    .filter(name => existsSync(join(sources, name, 'topic.ts')))
    .sort();

async function load(name: string): Promise<Topic> {
  const file = pathToFileURL(join(import.meta.dirname, '..', name, 'topic.js')).href;
  return ((await import(file)) as { default: Topic }).default;
}

/** Four digits that count, with thousands set apart. */
function show(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(4)));
}

const shown = ({ topic, row }: { topic: string; row: Row }) => {
  const ratio = ratioOf(row);
  const { metric, unit, ours, peer, peerValue, goal, better, spread, note } = row;
  return { topic, metric, unit, ours, peer, peerValue, ratio, goal, ok: ratio >= goal, better, spread, note };
};

function table(rows: readonly Row[]): string {
  const head = ['metric', 'unit', 'ours', 'peer', 'its value', 'ratio', 'goal', ''];
  const lines = rows.map(row => {
    const ratio = ratioOf(row);
    const held = row.goal === INFO ? '' : ratio >= row.goal ? 'ok' : 'MISSED';
    return [
      row.metric,
      row.unit,
      show(row.ours),
      row.peer,
      show(row.peerValue),
      `${show(ratio)}x`,
      row.goal === INFO ? '-' : `${show(row.goal)}x`,
      held,
    ];
  });
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map(line => line[column].length)));
  const numeric = new Set([2, 4, 5, 6]);
  const format = (line: readonly string[]) =>
    line
      .map((cell, i) => (numeric.has(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  const notes = [...new Set(rows.flatMap(row => (row.note ? [`  ${row.metric}: ${row.note}`] : [])))];
  return [format(head), ...lines.map(format), ...notes].join('\n');
}

async function main(args: readonly string[]): Promise<number> {
  const known = ['--list', '--small', '--json', '--save', '--help'];
  const flags = new Set(args.filter(arg => arg.startsWith('-')));
  const asked = args.filter(arg => !arg.startsWith('-'));
  const all = topicNames();
  const wrong = [...flags].find(flag => !known.includes(flag)) ?? asked.find(name => !all.includes(name));
  if (wrong) {
    process.stderr.write(
      `bench: unknown ${wrong.startsWith('-') ? 'option' : 'topic'} ${wrong}; topics: ${all.join(', ') || 'none'}\n${usage}`,
    );
    return 2;
  }
  if (flags.has('--help')) {
    process.stdout.write(usage);
    return 0;
  }
  if (flags.has('--list')) {
    for (const name of all)
      process.stdout.write(
        flags.has('--json')
          ? `${JSON.stringify({ topic: name })}\n`
          : `${name.padEnd(12)} ${(await load(name)).summary}\n`,
      );
    return 0;
  }
  const json = flags.has('--json');
  const size = flags.has('--small') ? 'small' : 'full';
  const on = machine();
  if (!json) {
    process.stdout.write(
      `${on.cores} cores ${on.processor}, ${on.memory}, ${on.kernel}, Node ${on.node}, commit ${on.commit}\n`,
    );
    process.stdout.write(
      'ratio: how many times better than the peer, above 1 is better, for costs too; ok: ratio >= goal\n',
    );
  }
  let failed = 0;
  for (const name of asked.length ? asked : all) {
    const rows: Row[] = [];
    const skips: Skip[] = [];
    try {
      const topic = await load(name);
      if (!json)
        process.stdout.write(`\n${name}: ${topic.summary}${size === 'small' ? ' (small: no measurement)' : ''}\n`);
      for await (const row of topic.rows(size)) {
        if ('skipped' in row) skips.push(row);
        else {
          rows.push(row);
          if (!json) process.stderr.write(`  ${row.metric} (${row.peer}): ${show(row.ours)} ${row.unit}\n`);
        }
        if (json && !('skipped' in row)) process.stdout.write(`${JSON.stringify(shown({ topic: name, row }))}\n`);
      }
    } catch (error) {
      failed++;
      process.stderr.write(`bench ${name} failed: ${error instanceof Error ? error.stack : String(error)}\n`);
    }
    if (!json && rows.length) process.stdout.write(`${table(rows)}\n`);
    const lines = new Set(skips.map(({ peer, skipped }) => `skipped: ${name} beside ${peer}: ${skipped}\n`));
    for (const line of lines) (json ? process.stderr : process.stdout).write(line);
    if (flags.has('--save') && rows.length) save(name, rows, on);
  }
  return failed ? 1 : 0;
}

/** Keeps the figures of a topic, and says how the ratios moved since they were kept last. */
function save(topic: string, rows: readonly Row[], on: ReturnType<typeof machine>): void {
  const file = join(results, `${topic}.json`);
  type Kept = { rows: { metric: string; peer: string; ratio: number }[] };
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Kept).rows : [];
  const now = rows.map(row => shown({ topic, row }));
  for (const { metric, peer, ratio } of now) {
    const last = before.find(row => row.metric === metric && row.peer === peer);
    if (last)
      process.stderr.write(`${topic}: ${metric} beside ${peer}: ${show(last.ratio)}x before, ${show(ratio)}x now\n`);
  }
  mkdirSync(results, { recursive: true });
  writeFileSync(file, `${JSON.stringify({ measuredOn: on, rows: now }, null, 2)}\n`);
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.on(signal, () => process.exit(code));
process.exitCode = await main(process.argv.slice(2));
