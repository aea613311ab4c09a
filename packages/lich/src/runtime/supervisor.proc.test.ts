/** What `lich up` starts, and what it leaves: nodes that cannot start, its own death, Ctrl-C, and --keep. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, processesOf, rootOf, until } from '../testing/lich-up.ts';
import { buildTopology } from './load.ts';

const PAIR = fileURLToPath(new URL('../testing/fixtures/pair/topology.ts', import.meta.url));
const ENTRY = fileURLToPath(new URL('../../dist/bundle/node-entry.js', import.meta.url));
const MODULES = fileURLToPath(new URL('../../../../node_modules', import.meta.url));

const ups: LichUp[] = [];
afterEach(async () => {
  for (const up of ups.splice(0)) await up.stop();
  removeTestDirs();
});

function start(topology: string, dir: string, args?: string[], env?: Record<string, string>): LichUp {
  const up = new LichUp(topology, dir, env, args);
  ups.push(up);
  return up;
}

/** A project with these files; `topology.ts` names one service. */
function project(files: Record<string, string>): string {
  const dir = testDir();
  fs.writeFileSync(`${dir}/package.json`, '{ "type": "module" }');
  fs.symlinkSync(MODULES, `${dir}/node_modules`);
  const all = { 'scene.ts': scene(), 'topology.ts': topologyOf(), ...files };
  for (const [name, text] of Object.entries(all)) fs.writeFileSync(`${dir}/${name}`, text);
  return dir;
}

const scene = (o: { fields?: string; start?: string; name?: string; extra?: string } = {}) => `
import { int, own, protocol, service, state, text } from 'lich';
export const State = state({ ${o.fields ?? 'lives: int, beats: int'} });
export const P = protocol({ beat: own({}) });
${o.extra ?? ''}
export default service('${o.name ?? 'scene'}', {
  state: State, protocol: P, config: { speed: 5, deep: { ms: 1 } },
  start(ctx) { ${o.start ?? "ctx.state.lives = 1; ctx.post('beat', {});"} },
  resumed(ctx) { ctx.state.lives++; },
  on: { beat(ctx) { ctx.state.beats++; ctx.after(1, 'beat', {}); } },
});`;
const topologyOf = (more = '') => `
import { topology } from 'lich';
export const zone = topology({ scene: { run: './scene.ts', limits: { logBytes: 1 << 20, timers: 64 }, ${more} } });`;

