/** `lich dev`: who saves a file deploys it. Sources are watched, compiled and brought into the running state; types are
 * checked beside that, and hold up nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, type FSWatcher, watch } from 'node:fs';
import { createRequire } from 'node:module';
import { setPriority } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CodedError } from '@lich/schema';
import { type BuiltTopology, buildTopology } from '../load.ts';
import { projectOf } from '../supervisor/compile.ts';
import type { Deployer, DeployEvent } from './deploy.ts';

export type DevEvent =
  | DeployEvent
  /** @param ms from the save to the new code serving everywhere */
  | { readonly type: 'saved'; readonly services: readonly string[]; readonly ms: number }
  /** The old code runs on. */
  | { readonly type: 'refused'; readonly why: string }
  /** @param output what the compiler says; empty when all is well */
  | { readonly type: 'types'; readonly output: string };

export interface DevOptions {
  /** The topology's source file. */
  readonly file: string;
  readonly built: BuiltTopology;
  readonly deployer: Deployer;
  readonly onEvent: (event: DevEvent) => void;
  /** Told after each deploy: the next one wants another spare. @param build that runs now */
  readonly onIdle: (build: string) => void;
}

/** Editors write a file in several steps. */
const SETTLE_MS = 5;
/** The next save ends it early. */
const PROBATION_MS = 2_000;
const TYPES_PRIORITY = 10;

/** Watches until `close`. */
export class DevLoop {
  readonly #o: DevOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  #sources = new Set<string>();
  #settling: NodeJS.Timeout | undefined;
  #savedMs = 0;
  #enough: AbortController | undefined;
  #again = false;
  #busy = false;
  #closed = false;
  #types: ChildProcess | undefined;
  /** That was deployed last. */
  #build: string;

  constructor(o: DevOptions) {
    this.#o = o;
    this.#build = o.built.build;
    this.#watch(o.built.sources);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#settling);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    this.#enough?.abort();
    this.#types?.kill('SIGKILL');
  }

  #watch(sources: readonly string[]): void {
    this.#sources = new Set(sources);
    const dirs = new Set(sources.map(source => dirname(source)));
    for (const [dir, watcher] of this.#watchers) {
      if (dirs.has(dir)) continue;
      watcher.close();
      this.#watchers.delete(dir);
    }
    for (const dir of dirs) {
      if (this.#watchers.has(dir)) continue;
      // Of the folder, not of the file: many editors put another file in its place.
      const watcher = watch(dir, (_, name) => {
        if (name === null || this.#sources.has(join(dir, basename(name)))) this.#changed();
      });
      watcher.on('error', () => watcher.close());
      this.#watchers.set(dir, watcher);
    }
  }

  #changed(): void {
    if (this.#closed) return;
    if (this.#settling === undefined && !this.#again) this.#savedMs = performance.now();
    // What it would say is out of date, and it takes a processor.
    this.#types?.kill('SIGKILL');
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      this.#settling = undefined;
      void this.#deploy();
    }, SETTLE_MS);
  }

  async #deploy(): Promise<void> {
    if (this.#busy) {
      this.#again = true;
      this.#enough?.abort();
      return;
    }
    this.#busy = true;
    const { file, deployer, onEvent, onIdle } = this.#o;
    const savedMs = this.#savedMs;
    const enough = (this.#enough = new AbortController());
    let build = this.#build;
    // The deploy first: the compiler takes the processors for a second.
    let isChecked = false;
    let served = 0;
    const settled = (): void => {
      onIdle(build);
      if (!isChecked && !this.#closed) this.#checkTypes();
      isChecked = true;
    };
    try {
      const built = await buildTopology(file);
      this.#watch(built.sources);
      await deployer.deploy(built, [], {
        probationMs: PROBATION_MS,
        noWayBack: true,
        enough: enough.signal,
        onEvent: event => {
          onEvent(event);
          if (event.type !== 'served') return;
          onEvent({ type: 'saved', services: [event.service], ms: Math.round(performance.now() - savedMs) });
          this.#build = build = built.build;
          if (++served === built.hashes.size) settled();
        },
      });
    } catch (error) {
      if (!this.#closed) onEvent({ type: 'refused', why: saidOf(error) });
    } finally {
      settled();
      this.#busy = false;
      if (this.#again && !this.#closed) {
        this.#again = false;
        void this.#deploy();
      }
    }
  }

  /** Of the project, as its own tsconfig.json says; the last one counts. */
  #checkTypes(): void {
    const project = projectOf(this.#o.file);
    const tsc = compilerOf(project);
    if (tsc === undefined || !existsSync(join(project, 'tsconfig.json'))) return;
    this.#types?.kill('SIGKILL');
    const child = spawn(process.execPath, [tsc, '--noEmit', '-p', project, '--pretty', 'false'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#types = child;
    politely(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += String(chunk)));
    child.once('error', () => {});
    child.once('close', (code, signal) => {
      if (this.#types !== child || signal !== null || this.#closed) return;
      this.#types = undefined;
      this.#o.onEvent({ type: 'types', output: code === 0 ? '' : output.trim() || `tsc ended with code ${code}` });
    });
  }
}

/** The fight that goes on, and the next save, need the processors more. */
function politely({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) setPriority(pid, TYPES_PRIORITY);
  } catch {
    // It has ended already.
  }
}

/** The project's own compiler. */
function compilerOf(project: string): string | undefined {
  try {
    const manifest = createRequire(pathToFileURL(join(project, 'package.json'))).resolve('typescript/package.json');
    return join(dirname(manifest), 'bin', 'tsc');
  } catch {
    return undefined;
  }
}

function saidOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return error instanceof CodedError ? `${error.code}: ${message}` : message;
}
