// npm run nodes: installs the other majors of Node that Lich is tested on, into .cache/nodes (a minute, 400 MB).
// npm run nodes -- --test [stages]: also runs stages of npm test (default unit,step) with each of them.
//
// `npm test` itself resumes one state with each of them in turn (packages/lich/src/testing/nodes.proc.test.ts).
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { capability } from './lib/capability.mjs';
import { run } from './lib/run.mjs';
import { root } from './setup.mjs';

/** One of each major; the packages are Node as nodejs.org builds it. */
const VERSIONS = { node22: '22.23.3', node24: '24.21.0', node26: '26.10.0' };

const folder = join(root, '.cache/nodes');
const stamp = join(folder, 'installed');
const wanted = JSON.stringify(VERSIONS);

async function install() {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return 0;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n');
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
  const packages = Object.entries(VERSIONS).map(([name, version]) => `${name}@npm:node-linux-${arch}@${version}`);
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  const args = ['install', '--no-workspaces', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
  const { code } = await run(npm[0], [...npm.slice(1), ...args, '--prefix', folder, ...packages], { cwd: folder });
  if (code === 0) writeFileSync(stamp, wanted);
  return code;
}

async function test(stages) {
  let failed = 0;
  for (const name of Object.keys(VERSIONS)) {
    const { path, why } = capability(name);
    if (path === undefined) throw new Error(why);
    process.stdout.write(`\n==== ${name} ${VERSIONS[name]}\n`);
    const { code } = await run(path, [join(root, 'scripts/test.mjs'), '--only', stages]);
    failed ||= code;
  }
  return failed;
}

process.exitCode = await install();
const at = process.argv.indexOf('--test');
if (process.exitCode === 0 && at > 0) process.exitCode = await test(process.argv[at + 1] ?? 'unit,step');
