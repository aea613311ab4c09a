/** A broker that runs for one trial. */
import { spawn, spawnSync } from 'node:child_process';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { PeerMissing } from '../lib/trial.ts';

/** What may be under way: Redis keeps all of it, NATS drops what is more than its subscriber takes. */
export const WINDOW_BYTES = 4 * 1_048_576;

/** Start it; it ends with this process. @throws PeerMissing when it is not installed */
export function startServer(program: string, args: readonly string[], how: string): void {
  if (spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined)
    throw new PeerMissing(`${program} is not installed: ${how}`);
  const server = spawn(program, args, { stdio: 'ignore' });
  process.once('exit', () => server.kill('SIGKILL'));
}

/** Connect, as soon as the server listens. */
export async function connected(to: NetConnectOpts): Promise<Socket> {
  for (let tries = 0; ; tries++) {
    const socket = connect(to);
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      });
      socket.removeAllListeners('error');
      socket.setNoDelay(true);
      return socket;
    } catch (error) {
      socket.destroy();
      if (tries === 400) throw error;
      await new Promise(resolve => setTimeout(resolve, 10));
    }
  }
}

/** Write, and wait where the socket says so. */
export async function write(socket: Socket, bytes: Uint8Array | string): Promise<void> {
  if (socket.write(bytes)) return;
  await new Promise<void>(resolve => socket.once('drain', () => resolve()));
}
