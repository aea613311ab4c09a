/** Capsules: the state before what kept ending a process, as a dump beside its entry in quarantine.
 *
 *   death ─ takeover ─ suspect waits ────────── exit note ─ set aside (entry.json) ─ …
 *              33..68 ms ─ supervisor hears of it ┘
 *                          └ dump begins here, read-only, in steps between other work ─► state.dump, about.json
 *
 * The note is what the owner waits for before it sets anything aside, and the dump begins before the note: so what is set
 * aside is still to be done in it. Where the owner did not wait so long, or wrote over what the dump needed of its log, the
 * dump is younger; `exact` says which. */
import { existsSync, mkdirSync, openSync, readSync, closeSync, fstatSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { DEFAULT_LIMITS, Directory } from '../../bus/index.ts';
import { attachSegment, type Segment, writeWhole } from '../../shm/index.ts';
import { type DumpInfo, dumpSteps, WORDS } from '../../state/index.ts';
import { OWN_DEATHS } from '../blame.ts';
import { type CapsuleAbout, listQuarantine, quarantineDir, type Quarantined } from '../quarantine.ts';

const VERSION = (createRequire(import.meta.url)('../../../package.json') as { version: string }).version;
/** Work in one go, and rest. */
const WORK_MS = 2;
const REST_MS = 2;
/** How long an entry is waited for: a node without a standby has to start first. */
const WAIT_MS = 30_000;
const LAST_WORDS_BYTES = 8_192;

/** A death of an owner, as its supervisor hears of it. */
export interface Death {
  readonly dir: string;
  readonly node: string;
  readonly pid: number;
  readonly end: { readonly code?: number | undefined; readonly signal?: string | undefined };
  readonly topologyFile: string;
  readonly memoryMiB: number | undefined;
  readonly build: string;
  readonly logFile: string;
}

/** Begin the capsule of what a process died of, if its owner may be about to set something aside. Before the exit note is
 * written. Returns at once; what cannot be made is missing, and said by `onProblem`.
 * @returns resolves when it is there, or given up; for tests */
export function beginCapsule(death: Death, onProblem: (problem: unknown) => void = () => {}): Promise<boolean> {
  let segment: Segment | undefined;
  try {
    segment = attachSegment({ dir: death.dir, name: death.node, kind: 'state', readOnly: true });
    if (!mayBeSetAside(segment)) {
      segment.close();
      return Promise.resolve(false);
    }
    return make(death, segment, lastWords(death.logFile)).catch((problem: unknown) => {
      onProblem(problem);
      return false;
    });
  } catch (problem) {
    segment?.close();
    onProblem(problem);
    return Promise.resolve(false);
  }
}

/** Does the words page name a suspect, or will it when the next owner has looked? */
function mayBeSetAside({ i32: S }: Segment): boolean {
  const message = (S[WORDS.CUR] & 0xff) + (S[WORDS.CUR] >>> 8 === 0 ? 0 : 1);
  const record = (S[WORDS.VISIT_SLOT] & 7) + (S[WORDS.VISIT_SLOT] >>> 3 === 0 ? 0 : 1);
  return message >= OWN_DEATHS || record >= OWN_DEATHS;
}

async function make(death: Death, segment: Segment, words: string): Promise<boolean> {
  const { dir, node, pid } = death;
  const folder = join(quarantineDir(dir), '.making');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${node}-${pid}.dump`);
  rmSync(path, { force: true });
  const steps = dumpSteps(segment, path);
  const began = steps.next();
  // From here on other work goes first.
  let info: DumpInfo | undefined = began.done ? began.value : undefined;
  try {
    while (info === undefined) {
      await rest(REST_MS);
      const until = performance.now() + WORK_MS;
      while (info === undefined && performance.now() < until) {
        const step = steps.next();
        if (step.done) info = step.value;
      }
    }
    const entry = await entryOf(death);
    if (entry === undefined) return false;
    const about: CapsuleAbout = {
      topologyFile: death.topologyFile,
      build: death.build,
      lich: VERSION,
      nodeVersion: process.versions.node,
      memoryMiB: death.memoryMiB,
      nodes: new Directory(dir, DEFAULT_LIMITS.nodes).all().map(({ name, id, index }) => ({ name, id, index })),
      exit: death.end.signal ?? `code ${death.end.code ?? '(unknown)'}`,
      lastWords: words,
      exact: info.commitNo <= entry.entry.commitNo,
    };
    renameSync(path, join(entry.folder, 'state.dump'));
    const file = join(entry.folder, 'about.json');
    writeWhole(file, `${JSON.stringify(about, undefined, 1)}\n`);
    return true;
  } finally {
    steps.return(undefined as never);
    rmSync(path, { force: true });
    segment.close();
  }
}

/** What the next owner set aside for this death, once it has. */
async function entryOf({ dir, node, pid }: Death): Promise<Quarantined | undefined> {
  const until = performance.now() + WAIT_MS;
  for (;;) {
    const found = listQuarantine(dir).find(({ entry }) => entry.node === node && entry.diedPid === pid);
    if (found !== undefined || performance.now() > until || !existsSync(dir)) return found;
    await rest(50);
  }
}

/** Keeps nobody from ending. */
function rest(ms: number): Promise<void> {
  return new Promise(resolve => void setTimeout(resolve, ms).unref());
}

function lastWords(logFile: string): string {
  try {
    const fd = openSync(logFile, 'r');
    try {
      const { size } = fstatSync(fd);
      const bytes = Buffer.alloc(Math.min(size, LAST_WORDS_BYTES));
      readSync(fd, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString('utf8');
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}
