// What this machine can do that a test needs. What is lacking is skipped with one visible line; named in
// LICH_TEST_REQUIRE (a comma list) its lack is a failure.
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = join(root, '.cache');

const isProgram = path => {
  try {
    fs.accessSync(path, fs.constants.X_OK);
    return fs.statSync(path).isFile();
  } catch {
    return false;
  }
};
const inPath = name =>
  (process.env.PATH ?? '')
    .split(':')
    .map(folder => join(folder || '.', name))
    .find(isProgram);

function chromium() {
  const path = [process.env.CHROMIUM, inPath('chromium'), inPath('chromium-browser'), inPath('google-chrome')].find(
    candidate => candidate && isProgram(candidate),
  );
  return path ? { path } : { why: 'no chromium found (apt-get install chromium, or name yours in CHROMIUM)' };
}

/** Another Node major: LICH_NODE22=/path/to/node, or installed by `npm run nodes`. */
function otherNode(major) {
  const named = process.env[`LICH_NODE${major}`];
  const path = [named, join(CACHE, `nodes/node_modules/node${major}/bin/node`), process.execPath].find(candidate => {
    if (!candidate || !isProgram(candidate)) return false;
    const done = spawnSync(candidate, ['-p', 'process.versions.node'], { encoding: 'utf8' });
    return done.status === 0 && done.stdout.startsWith(`${major}.`);
  });
  return path ? { path } : { why: `no Node ${major} found (npm run nodes, or name one in LICH_NODE${major})` };
}

/** All majors that Lich is tested on, besides the one that runs. */
const MAJORS = [20, 22, 24, 26];

function nodes() {
  const own = Number(process.versions.node.split('.')[0]);
  // Majors before the one that runs may be missing: nobody goes back to them.
  const lacking = MAJORS.filter(major => major > own && otherNode(major).path === undefined);
  return lacking.length === 0 ? {} : { why: `Node ${lacking.join(', ')} not found (npm run nodes)` };
}

/** ptrace can be forbidden by a security module, a seccomp filter or a container: only trying tells. */
function ptrace() {
  if (process.platform !== 'linux') return { why: 'ptrace single-stepping is Linux only' };
  const source = `
    #include <signal.h>
    #include <sys/ptrace.h>
    #include <sys/wait.h>
    #include <unistd.h>
    int main(void) {
      int status;
      pid_t child = fork();
      if (child == 0) { if (ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(1); raise(SIGSTOP); _exit(0); }
      if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) return 1;
      if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) || waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) return 1;
      return ptrace(PTRACE_CONT, child, 0, 0) ? 1 : 0;
    }`;
  const folder = fs.mkdtempSync(join(CACHE, 'ptrace-'));
  try {
    const [cc, ...args] = (process.env.CC || 'cc').trim().split(/\s+/);
    const made = spawnSync(cc, [...args, '-x', 'c', '-o', join(folder, 'probe'), '-'], { input: source });
    if (made.status !== 0) return { why: `no C compiler (${cc}) to try ptrace with` };
    const done = spawnSync(join(folder, 'probe'));
    return done.status === 0 ? {} : { why: 'this machine does not allow ptrace' };
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function natsServer() {
  const path = inPath('nats-server') ?? ['/usr/sbin/nats-server'].find(isProgram);
  return path ? { path } : { why: 'no nats-server found (apt-get install nats-server)' };
}

function addon() {
  const path = join(root, 'packages/lich/native/build/lich.node');
  return fs.existsSync(path) ? { path } : { why: 'the addon is not compiled (npm run build)' };
}

function peer(name) {
  const require = createRequire(join(root, 'benchmarks/peers/package.json'));
  try {
    return { path: require.resolve(name) };
  } catch {
    return { why: `${name} is not installed (npm run bench:peers)` };
  }
}

function program(path) {
  return isProgram(path) ? { path } : { why: `${path} is missing` };
}

/** Can this user mount a tmpfs? */
function mount() {
  const folder = fs.mkdtempSync(join(CACHE, 'mount-'));
  try {
    const done = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'lich-probe', folder]);
    if (done.status !== 0) return { why: 'this user may not mount a tmpfs' };
    spawnSync('umount', [folder]);
    return {};
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Can this user make a memory cgroup below its own? */
function memoryCgroup() {
  try {
    const lines = fs.readFileSync('/proc/self/cgroup', 'latin1').split('\n');
    const v1 = lines.find(line => line.split(':')[1] === 'memory')?.split(':')[2];
    const v2 = lines.find(line => line.startsWith('0::'))?.slice(3);
    const parent = v1 === undefined ? join('/sys/fs/cgroup', v2 ?? '/none') : join('/sys/fs/cgroup/memory', v1);
    const folder = join(parent, `lich-probe-${process.pid}`);
    fs.mkdirSync(folder);
    try {
      fs.writeFileSync(join(folder, v1 === undefined ? 'memory.max' : 'memory.limit_in_bytes'), String(1 << 30));
      fs.accessSync(join(folder, 'cgroup.procs'), fs.constants.W_OK);
      return {};
    } finally {
      fs.rmdirSync(folder);
    }
  } catch (error) {
    return { why: `no memory cgroup can be made here (${error.code ?? error.message})` };
  }
}

const PROBES = {
  addon,
  chromium,
  ptrace,
  mount,
  nodes,
  'nats-server': natsServer,
  'memory-cgroup': memoryCgroup,
  setarch: () => program('/usr/bin/setarch'),
  linux: () => (process.platform === 'linux' ? {} : { why: `this is ${process.platform}` }),
  lmdb: () => peer('lmdb'),
  'better-sqlite3': () => peer('better-sqlite3'),
  zeromq: () => peer('zeromq'),
};

const known = new Map();

/** Looks once for `name`: a name of PROBES, or `node22`, `node24`, … @returns `{ ok, path?, why? }` */
export function capability(name) {
  if (!known.has(name)) {
    const major = /^node(\d+)$/.exec(name)?.[1];
    const probe = major ? () => otherNode(major) : PROBES[name];
    if (!probe)
      throw new TypeError(`unknown capability ${name}; known: ${Object.keys(PROBES).join(', ')}, node<major>`);
    fs.mkdirSync(CACHE, { recursive: true });
    const found = probe();
    known.set(name, { ok: found.why === undefined, ...found });
  }
  return known.get(name);
}

export const have = name => capability(name).ok;

/** Where the program or module is. @throws Error when it is not there: ask `have` or `need` first. */
export function pathOf(name) {
  const { path, why } = capability(name);
  if (!path) throw new Error(why ?? `${name} has no path`);
  return path;
}

const required = () =>
  (process.env.LICH_TEST_REQUIRE ?? '')
    .split(',')
    .map(word => word.trim())
    .filter(Boolean);

/** For tests: `describe.skipIf(!need('chromium'))`. Says a lack in one line, which the end of `npm test` repeats.
 * @throws Error when it lacks although LICH_TEST_REQUIRE names it */
export function need(name) {
  const { ok, why } = capability(name);
  if (ok) return true;
  const line = `skipped: ${name}: ${why}`;
  if (required().includes(name)) throw new Error(`LICH_TEST_REQUIRE asks for ${name}: ${why}`);
  if (process.env.LICH_TEST_SKIPS) fs.appendFileSync(process.env.LICH_TEST_SKIPS, `${line}\n`);
  else process.stderr.write(`${line}\n`);
  return false;
}
