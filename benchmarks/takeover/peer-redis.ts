/** redis-server: killed and started again, it loads as many records from the file of its last SAVE. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { scratchDir } from '../lib/tools.ts';
import { PeerMissing } from '../lib/trial.ts';
import { figuresOf, recordsOf, type TakeoverInput, unitOf } from './world.ts';

const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** One answer to one command, as text; the server's first answers are all that is asked for. */
async function ask(socket: Socket, command: string): Promise<string> {
  socket.write(command);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString('latin1');
}

const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
const set = (id: number): string => `*3\r\n${bulk('SET')}${bulk(`unit:${id}`)}${bulk(JSON.stringify(unitOf(id)))}`;

export default async function peer({ mib, kills }: TakeoverInput): Promise<Measured> {
  if (spawnSync('redis-server', ['--version']).error)
    throw new PeerMissing('no redis-server: apt-get install redis-server');
  const records = recordsOf(mib);
  const dir = scratchDir();
  const path = join(dir, 'redis');
  let server: ChildProcess;
  const start = (): void => {
    const options = ['--port', '0', '--unixsocket', path, '--dir', dir, '--save', '', '--loglevel', 'warning'];
    server = spawn('redis-server', options, { stdio: 'ignore' });
  };
  process.once('exit', () => server.kill('SIGKILL'));
  /** Until it answers with a record: it refuses while it loads. */
  const served = async (): Promise<Socket> => {
    for (;;) {
      const socket = connect(path);
      const failed = new Promise<undefined>(resolve => socket.once('error', () => resolve(undefined)));
      const answer = await Promise.race([ask(socket, 'PING\r\n').catch(() => undefined), failed]);
      if (answer?.startsWith('+PONG')) return socket;
      socket.destroy();
      await sleep(1);
    }
  };
  start();
  let socket = await served();
  for (let id = 0; id < records; id += 100) {
    const count = Math.min(100, records - id);
    let left = count;
    socket.write(Array.from({ length: count }, (_, k) => set(id + k)).join(''));
    while (left > 0) left -= ((await once(socket, 'data')) as [Buffer])[0].toString('latin1').split('+OK').length - 1;
  }
  await ask(socket, 'SAVE\r\n');
  const gaps: number[] = [];
  for (let k = 0; k < kills; k++) {
    const from = nowNs();
    const gone = once(server!, 'exit');
    server!.kill('SIGKILL');
    await gone;
    start();
    socket = await served();
    gaps.push((nowNs() - from) / 1e6);
    const size = await ask(socket, 'DBSIZE\r\n');
    if (size.trim() !== `:${records}`) throw new Error(`${size.trim()} of ${records} records are left`);
  }
  server!.kill('SIGKILL');
  return { figures: figuresOf(gaps) };
}
