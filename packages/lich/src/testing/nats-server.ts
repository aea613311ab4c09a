/** A real nats-server (Debian: `apt-get install nats-server`), with JetStream, for one test file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class NatsServer {
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #dir: string;

  private constructor(process: ChildProcess, dir: string, port: number) {
    this.#process = process;
    this.#dir = dir;
    this.port = port;
  }

  /** At any free port of this machine alone.
   * @param program the path of nats-server */
  static async start(program: string): Promise<NatsServer> {
    const dir = mkdtempSync(join(tmpdir(), 'lich-nats-'));
    const args = ['-js', '-sd', dir, '-a', '127.0.0.1', '-p', '-1'];
    const server = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    await new Promise<void>((resolve, reject) => {
      server.once('exit', () => reject(new Error(`nats-server ended: ${said}`)));
      server.stderr!.on('data', chunk => {
        said += String(chunk);
        if (said.includes('Server is ready')) resolve();
      });
    });
    return new NatsServer(server, dir, Number(/client connections on 127\.0\.0\.1:(\d+)/.exec(said)![1]));
  }

  async stop(): Promise<void> {
    const ended = new Promise(resolve => this.#process.once('exit', resolve));
    this.#process.kill('SIGTERM');
    await ended;
    rmSync(this.#dir, { recursive: true });
  }
}
