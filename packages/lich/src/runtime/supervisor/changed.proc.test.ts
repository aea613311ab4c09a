/** Two starts, and between them the topology changes while messages wait: they arrive, or the start is refused and lists
 * them. And what is done about those that wait for a node that is gone. */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Directory, formatId } from '../../bus/index.ts';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { LichUp, rootOf, until } from '../../testing/lich-up.ts';

const TOPOLOGY = fileURLToPath(new URL('../../testing/fixtures/pair/changed.ts', import.meta.url));
const LICH = fileURLToPath(new URL('../../../bin/lich.js', import.meta.url));
/** Messages that wait at least. */
const WAITING = 200;

let before = '';
let sent = 0;
let last = 0;
let up: LichUp | undefined;

function lich(dir: string, ...args: string[]): { code: number | null; out: string; errors: string } {
  const done = spawnSync(process.execPath, [LICH, ...args, '--dir', dir], { encoding: 'utf8' });
  return { code: done.status, out: done.stdout, errors: done.stderr };
}

const read = (cluster: LichUp, name: string): Record<string, number> => {
  const reader = cluster.reader(name);
  const root = rootOf(reader);
  reader.segment.close();
  return root;
};

// One cluster that was ended while messages waited; each test goes on from a copy of it.
beforeAll(async () => {
  before = testDir();
  const first = await LichUp.up(TOPOLOGY, before);
  await until(() => read(first, 'pong-1').last! > 50);
  const { code, errors } = lich(before, 'stop', 'pong-1');
  if (code !== 0) throw new Error(errors);
  last = read(first, 'pong-1').last!;
  await until(() => read(first, 'ping-1').sent! > last + WAITING);
  await first.stop();
  sent = read(first, 'ping-1').sent!;
});
afterEach(async () => {
  await up?.stop();
  up = undefined;
});
afterAll(removeTestDirs);

function copy(): string {
  const dir = join(testDir(), 'cluster');
  expect(spawnSync('cp', ['-a', '--sparse=always', before, dir]).status).toBe(0);
  return dir;
}

/** Start it, to be refused. @returns what it said */
async function refused(dir: string, change: string): Promise<string> {
  const cluster = new LichUp(TOPOLOGY, dir, { PAIR_CHANGE: change }, []);
  expect((await cluster.ended).code).toBe(1);
  return cluster.errors;
}

/** A Node that runs under another host name, where that is allowed. */
function elsewhere(dir: string): string {
  if (spawnSync('unshare', ['--uts', 'true']).status !== 0) return process.execPath;
  const path = join(dir, '..', 'elsewhere');
  const script = `#!/bin/sh\nexec unshare --uts sh -c 'hostname elsewhere; exec "$0" "$@"' '${process.execPath}' "$@"\n`;
  fs.writeFileSync(path, script, { mode: 0o700 });
  return path;
}

it('another order, a kind more, a standby, lanes made at start, other limits, config, host name: they arrive', async () => {
  const dir = copy();
  const ids = (): string[] => new Directory(dir, 256).all().map(({ name, id, index }) => `${index} ${name} ${id}`);
  const entered = ids();
  up = await LichUp.up(TOPOLOGY, dir, { PAIR_CHANGE: 'order' }, elsewhere(dir));
  const cluster = up;
  await until(() => read(cluster, 'pong-1').last! > sent + 50);
  expect(read(cluster, 'pong-1').wrong).toBe(0);
  expect(ids().slice(0, 2)).toEqual(entered);
  expect(ids()[2]).toMatch(/^2 audit-1 /);

  const frame = JSON.parse(lich(dir, 'top', '--json', '--every', '0.3').out);
  expect(frame.nodes.map((node: { name: string }) => node.name)).toEqual(['audit-1', 'ping-1', 'pong-1']);
  const pair = frame.pairs.find((each: { from: string }) => each.from === 'ping-1');
  expect(pair).toMatchObject({ to: 'pong-1' });
  expect(pair.messagesPerS).toBeGreaterThan(0);
  const top = lich(dir, 'top', '--every', '0.2').out;
  expect(top).toMatch(/3 of 3 nodes serve, [\d,.]+ messages\/s/);
  expect(top).toMatch(/^ping-1 +pong-1 +[\d,.]+ +[\d.]+ \w+\/s/m);
  const traced = lich(dir, 'trace', 'pong-1', '--count', '5');
  expect(traced.code).toBe(0);
  expect(traced.out.match(/ ← ping-1 +note +16 B  \{"n":\d+\}$/gm)).toHaveLength(5);
});

it('other lanes or ids are refused with the list; what waits for a node that is gone is given up', async () => {
  const dir = copy();
  const list = new RegExp(`ping-1 to pong-1 ${sent - last} \\(\\d+ bytes\\)`);
  const lanes = await refused(dir, 'lanes');
  expect(lanes).toMatch(
    /BUS_WAITING: limits.lanesBytes of ping-1, pong-1 is another than before, while messages wait: /,
  );
  expect(lanes).toMatch(list);
  const ids = await refused(dir, 'ids');
  expect(ids).toMatch(/BUS_WAITING: .*gives other ids to ping-1, pong-1/);
  expect(ids).toMatch(list);

  up = await LichUp.up(TOPOLOGY, dir, { PAIR_CHANGE: 'gone' });
  expect(up.output).toMatch(
    /pong-1 +is gone +the topology does not have it, and [\d,]+ messages from ping-1 wait for it/,
  );
  const listed = lich(dir, 'bus', '--json');
  expect(listed.code).toBe(1);
  const [waiting] = JSON.parse(listed.out).waiting;
  expect(waiting).toMatchObject({ from: 'ping-1', to: 'pong-1' });
  expect(waiting.waitingMessages).toBeGreaterThanOrEqual(sent - last);
  expect(waiting.oldestMs).toBeGreaterThan(0);
  expect(lich(dir, 'bus').out).toMatch(/pong-1 does not run: [\d,]+ messages from ping-1 wait for it, since about /);
  expect(lich(dir, 'bus', 'drop', 'ping-1', 'pong-1')).toMatchObject({ code: 0, errors: '' });
  await up.logged('ping-1', 'messages were given up');
  await up.stop();
  // It went on sending; nobody owns it now.
  expect(lich(dir, 'bus', 'drop', 'ping-1', 'pong-1').out).toMatch(/messages? from ping-1 to pong-1 (is|are) given up/);
  expect(lich(dir, 'bus')).toMatchObject({ code: 0 });

  up = await LichUp.up(TOPOLOGY, dir, { PAIR_CHANGE: 'ids' });
  const cluster = up;
  await until(() => read(cluster, 'pong-1').last! > sent + 50);
  // The numbers jumped once, over what was given up.
  expect(read(cluster, 'pong-1').wrong).toBe(1);
  const named = new Directory(dir, 256).all().map(({ name, id }) => `${name} ${formatId(id, [4, 4, 8, 16])}`);
  expect(named).toEqual(['ping-1 1.1.1.1', 'pong-1 1.1.2.1']);
});
