// All set-up in one place, done only where needed: install from the lock file, compile the addon, compile TypeScript.
// Every other script imports this first; `node scripts/setup.mjs` (npm run build) does it alone.
// Plain JavaScript without dependencies: it runs on a fresh clone, and tells an old Node so in a sentence.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './lib/bundle.mjs';

export const root = fileURLToPath(new URL('..', import.meta.url));

const NODE_MIN = [20, 19];
const CACHE = join(root, '.cache');
const LOCK = join(CACHE, 'setup.lock');
const MODULES = join(root, 'node_modules');
const INSTALL_STAMP = join(MODULES, '.lich-lock-hash');
const NATIVE = join(root, 'packages/lich/native');
const ADDON = join(NATIVE, 'build/lich.node');
const ADDON_STAMP = join(NATIVE, 'build/lich.hash');
const HEADERS = join(MODULES, 'node-api-headers');
// nodelete: Node unloads an addon with the last thread that loaded it, and its watcher threads end a little later.
const CFLAGS = '-O2 -Wall -Wextra -Werror -shared -fPIC -pthread -std=gnu11 -fvisibility=hidden -Wl,-z,nodelete'.split(
  ' ',
);

/** Says why nothing can go on, in plain words, and leaves with code 1. */
function fail(message) {
  process.stderr.write(`\nsetup: ${message}\n`);
  process.exit(1);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
    fail(`this is Node ${process.versions.node}; Lich needs Node ${NODE_MIN.join('.')} or newer (https://nodejs.org).`);
  }
}

async function step(name, work) {
  const began = Date.now();
  process.stderr.write(`setup: ${name} `);
  await work();
  process.stderr.write(`${((Date.now() - began) / 1000).toFixed(1)} s\n`);
}

const sha = parts => parts.reduce((hash, part) => hash.update(part).update('\0'), createHash('sha256')).digest('hex');
const textOf = path => (fs.existsSync(path) ? fs.readFileSync(path, 'utf8') : undefined);

// ---- packages

const lockHash = () => sha([fs.readFileSync(join(root, 'package-lock.json'))]);

/** Does what npm says it installed (its hidden lock file) hold every package of the lock file, at that version? */
function installedMatches() {
  const hidden = textOf(join(MODULES, '.package-lock.json'));
  if (!hidden) return false;
  const installed = JSON.parse(hidden).packages;
  const wanted = JSON.parse(fs.readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes('node_modules/')) return true; // the root and the workspaces themselves
    const found = installed[path];
    if (!found) return Boolean(entry.optional);
    return (
      (entry.link ? found.resolved === entry.resolved : found.version === entry.version) &&
      fs.existsSync(join(root, path))
    );
  });
}

function installNeeded() {
  if (textOf(INSTALL_STAMP) === lockHash()) return false;
  if (!installedMatches()) return true;
  fs.writeFileSync(INSTALL_STAMP, lockHash());
  return false;
}

async function install() {
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  // No package here needs an install script, so none is run.
  const args = ['ci', '--include=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const child = spawn(npm[0], [...npm.slice(1), ...args], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', text => (output += text));
  // An npm that outlived us would write into the next set-up's node_modules.
  const stop = signal => child.kill(signal);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, stop);
  const end = await new Promise(resolve => {
    child.on('error', error => resolve(error.message));
    child.on('close', (code, signal) => resolve(signal ?? code));
  });
  for (const signal of signals) process.off(signal, stop);
  if (end !== 0) {
    process.stderr.write(`\n${output}`);
    fail(`npm ci failed (${typeof end === 'number' ? `exit code ${end}` : end}).`);
  }
  fs.writeFileSync(INSTALL_STAMP, lockHash());
}

// ---- addon

const compiler = () => (process.env.CC || 'cc').trim().split(/\s+/);
const nativeFiles = end =>
  fs
    .readdirSync(NATIVE)
    .filter(name => name.endsWith(end))
    .sort()
    .map(name => join(NATIVE, name));

function addonHash() {
  const files = [...nativeFiles('.c'), ...nativeFiles('.h')];
  const headers = JSON.parse(fs.readFileSync(join(HEADERS, 'package.json'), 'utf8')).version;
  const facts = [compiler().join(' '), CFLAGS.join(' '), headers, process.arch];
  return sha([...facts, ...files.flatMap(file => [relative(NATIVE, file), fs.readFileSync(file)])]);
}

