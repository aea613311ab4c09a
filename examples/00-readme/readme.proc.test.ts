/** The program of the README runs, and its scene is killed in the middle. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ClientError, connect } from '@lich/client';
import { OwnerLock } from 'lich/shm';
import { need } from '../../scripts/lib/capability.mjs';
import { Arena, State } from './game.ts';

const here = import.meta.dirname;
const cli = join(dirname(createRequire(import.meta.url).resolve('lich')), 'cli.js');

const freePort = (): Promise<number> =>
  new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

describe.skipIf(!need('linux'))('the program of the README', () => {
  let dir: string;
  let url: string;
  let up: ChildProcess;
  let said = '';

  beforeAll(async () => {
    dir = mkdtempSync('/dev/shm/lich-readme-');
    const port = await freePort();
    url = `ws://127.0.0.1:${port}`;
    up = spawn(process.execPath, [cli, 'up', join(here, 'topology.ts'), '--dir', dir], {
      env: { ...process.env, LICH_README_WS: String(port) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await new Promise<void>((resolve, reject) => {
      const died = (): void => reject(new Error(`lich up ended:\n${said}\n${logs()}`));
      const hear = (text: Buffer): void => {
        said += text.toString();
        if (!said.includes('ready after')) return;
        up.off('exit', died);
        resolve();
      };
      up.stdout!.on('data', hear);
      up.stderr!.on('data', hear);
      up.once('exit', died);
    });
  });

  const logs = (): string =>
    readdirSync(join(dir, 'logs'))
      .map(name => readFileSync(join(dir, 'logs', name), 'utf8'))
      .join('\n');

  const owner = (): number => OwnerLock.open(dir, 'arena-1').owner()?.pid ?? 0;

  afterAll(async () => {
    if (up.exitCode === null && up.signalCode === null) {
      const gone = new Promise(resolve => up.once('exit', resolve));
      up.kill('SIGINT');
      await gone;
    }
    rmSync(dir, { recursive: true, force: true });
  });

  test('what was bought before the kill is there after it, and nothing is bought twice', async () => {
    const game = await connect(url, { protocol: Arena, state: State });
    const lives = new Promise<number>(resolve => game.onTakeover(({ epoch }) => resolve(epoch)));
    const counts: number[] = [];
    for (let n = 1; n <= 4; n++) {
      game.send('walk', { dx: 1, dy: 0.5 });
      const asked = game.ask('buy', { kind: 7 });
      if (n === 2) process.kill(owner(), 'SIGKILL'); // with a request on its way
      counts.push((await asked).count);
    }
    expect(counts).toEqual([1, 2, 3, 4]);
    expect(await lives).toBe(2);
    await expect(game.ask('buy', { kind: 7 })).rejects.toSatisfy(
      error => error instanceof ClientError && error.code === 'CLIENT_REFUSED',
    );
    await expect.poll(() => [game.me?.x, game.me?.y]).toEqual([4, 2]);
    expect(game.status).toBe('open');
    game.close();
  });

  test('its client runs to the end', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(here, 'dist/client.js'), url]);
    expect(stdout).toContain('1 of kind 7 in the bag');
  });

  test('it stops in order and leaves nothing behind', async () => {
    const gone = new Promise<number | null>(resolve => up.once('exit', resolve));
    up.kill('SIGINT');
    expect(await gone).toBe(0);
    expect(readdirSync('/dev/shm').filter(name => dir.endsWith(name))).toEqual([]);
  });
});
