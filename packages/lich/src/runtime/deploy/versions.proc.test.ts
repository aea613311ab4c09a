/** `lich deploy` to another Node, and to another Lich, under load, and back. */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { capability, need } from '../../../../../scripts/lib/capability.mjs';
import { deploy, pongNow, running, topologyOf, up, whole } from '../../testing/ping-pong.test-bed.ts';

const PACKAGE = fileURLToPath(new URL('../../..', import.meta.url));
const MODULES = fileURLToPath(new URL('../../../../../node_modules', import.meta.url));
const FAST = ['--probation', '200'];

function exeOf(node: string): string {
  return fs.readlinkSync(`/proc/${up!.ownerOf(node)}/exe`);
}

/** First file of the process that owns a node. */
function entryOf(node: string): string {
  return fs.readFileSync(`/proc/${up!.ownerOf(node)}/cmdline`, 'utf8').split('\0')[1]!;
}

describe.skipIf(!need('nodes'))('another Node', () => {
  it('a topology says which, and it is a deploy', async () => {
    const { file } = await running();
    const topology = `${dirname(file)}/topology.ts`;
    const majors = [22, 26].filter(major => capability(`node${major}`).ok);
    for (const major of process.env.LICH_SOAK ? [...majors, 24, ...majors.reverse()] : majors.slice(-1)) {
      const node = capability(`node${major}`).path!;
      fs.writeFileSync(topology, topologyOf(`node: '${node}'`));
      const { errors, out } = await deploy(...FAST);
      expect(errors).toBe('');
      expect(out).toContain('deployed pong');
      expect(exeOf('pong-1')).toBe(fs.realpathSync(node));
      expect(exeOf('ping-1')).toBe(fs.realpathSync(process.execPath));
      await whole();
    }
    // One that is killed is followed by one of the same.
    const exe = exeOf('pong-1');
    up!.kill('pong-1');
    await whole();
    expect(exeOf('pong-1')).toBe(exe);
    fs.writeFileSync(topology, topologyOf("node: './no-node'"));
    const bad = await deploy(...FAST);
    expect(bad.errors).toMatch(/RUNTIME_BAD_TOPOLOGY: topology pong\.node: .*no-node does not exist/);
    fs.writeFileSync(topology, topologyOf("node: '/bin/false'"));
    const wrong = await deploy(...FAST);
    expect(wrong.errors).toMatch(/pong-1: the new code ended by code 1.*; the old code runs on/s);
    await whole();
  });
});

describe('another Lich', () => {
  /** A copy of this one under another version. */
  function copy(at: string, version: string, edit: (code: string) => string = same => same): string {
    const lich = `${at}/lich-${version}`;
    for (const part of ['dist', 'native', 'bin'])
      fs.cpSync(`${PACKAGE}/${part}`, `${lich}/${part}`, { recursive: true, filter: path => !path.endsWith('.d.ts') });
    fs.symlinkSync(MODULES, `${lich}/node_modules`);
    const manifest = JSON.parse(fs.readFileSync(`${PACKAGE}/package.json`, 'utf8')) as object;
    fs.writeFileSync(`${lich}/package.json`, JSON.stringify({ ...manifest, version }));
    const bundle = `${lich}/dist/bundle`;
    for (const file of fs.readdirSync(bundle).filter(name => name.endsWith('.js')))
      fs.writeFileSync(`${bundle}/${file}`, edit(fs.readFileSync(`${bundle}/${file}`, 'utf8')));
    return lich;
  }

  /** As a package manager does it. */
  function install(at: string, lich: string): void {
    fs.rmSync(`${at}/node_modules`, { recursive: true, force: true });
    fs.mkdirSync(`${at}/node_modules`);
    fs.symlinkSync(`${MODULES}/@lich`, `${at}/node_modules/@lich`);
    fs.symlinkSync(lich, `${at}/node_modules/lich`);
  }

  it('that is installed is deployed, if it reads the format of the segments', async () => {
    const { file } = await running();
    const at = dirname(file);
    const next = copy(at, '0.2.0');
    install(at, next);
    const there = await deploy(...FAST);
    expect(there.errors).toBe('');
    expect(there.out).toContain('deployed pong, ping');
    await whole();
    for (const node of ['pong-1', 'ping-1']) expect(entryOf(node)).toBe(`${next}/dist/bundle/node-entry.js`);
    install(
      at,
      copy(at, '9.0.0', code => code.replace(/FORMAT_VERSION = \d+/, 'FORMAT_VERSION = 99')),
    );
    const bad = await deploy(...FAST);
    expect(bad.errors).toMatch(
      /pong-1: SHM_VERSION: .* has segment format 1, this Lich reads format 99.*the old code runs on/,
    );
    await whole();
    expect(pongNow().by).toBe(1);
    for (const node of ['pong-1', 'ping-1']) expect(entryOf(node)).toBe(`${next}/dist/bundle/node-entry.js`);
  });
});