const addonNeeded = () =>
  nativeFiles('.c').length > 0 && !(fs.existsSync(ADDON) && textOf(ADDON_STAMP) === addonHash());

function compileAddon() {
  const [cc, ...ccArgs] = compiler();
  fs.mkdirSync(join(NATIVE, 'build'), { recursive: true });
  // Under another name first: a running process keeps the file that it has mapped.
  const made = `${ADDON}.${process.pid}`;
  const include = ['-I', join(HEADERS, 'include')];
  const done = spawnSync(cc, [...ccArgs, ...CFLAGS, ...include, '-o', made, ...nativeFiles('.c')], {
    encoding: 'utf8',
  });
  if (done.error?.code === 'ENOENT') {
    fail(
      `no C compiler: \`${cc}\` was not found. Install one (Debian, Ubuntu: apt-get install gcc libc6-dev; ` +
        'Fedora: dnf install gcc; Alpine: apk add gcc musl-dev) or name yours in CC.',
    );
  }
  if (done.status !== 0) {
    fs.rmSync(made, { force: true });
    process.stderr.write(done.stderr ?? '');
    if (/fatal error: .*(No such file|not found)/.test(done.stderr ?? '')) {
      fail('a C header is missing. Install the C library headers (Debian, Ubuntu: apt-get install libc6-dev).');
    }
    fail(`${cc} could not compile packages/lich/native (${done.error?.message ?? `exit code ${done.status}`}).`);
  }
  fs.renameSync(made, ADDON);
  fs.writeFileSync(ADDON_STAMP, addonHash());
}

// ---- TypeScript

/** Compiles what runs, or with `tests` also checks the types of the tests. Returns false on errors, which are shown. */
export function compile({ tests = false } = {}) {
  const began = Date.now();
  const project = tests ? 'tsconfig.json' : 'tsconfig.build.json';
  const tsc = join(MODULES, 'typescript/bin/tsc');
  const pretty = process.stdout.isTTY ? ['--pretty'] : [];
  const done = spawnSync(process.execPath, [tsc, '-b', project, ...pretty], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const seconds = (Date.now() - began) / 1000;
  if (seconds > 1 && !tests) process.stderr.write(`setup: compile TypeScript ${seconds.toFixed(1)} s\n`);
  return done.status === 0;
}

// ---- one at a time

/** When a process began, in clock ticks after boot: with the pid it names a process for good. */
function startedAt(pid) {
  const stat = textOf(`/proc/${pid}/stat`);
  return stat ? stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] : '';
}

function lockHolderLives(holder) {
  const [pid, started] = holder.split(' ');
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
  return startedAt(pid) === started;
}

/** Two set-ups at once would delete each other's node_modules: the second waits here until the first ends. */
async function withLock(work) {
  fs.mkdirSync(CACHE, { recursive: true });
  const mine = `${process.pid} ${startedAt(process.pid)}`;
  const draft = `${LOCK}.${process.pid}`;
  for (let waits = 0; ; waits++) {
    fs.writeFileSync(draft, mine);
    try {
      fs.linkSync(draft, LOCK); // the name appears with its content, so no reader sees an empty lock
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const holder = textOf(LOCK);
    if (holder !== undefined && !lockHolderLives(holder)) {
      // Moved, not removed: if another took the place of the dead one meanwhile, it gets its lock back.
      try {
        fs.renameSync(LOCK, `${draft}.dead`);
        if (textOf(`${draft}.dead`) !== holder) fs.linkSync(`${draft}.dead`, LOCK);
      } catch (error) {
        if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error;
      }
      fs.rmSync(`${draft}.dead`, { force: true });
      continue;
    }
    if (waits === 10) process.stderr.write(`setup: waiting for another set-up (pid ${holder?.split(' ')[0] ?? '?'})\n`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  fs.rmSync(draft, { force: true });
  const release = () => fs.rmSync(LOCK, { force: true });
  process.once('exit', release); // fail() leaves this way
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

/** Brings the checkout into a state that runs. Quick when nothing changed.
 * @param options.compileErrors `fail` (default) leaves on type errors; `return` hands back false, for `npm test`. */
export async function setup({ compileErrors = 'fail' } = {}) {
  checkNode();
  return withLock(async () => {
    if (installNeeded()) await step('install packages (npm ci)', install);
    if (addonNeeded()) await step('compile the addon', compileAddon);
    const compiled = compile();
    if (!compiled && compileErrors === 'fail') fail('TypeScript found the errors above.');
    if (compiled) await bundle(root);
    return compiled;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setup();
