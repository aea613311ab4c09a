import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runtimeDir } from '../shm/index.ts';
import { styled } from './events.ts';
import { print } from './text.ts';
import { UsageError } from './usage.ts';

const LEVELS = { info: 30, warn: 40, error: 50 } as const;
const FOLLOW_MS = 200;
/** What of a file is looked at for its last lines. */
const TAIL_BYTES = 1 << 20;

interface Line {
  readonly node: string;
  readonly time: number;
  readonly level: number;
  readonly text: string;
}

/** `lich logs`: the last lines of all nodes, or of those named, in the order of time; with --follow also what comes.
 * @returns 1 when there is no log */
export async function logs(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      follow: { type: 'boolean', short: 'f', default: false },
      lines: { type: 'string', short: 'n', default: '50' },
      level: { type: 'string', default: 'info' },
      json: { type: 'boolean', default: false },
    },
  });
  const least = LEVELS[values.level as keyof typeof LEVELS];
  if (least === undefined) throw new UsageError(`--level wants ${Object.keys(LEVELS).join(', ')}, not ${values.level}`);
  const lines = Number(values.lines);
  if (!Number.isInteger(lines) || lines < 0) throw new UsageError(`--lines wants a number, not ${values.lines}`);
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const folder = join(runtimeDir(), 'logs');
  const tails = new Map<string, Tail>();
  const say = (found: readonly Line[]): void => {
    const sorted = found.filter(line => line.level >= least).sort((a, b) => a.time - b.time);
    for (const line of sorted) print(values.json ? line.text : pretty(line));
  };
  const look = (): Line[] => {
    for (const node of logged(folder)) {
      if (positionals.length > 0 && !positionals.includes(node)) continue;
      if (!tails.has(node)) tails.set(node, new Tail(join(folder, `${node}.log`), node));
    }
    return [...tails.values()].flatMap(tail => tail.next());
  };
  const before = look()
    .filter(line => line.level >= least)
    .sort((a, b) => a.time - b.time);
  if (tails.size === 0 && !values.follow) {
    print(`no log in ${folder}`);
    return 1;
  }
  say(lines === 0 ? [] : before.slice(-lines));
  if (!values.follow) return 0;
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, FOLLOW_MS));
    say(look());
  }
}

function logged(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter(file => file.endsWith('.log'))
    .map(file => file.slice(0, -'.log'.length))
    .sort();
}

/** A file that grows, or is put in the place of another one. */
class Tail {
  readonly #path: string;
  readonly #node: string;
  #at: number | undefined;
  #inode = 0;
  #rest = '';
  #time = 0;

  constructor(path: string, node: string) {
    this.#path = path;
    this.#node = node;
  }

  /** Whole lines that are new since the last call. */
  next(): Line[] {
    if (!existsSync(this.#path)) return [];
    const fd = openSync(this.#path, 'r');
    try {
      const { size, ino } = fstatSync(fd);
      let from = this.#at ?? Math.max(0, size - TAIL_BYTES);
      if (this.#at !== undefined && (ino !== this.#inode || size < from)) from = 0;
      // The line that a tail begins in is not whole.
      const isCut = this.#at === undefined && from > 0;
      this.#inode = ino;
      this.#at = size;
      const bytes = Buffer.alloc(Math.max(0, size - from));
      const got = readSync(fd, bytes, 0, bytes.length, from);
      const all = (this.#rest + bytes.toString('utf8', 0, got)).split('\n');
      this.#rest = all.pop()!;
      return (isCut ? all.slice(1) : all).filter(text => text !== '').map(text => this.#line(text));
    } finally {
      closeSync(fd);
    }
  }

  #line(text: string): Line {
    const { time, level } = parsed(text);
    // What a process writes besides (a stack, an abort) belongs to the line before.
    this.#time = typeof time === 'number' ? time : this.#time;
    return { node: this.#node, time: this.#time, level: typeof level === 'number' ? level : LEVELS.error, text };
  }
}

function parsed(text: string): Record<string, unknown> {
  if (!text.startsWith('{')) return {};
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** One line of a log file, for people. */
export function prettyLine(node: string, text: string): string {
  const { time, level } = parsed(text);
  return pretty({
    node,
    text,
    time: typeof time === 'number' ? time : 0,
    level: typeof level === 'number' ? level : LEVELS.error,
  });
}

/** `14:03:22.115 arena-1      warn  it is late {"ms":20}` */
function pretty({ node, time, level, text }: Line): string {
  const { level: _, time: __, pid: ___, name: ____, hostname: _____, pos: ______, msg, err, ...more } = parsed(text);
  const at = time === 0 ? ' '.repeat(12) : new Date(time).toISOString().slice(11, 23);
  if (msg === undefined) return `${styled('dim', at)} ${node.padEnd(12)} ${styled('red', text)}`;
  const word = level >= LEVELS.error ? 'error' : level >= LEVELS.warn ? 'warn' : 'info';
  const style = level >= LEVELS.error ? 'red' : level >= LEVELS.warn ? 'yellow' : 'green';
  const rest = Object.keys(more).length === 0 ? '' : ` ${styled('dim', JSON.stringify(more))}`;
  const { code, message, stack } = (err ?? {}) as { code?: string; message?: string; stack?: string };
  const failure =
    err === undefined
      ? ''
      : `\n    ${code === undefined ? '' : `${code}: `}${stack ?? message ?? ''}`.replaceAll('\n', '\n    ');
  return `${styled('dim', at)} ${node.padEnd(12)} ${styled(style, word.padEnd(5))} ${String(msg)}${rest}${failure}`;
}
