/** A cluster of our own, for storms and tests: `lich up` as a child process over a fresh directory and free ports, and its
 * processes as anybody on this machine could find them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OwnerLock, isAlive, startTimeOf } from 'lich/shm';
import { pause } from './bots.ts';
import { exampleFolder, modulesOf } from './settings.ts';

export interface ClusterOptions {
  /** Relative to the example. */
  readonly topology: string;
  readonly gateways: number;
  readonly bots?: number;
  readonly onLine?: (line: string) => void;
}

export interface Ended {
  readonly node: string;
  readonly pid: number;
  readonly how: string;
}

export interface Stopped {
  readonly code: number | undefined;
  readonly left: readonly string[];
}

const STOP_MS = 15_000;

export class Cluster {
  readonly dir: string;
  readonly urls: readonly string[];
  readonly web: string;
  /** Every process that ended so far, as `lich up` says it. */
  readonly ended: Ended[] = [];
  readonly #child: ChildProcess;
  readonly #killed = new Set<number>();
  readonly #heard = new Set<string>();
  readonly #locks = new Map<string, OwnerLock>();
  #output = '';

  private constructor(dir: string, ports: readonly number[], options: ClusterOptions) {
    this.dir = dir;
    const [web, ...gateways] = ports;
    this.urls = gateways.map(port => `ws://127.0.0.1:${port}`);
    this.web = `http://127.0.0.1:${web}`;
    const cli = join(modulesOf('lich'), 'cli.js');
    this.#child = spawn(process.execPath, [cli, 'up', join(exampleFolder(), options.topology), '--dir', dir], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        LICH_ARENA_PORT: String(web),
        LICH_ARENA_WS: String(gateways[0]),
        LICH_ARENA_GATEWAYS: String(options.gateways),
        LICH_ARENA_BOTS: String(options.bots ?? 0),
      },
    });
    let rest = '';
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text;
        const lines = (rest + text).split('\n');
        rest = lines.pop()!;
        for (const line of lines) this.#line(line, options.onLine);
      });
    }
  }

  /** @throws Error with what `lich up` said when it does not get ready */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const dir = mkdtempSync(join(base, 'lich-arena-'));
    const cluster = new Cluster(dir, await freePorts(1 + options.gateways), options);
    while (!cluster.#output.includes('ready after')) {
      if (cluster.#child.exitCode !== null || cluster.#child.signalCode !== null) {
        const said = `${cluster.#output}\n${cluster.logs()}`;
        rmSync(dir, { recursive: true, force: true });
        throw new Error(`lich up did not get ready:\n${said}`);
      }
      await pause(20);
    }
    return cluster;
  }

  #line(line: string, onLine: ((line: string) => void) | undefined): void {
    const ended = /^(\S+) +ended +pid (\d+), (.*)$/.exec(line);
    if (ended) this.ended.push({ node: ended[1], pid: Number(ended[2]), how: ended[3] });
    onLine?.(line);
  }

  /** The process that owns a node's segments now. */
  ownerOf(node: string): number | undefined {
    let lock = this.#locks.get(node);
    if (!lock) this.#locks.set(node, (lock = OwnerLock.open(this.dir, node)));
    const owner = lock.owner();
    return owner && isAlive(owner.pid, owner.startTime) ? owner.pid : undefined;
  }

  /** How often the node's lock was taken: the number of its lives. */
  livesOf(node: string): number {
    this.ownerOf(node);
    return this.#locks.get(node)!.epoch;
  }

  /** SIGKILL. From now on it does not count, though the kernel may take a while to take it down. */
  kill(pid: number): void {
    this.#killed.add(pid);
    process.kill(pid, 'SIGKILL');
  }

  /** Was it this object that killed it? */
  hasKilled(pid: number): boolean {
    return this.#killed.has(pid);
  }

  /** Processes of a node, the owner among them. */
  pidsOf(node: string): number[] {
    const [kind, instance] = node.split('-');
    return childrenOf(this.#child.pid!).filter(pid => {
      if (this.#killed.has(pid)) return false;
      const spec = argumentsOf(pid).find(argument => argument.startsWith('{"'));
      if (!spec) return false;
      const named = JSON.parse(spec) as { kind?: string; instance?: number };
      return named.kind === kind && String(named.instance) === instance;
    });
  }

  /** The process that waits for the owner's death, once it is warm.
   * @param isRehearsed once it has run what it will have to run, too */
  standbyOf(node: string, isRehearsed = false): number | undefined {
    const owner = this.ownerOf(node);
    const words = isRehearsed ? 'rehearsed' : 'standing by';
    return this.pidsOf(node).find(pid => pid !== owner && this.#hasSaid(node, pid, words));
  }

  /** A standby says what it has done in the node's log. */
  #hasSaid(node: string, pid: number, words: string): boolean {
    const what = `${pid} ${words}`;
    if (this.#heard.has(what)) return true;
    const log = join(this.dir, 'logs', `${node}.log`);
    if (!existsSync(log) || !new RegExp(`"pid":${pid},[^\\n]*"${words}"`).test(readFileSync(log, 'utf8'))) return false;
    this.#heard.add(what);
    return true;
  }

  /** Everything that the nodes wrote. */
  logs(): string {
    const folder = join(this.dir, 'logs');
    if (!existsSync(folder)) return '';
    return readdirSync(folder)
      .map(name => `--- ${name}\n${readFileSync(join(folder, name), 'utf8')}`)
      .join('\n');
  }

  /** End it as Ctrl-C would. Then nothing of it is left; what is, is named and removed.
   * @returns the exit code, undefined when it had to be killed, and the files that it left */
  async stop(): Promise<Stopped> {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const gone = new Promise(resolve => child.once('exit', resolve));
      child.kill('SIGINT');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await gone;
      clearTimeout(timer);
    }
    const left = existsSync(this.dir) ? readdirSync(this.dir) : [];
    rmSync(this.dir, { recursive: true, force: true });
    return { code: child.exitCode ?? undefined, left };
  }
}

/** Direct children, dead ones left out. */
function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text
      .split(' ')
      .map(Number)
      .filter(child => child > 0 && startTimeOf(child) !== undefined);
  } catch {
    return [];
  }
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

const canListen = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** `count` ports in a row that nobody uses at this moment. */
async function freePorts(count: number): Promise<number[]> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 30_000);
    const ports = Array.from({ length: count }, (_, k) => first + k);
    const free = await Promise.all(ports.map(canListen));
    if (free.every(Boolean)) return ports;
  }
}