describe('a node that cannot start', () => {
  it.each<[string, Record<string, string>, RegExp]>([
    [
      'a config of the wrong type',
      { 'topology.ts': topologyOf("config: { speed: 'fast' }") },
      /scene-1 cannot start: RUNTIME_BAD_CONFIG: topology scene\.config: field speed is "fast"/,
    ],
    [
      'a config with an unknown field',
      { 'topology.ts': topologyOf('config: { deep: { sec: 1 } }') },
      /scene-1 cannot start: RUNTIME_BAD_CONFIG: .*field deep\.sec is not a field/,
    ],
    [
      'a config file of the wrong type',
      { 'topology.ts': topologyOf("config: './my.config.ts'"), 'my.config.ts': 'export default { speed: null };' },
      /scene-1 cannot start: RUNTIME_BAD_CONFIG: .*my\.config\.ts: field speed is null/,
    ],
    [
      'a config file that is missing',
      { 'topology.ts': topologyOf("config: './none.ts'") },
      /RUNTIME_COMPILE: .*none\.ts does not exist/,
    ],
    [
      'a service of another name',
      { 'scene.ts': scene({ name: 'other' }) },
      /scene-1 cannot start: RUNTIME_BAD_TOPOLOGY: .*defines service `other`/,
    ],
    [
      'no service at all',
      { 'scene.ts': 'export default 5;' },
      /scene-1 cannot start: RUNTIME_BAD_TOPOLOGY: .*no service as its default export/,
    ],
    [
      'a start that throws',
      { 'scene.ts': scene({ start: "throw new Error('no map');" }) },
      /scene-1 cannot start: no map/,
    ],
    [
      'a state that cannot be',
      { 'scene.ts': scene({ fields: 'lives: int, beats: 5' }) },
      /scene-1 cannot start: SCHEMA_/,
    ],
    [
      'a module that throws',
      { 'scene.ts': scene({ extra: "throw new Error('at load');" }) },
      /scene-1 cannot start: at load/,
    ],
    [
      'an import that is not there',
      { 'scene.ts': `import 'no-such-package';\n${scene()}` },
      /scene-1 cannot start: .*no-such-package/,
    ],
    [
      'a file that is not there',
      { 'topology.ts': "import { topology } from 'lich'; export const t = topology({ scene: { run: './none.ts' } });" },
      /RUNTIME_COMPILE: .*none\.ts does not exist/,
    ],
    ['a syntax error', { 'scene.ts': 'export default {\n  a: 1,\n  b: =\n};' }, /RUNTIME_COMPILE: .*scene\.ts:3/],
    ['no topology', { 'topology.ts': 'export const a = 1;' }, /RUNTIME_BAD_TOPOLOGY: .*exports 0 topologies/],
    ['a bad topology', { 'topology.ts': topologyOf('count: 0') }, /RUNTIME_BAD_TOPOLOGY: topology scene\.count is 0/],
  ])('%s: named with its reason, exit code 1, nothing is left', async (_, files, reason) => {
    const at = project(files);
    const dir = `${at}/cluster`;
    const up = start(`${at}/topology.ts`, dir, []);
    expect(await up.ended).toEqual({ code: 1, signal: null });
    expect(up.errors).toMatch(reason);
    expect(processesOf(dir)).toEqual([]);
    expect(fs.existsSync(dir)).toBe(false);
  });

  it('a layout that differs: the old segments stay as they are, and the old code goes on with them', async () => {
    const at = project({});
    const dir = `${at}/cluster`;
    const one = start(`${at}/topology.ts`, dir);
    await one.said('ready after');
    const reader = one.reader('scene-1');
    await until(() => rootOf(reader).beats! > 20);
    await one.stop();
    const before = fs.readFileSync(`${dir}/scene-1.state`);
    fs.writeFileSync(`${at}/scene.ts`, scene({ fields: 'lives: int, beats: int, more: text(9)' }));
    const two = start(`${at}/topology.ts`, dir, []);
    expect(await two.ended).toEqual({ code: 1, signal: null });
    expect(two.errors).toMatch(/scene-1 cannot start: SHM_LAYOUT/);
    expect(fs.readFileSync(`${dir}/scene-1.state`).equals(before)).toBe(true);
    fs.writeFileSync(`${at}/scene.ts`, scene());
    const three = start(`${at}/topology.ts`, dir);
    await three.said('ready after');
    expect(rootOf(three.reader('scene-1'))).toMatchObject({ lives: 2 });
  });

  it('one of several: the others are ended too', async () => {
    const at = project({
      'topology.ts':
        "import { topology } from 'lich'; export const t = topology({ scene: { run: './scene.ts', count: 2 }, other: { run: './other.ts' } });",
      'other.ts': scene({ name: 'other', start: "throw new Error('not me');" }),
    });
    const up = start(`${at}/topology.ts`, `${at}/cluster`, []);
    expect((await up.ended).code).toBe(1);
    expect(up.errors).toMatch(/other-1 cannot start: not me/);
    expect(processesOf(`${at}/cluster`)).toEqual([]);
    expect(fs.existsSync(`${at}/cluster`)).toBe(false);
  });
});

