/** One trial in a process of its own. */
import { fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Contender, Measured } from './bench.ts';

export interface TrialOptions {
  /** Flags for Node, e.g. `--expose-gc`. */
  readonly nodeFlags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A watchdog against a hang, not a limit on speed. Default 10 minutes. */
  readonly timeoutMs?: number;
}

/** A peer that is not installed. The message says how to get it. */
export class PeerMissing extends Error {}

// benchmarks/dist/lib → benchmarks/peers
const peersManifest = join(import.meta.dirname, '../../peers/package.json');

/** Loads a peer that `npm run bench:peers` installs. @throws PeerMissing */
export async function loadPeer<T = Record<string, unknown>>(name: string): Promise<T> {
  let path: string;
  try {
    path = createRequire(peersManifest).resolve(name);
  } catch {
    throw new PeerMissing(`${name} is not installed: npm run bench:peers`);
  }
  const loaded = (await import(pathToFileURL(path).href)) as { default?: T } & T;
  return loaded.default ?? loaded;
}

type Answer = { readonly measured: Measured } | { readonly missing: string } | { readonly failed: string };

/** Runs a contender once. @throws PeerMissing; Error when the trial failed, with what it wrote */
export function runTrial(folder: string, { file, input, options = {} }: Contender): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const module = join(folder, `${file}.js`);
    const child = fork(join(import.meta.dirname, 'child.js'), [module], {
      execArgv: [...(options.nodeFlags ?? [])],
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    let answer: Answer | undefined;
    let output = '';
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', text => (output += text));
    const watchdog = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 600_000);
    const stop = () => child.kill();
    process.once('exit', stop);
    child.on('message', message => (answer = message as Answer));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(watchdog);
      process.off('exit', stop);
      if (answer && 'measured' in answer) resolve(answer.measured);
      else if (answer && 'missing' in answer) reject(new PeerMissing(answer.missing));
      else {
        const end = answer ? answer.failed : `ended with ${signal ?? `code ${code}`} before it answered`;
        reject(new Error(`trial ${file}: ${end}\n${output}`));
      }
    });
    child.send({ input });
  });
}
