/** The log collector: one a host, in the supervisor. It brings what nodes say into files, JSON lines in pino's format:
 *
 *   <node>.report     ring of the owner               ┬─►  logs/<node>.log         everything but audit events
 *   logs/<node>.out   standard output and error       ┘    logs/<node>.audit.log   audit events
 *
 * A line of a ring has `pos`, where it ended there. A collector that is killed is followed by one that reads the last `pos`
 * in the files and goes on from it: each line is written once. Of the outputs the next one may repeat the last part. Lines
 * that are no JSON become the `msg` of one. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { attachSegment, OwnerLock, type Segment, ShmError } from '../../shm/index.ts';
import { catalogOf } from '../../state/index.ts';
import { AUDIT, LineReader, type ReadLine, UNDONE } from './line-ring.ts';
import { committedLines } from './report.ts';
import { type LogFileLimits, RotatingFile } from './rotating-file.ts';

/** An output that has been read is cut off when it has grown so large. */
const OUTPUT_BYTES_MAX = 1_048_576;
/** Of a file's end, to find the last `pos` in. */
const TAIL_BYTES = 262_144;
const LEVEL_INFO = 30;
const LEVEL_WARN = 40;
const LEVEL_ERROR = 50;
/** What was not said with a level, and does not look well. */
const TROUBLE = /error|fatal|abort|warning|exception/i;

interface Source {
  readonly name: string;
  readonly lines: RotatingFile;
  readonly audit: RotatingFile;
  /** Path of the output, and bytes of it that were read. */
  readonly output: string;
  outputAt: number;
  report: Segment | undefined;
  reader: LineReader | undefined;
  cursor: number;
}

export const logPath = (dir: string, node: string): string => join(dir, 'logs', `${node}.log`);
export const auditPath = (dir: string, node: string): string => join(dir, 'logs', `${node}.audit.log`);
/** Where the supervisor leads a node's standard output and standard error. */
export const outputPath = (dir: string, node: string): string => join(dir, 'logs', `${node}.out`);

export class LogCollector {
  readonly #dir: string;
  readonly #limits: LogFileLimits;
  readonly #sources = new Map<string, Source>();

  constructor(dir: string, limits: LogFileLimits) {
    this.#dir = dir;
    this.#limits = limits;
    fs.mkdirSync(join(dir, 'logs'), { recursive: true, mode: 0o700 });
  }

