/** Builds and runs the single-stepper (stepper.c) on a live node. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attachSegment, type Segment } from '../../shm/index.ts';
import { WORDS } from '../../state/index.ts';

/** What the stepper saw. */
export interface Stepped {
  /** Instants looked at: one after each machine instruction. */
  readonly steps: number;
  readonly commits: number;
  /** Instants inside a transaction. */
  readonly openInstants: number;
  /** Instants at which the raw words differed from the last commit: there the log had something to undo. */
  readonly differing: number;
  /** Instants at which undoing the log did not give the last commit. */
  readonly wrong: number;
  /** Published words that were ahead of what was committed. */
  readonly ahead: number;
  readonly watchedWords: number;
  /** First word that was wrong, or -1. */
  readonly wrongWord: number;
  readonly rip: string;
}

export interface StepOptions {
  readonly dir: string;
  readonly name: string;
  readonly pid: number;
  /** It ends after so many commits, or after so many seconds. */
  readonly commits: number;
  readonly seconds: number;
  /** Steps without a commit after which it is let run for 20 ms, unseen. Default: never. */
  readonly patience?: number;
  /** Ranges of words of the state segment: [first, count]. */
  readonly watched: readonly (readonly [number, number])[];
  /** [word of the lanes segment, word of the state segment that it copies]. */
  readonly published?: readonly (readonly [number, number])[];
}

function build(): string {
  const source = fileURLToPath(new URL('./stepper.c', import.meta.url));
  const target = join(dirname(source), '../../../native/build/stepper');
  if (existsSync(target) && statSync(target).mtimeMs > statSync(source).mtimeMs) return target;
  mkdirSync(dirname(target), { recursive: true });
  // Files of tests run side by side: none may start what another one's compiler is writing.
  const mine = `${target}.${process.pid}`;
  execFileSync(process.env.CC ?? 'cc', ['-O2', '-Wall', '-Wextra', '-o', mine, source], { stdio: 'inherit' });
  renameSync(mine, target);
  return target;
}

/** Step a node for some seconds. It goes on unharmed afterwards. */
export async function step(o: StepOptions): Promise<Stepped> {
  const state = attachSegment({ dir: o.dir, name: o.name, kind: 'state' });
  const lanes = attachSegment({ dir: o.dir, name: o.name, kind: 'lanes' });
  const log = logOf(state);
  const patience = o.patience ?? 2 ** 31;
  const args = [
    o.pid,
    state.path,
    lanes.path,
    o.seconds,
    o.commits,
    patience,
    WORDS.LOG_POS,
    WORDS.COM_POS,
    log.word,
    log.words,
  ];
  const words = [...args, 'watched', ...o.watched.flat(), 'published', ...(o.published ?? []).flat()].map(String);
  state.close();
  lanes.close();
  const child = spawn(build(), words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  if (text === '') throw new Error('the single-stepper could not attach: is ptrace allowed here?');
  return JSON.parse(text) as Stepped;
}

function logOf(state: Segment): { word: number; words: number } {
  const region = state.regions.get('log')!;
  return { word: region.offset / 4, words: 2 ** Math.floor(Math.log2(region.bytes / 4)) };
}