describe('the end', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s: no process and no file is left, exit code 0', async signal => {
    const dir = `${testDir()}/cluster`;
    const up = start(PAIR, dir, []);
    await up.said('ready after');
    const pong = up.reader('pong-1');
    await until(() => rootOf(pong).last! > 50);
    expect(processesOf(dir).length).toBe(5);
    up.process.kill(signal);
    expect(await up.ended).toEqual({ code: 0, signal: null });
    expect(processesOf(dir)).toEqual([]);
    expect(fs.existsSync(dir)).toBe(false);
  });

  it('while it starts, at any moment', async () => {
    for (const ms of [30, 100, 150, 200, 300]) {
      const dir = `${testDir()}/cluster`;
      const up = start(PAIR, dir, []);
      await new Promise(resolve => setTimeout(resolve, ms));
      up.process.kill('SIGINT');
      const { code, signal } = await up.ended;
      // Before it has its handlers the signal ends it, as it does any process.
      expect(signal === 'SIGINT' || code === 0, `after ${ms} ms: code ${code}, ${signal}, ${up.errors}`).toBe(true);
      await until(() => processesOf(dir).length === 0);
      if (signal === null) expect(fs.existsSync(dir), `after ${ms} ms`).toBe(false);
    }
  });

  it('kill -9 of the supervisor, and no other one comes: the nodes end in order, and a later one resumes them', async () => {
    const dir = testDir();
    const one = start(PAIR, dir, ['--keep', '--orphan-ms', '1000']);
    await one.said('ready after');
    const pong = one.reader('pong-1');
    await until(() => rootOf(pong).last! > 50);
    one.process.kill('SIGKILL');
    await until(() => processesOf(dir).length === 0);
    const last = rootOf(pong).last!;
    expect(one.log('pong-1').some(({ level }) => level >= 50)).toBe(false);
    const two = start(PAIR, dir);
    await two.said('ready after');
    expect(two.output).toContain('of an earlier run; it goes on from there');
    await until(() => rootOf(two.reader('pong-1')).last! > last);
    expect(rootOf(two.reader('pong-1')).wrong).toBe(0);
    // In order: closed clean, so the new lives are restarts.
    for (const node of ['pong-1', 'ping-1'])
      expect(await two.logged(node, 'serving', ({ epoch }) => epoch === 2)).toMatchObject({ reason: 'restart' });
  });

  it('a node whose supervisor died before it had begun ends in order', async () => {
    const dir = testDir();
    const up = start(PAIR, dir);
    await up.said('ready after');
    await up.stop();
    const { build } = await buildTopology(PAIR);
    const spec = { topologyFile: PAIR, build, dir, kind: 'pong', instance: 1, supervisor: 1, orphanMs: 0 };
    const child = spawn(process.execPath, [ENTRY, JSON.stringify(spec)], { stdio: 'ignore' });
    const code = await new Promise(resolve => child.once('exit', resolve));
    expect(code).toBe(0);
  });

  it('--keep: the next start goes on with the same state', async () => {
    const dir = testDir();
    const one = start(PAIR, dir);
    await one.said('ready after');
    await until(() => rootOf(one.reader('pong-1')).last! > 50);
    expect(await one.stop()).toEqual({ code: 0, signal: null });
    expect(one.output).toContain('segments are kept');
    expect(processesOf(dir)).toEqual([]);
    const two = start(PAIR, dir, []);
    await two.said('ready after');
    const pong = two.reader('pong-1');
    const { last } = rootOf(pong);
    expect(last).toBeGreaterThan(50);
    await until(() => rootOf(pong).last! > last! + 50);
    expect(rootOf(pong).wrong).toBe(0);
    await two.stop();
    expect(fs.existsSync(dir)).toBe(false);
  });

  it('new code over the same state: the next start goes on with it, by the new rules', async () => {
    const at = project({});
    const dir = `${at}/cluster`;
    const one = await LichUp.up(`${at}/topology.ts`, dir);
    ups.push(one);
    await until(() => rootOf(one.reader('scene-1')).beats! > 20);
    one.kill('scene-1');
    await one.stop();
    const { beats } = rootOf(one.reader('scene-1'));
    fs.writeFileSync(`${at}/scene.ts`, scene().replace('ctx.state.beats++', 'ctx.state.beats += 1_000_000'));
    const two = await LichUp.up(`${at}/topology.ts`, dir);
    ups.push(two);
    await until(() => rootOf(two.reader('scene-1')).beats! > beats! + 1_000_000);
    expect(rootOf(two.reader('scene-1')).beats! % 1_000_000).toBe(beats!);
  });

  it('a second one in the same directory is refused, and the first goes on', async () => {
    const dir = testDir();
    const one = start(PAIR, dir);
    await one.said('ready after');
    const two = start(PAIR, dir, []);
    expect(await two.ended).toEqual({ code: 1, signal: null });
    expect(two.errors).toMatch(/RUNTIME_IN_USE: a supervisor runs already .* as process \d+/);
    const pong = one.reader('pong-1');
    const { last } = rootOf(pong);
    await until(() => rootOf(pong).last! > last! + 50);
  });
});

describe('a node that dies', () => {
  it('owner, standby, both at once: is there again, and nothing is lost', async () => {
    const dir = testDir();
    const up = start(PAIR, dir);
    await up.said('ready after');
    const pong = up.reader('pong-1');
    for (const who of ['owner', 'standby', 'both', 'owner', 'both'] as const) {
      const { last } = rootOf(pong);
      await until(() => processesOf(dir).filter(pid => isNode(pid, 'pong')).length === 2);
      const owner = up.ownerOf('pong-1');
      for (const pid of processesOf(dir).filter(one => isNode(one, 'pong'))) {
        if (who === 'both' || (who === 'owner') === (pid === owner)) process.kill(pid, 'SIGKILL');
      }
      await until(() => rootOf(pong).last! > last! + 50);
    }
    expect(rootOf(pong).wrong).toBe(0);
    expect(up.errors).toBe('');
  });
});

function isNode(pid: number, kind: string): boolean {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`"kind":"${kind}"`);
  } catch {
    return false;
  }
}