  /** Collect what this node says from here on, and what it has said since the last collector. */
  add(name: string): void {
    if (this.#sources.has(name)) return;
    const lines = new RotatingFile(logPath(this.#dir, name), this.#limits);
    const audit = new RotatingFile(auditPath(this.#dir, name), this.#limits);
    const output = outputPath(this.#dir, name);
    this.#sources.set(name, {
      name,
      lines,
      audit,
      output,
      outputAt: readMark(output),
      report: undefined,
      reader: undefined,
      cursor: Math.max(lastPosition(lines), lastPosition(audit)),
    });
  }

  /** Look at all nodes. A few loads for each that has said nothing. */
  look(): void {
    for (const source of this.#sources.values()) this.#collect(source);
  }

  /** What one node has said, now. */
  collect(name: string): void {
    const source = this.#sources.get(name);
    if (source !== undefined) this.#collect(source);
  }

  /** The same for a node that nobody owns and nobody will own for now: with what its owner had no time to show, and with its
   * last words. */
  collectDead(name: string): void {
    const source = this.#sources.get(name);
    if (source === undefined) return;
    this.#collect(source);
    try {
      if (source.reader === undefined || OwnerLock.open(this.#dir, name).owner() !== undefined) return;
      const state = attachSegment({ dir: this.#dir, name, kind: 'state', readOnly: true });
      try {
        this.#read(source, source.reader, committedLines(state, catalogOf(state)));
      } finally {
        state.close();
      }
    } catch (error) {
      if (!(error instanceof ShmError)) throw error;
    }
  }

  #collect(source: Source): void {
    this.#readOutput(source);
    this.#map(source);
    if (source.reader !== undefined && source.reader.published !== source.cursor) this.#read(source, source.reader);
  }

  /** The report that has the name now. */
  #map(source: Source): void {
    if (source.report?.isCurrent()) return;
    source.report?.close();
    source.report = source.reader = undefined;
    try {
      source.report = attachSegment({ dir: this.#dir, name: source.name, kind: 'report', readOnly: true });
      source.reader = new LineReader(source.report);
    } catch (error) {
      // Not there yet, or of no use: its owner makes another.
      if (!(error instanceof ShmError)) throw error;
    }
  }

  #read(source: Source, reader: LineReader, committed?: number): void {
    const { lines, next, lostBytes } = reader.read(source.cursor, committed);
    if (lostBytes > 0) {
      source.lines.append(
        lineOf(source.name, LEVEL_ERROR, 'lines were overwritten before they were collected', { lostBytes }),
      );
    }
    // In the order of positions, each run by one write: whatever is cut off by a kill is the end of it.
    let run = '';
    let file = source.lines;
    for (const line of lines) {
      const to = (line.flags & AUDIT) !== 0 && (line.flags & UNDONE) === 0 ? source.audit : source.lines;
      if (to !== file) {
        file.append(run);
        run = '';
        file = to;
      }
      run += textOf(line);
    }
    file.append(run);
    source.cursor = next;
  }

  #readOutput(source: Source): void {
    const { output } = source;
    const size = fs.statSync(output, { throwIfNoEntry: false })?.size ?? 0;
    if (size < source.outputAt) source.outputAt = 0;
    if (size === source.outputAt) return;
    const fd = fs.openSync(output, 'r+');
    try {
      const bytes = Buffer.alloc(size - source.outputAt);
      const got = bytes.subarray(0, fs.readSync(fd, bytes, 0, bytes.length, source.outputAt));
      const end = got.lastIndexOf(0x0a) + 1;
      // A line without an end yet waits for it, unless it is a very long one.
      const whole = end > 0 ? end : got.length > TAIL_BYTES ? got.length : 0;
      if (whole === 0) return;
      source.lines.append(jsonLines(source.name, got.subarray(0, whole).toString()));
      source.outputAt += whole;
      if (source.outputAt >= OUTPUT_BYTES_MAX && fs.fstatSync(fd).size === source.outputAt) {
        // What is written between these two lines is lost; who writes goes on at the new end.
        fs.ftruncateSync(fd, 0);
        source.outputAt = 0;
      }
      fs.writeFileSync(markPath(output), String(source.outputAt), { mode: 0o600 });
    } finally {
      fs.closeSync(fd);
    }
  }

  /** All that was said, and no more. */
  close(): void {
    for (const source of this.#sources.values()) {
      this.collectDead(source.name);
      source.report?.close();
      source.lines.close();
      source.audit.close();
    }
    this.#sources.clear();
  }
}

const markPath = (path: string): string => `${path}.at`;

function readMark(path: string): number {
  try {
    return Number(fs.readFileSync(markPath(path), 'utf8')) || 0;
  } catch {
    return 0;
  }
}

function textOf({ end, flags, text }: ReadLine): string {
  const undone = (flags & UNDONE) !== 0 ? '"undone":true,' : '';
  return `{"pos":${end},${undone}${text.slice(1)}\n`;
}

function lineOf(name: string, level: number, msg: string, data: object = {}): string {
  return `${JSON.stringify({ level, time: Date.now(), name, msg, ...data })}\n`;
}

/** Lines of an output: JSON as it is, what lies between as one message, so that a stack stays in one piece. */
function jsonLines(name: string, text: string): string {
  let out = '';
  let plain: string[] = [];
  const flush = (): void => {
    const message = plain.join('\n').trim();
    if (message !== '') out += lineOf(name, TROUBLE.test(message) ? LEVEL_WARN : LEVEL_INFO, message, { output: true });
    plain = [];
  };
  for (const line of text.split('\n').slice(0, text.endsWith('\n') ? -1 : undefined)) {
    if (isJson(line)) {
      flush();
      out += `${line}\n`;
    } else plain.push(line);
  }
  flush();
  return out;
}

function isJson(line: string): boolean {
  if (!line.startsWith('{')) return false;
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

/** The `pos` of the last line that has one. */
function lastPosition(file: RotatingFile): number {
  const found = [...file.tail(TAIL_BYTES).matchAll(/^\{"pos":(\d+),/gm)].at(-1);
  return found === undefined ? 0 : Number(found[1]);
}
