/** Log lines of a node: one JSON object a line, in pino's format. Those of an owner go into its ring in shared memory, as
 * parts of transactions (report/line-ring.ts); those of a process that owns nothing go to standard output, which the
 * supervisor leads to a file. The host's collector brings both into `logs/<node>.log`. */
import { writeSync } from 'node:fs';
import { AUDIT, SURVIVES } from './report/line-ring.ts';
import type { LineSink } from './report/report.ts';

/** What handlers and nodes log with. At most five lines of one message in a second; the rest is counted. A line is part of
 * the transaction that says it: what is rolled back has said nothing, but for its errors. */
export interface Log {
  info(message: string, data?: Readonly<Record<string, unknown>>): void;
  warn(message: string, data?: Readonly<Record<string, unknown>>): void;
  error(message: string, data?: Readonly<Record<string, unknown>>): void;
  /** For the audit file; never left out for there being many. Without it `info` is used. @internal */
  audit?(event: string, data?: Readonly<Record<string, unknown>>): void;
  /** Where lines go from here on; `undefined` = standard output. @internal */
  lead?(sink: LineSink | undefined): void;
}

const LEVELS = { info: 30, warn: 40, error: 50 } as const;
type Level = keyof typeof LEVELS;

/** Lines of one message in one second; what comes beyond is counted, and said with the next line. */
const LINES_PER_SECOND = 5;

/** Messages that are counted; a service that says another one each time must not grow by it. */
const MESSAGES_MAX = 1_000;

/** Longer lines are cut: they would fill the ring. */
const LINE_BYTES_MAX = 32_768;

/** @param write takes a finished line where no ring does */
export function createLog(name: string, write: (line: string) => void = toStandardOutput): Log {
  const recent = new Map<string, { sinceMs: number; lines: number; left: number }>();
  let sink: LineSink | undefined;
  const put = (level: Level, flags: number, head: object, message: string, data?: object): void => {
    const line = { level: LEVELS[level], time: Date.now(), pid: process.pid, name, ...head, msg: message };
    let text = textOf(line, data);
    if (text.length > LINE_BYTES_MAX) {
      text = textOf({ ...line, msg: message.slice(0, 1_000) }, { data: `${text.length} characters were too many` });
    }
    if (sink === undefined || !sink(text, flags)) write(`${text}\n`);
  };
  const say = (level: Level, message: string, data?: Readonly<Record<string, unknown>>): void => {
    const time = Date.now();
    let seen = recent.get(message);
    if (seen === undefined) {
      if (recent.size >= MESSAGES_MAX) recent.clear();
      recent.set(message, (seen = { sinceMs: time, lines: 0, left: 0 }));
    }
    if (time - seen.sinceMs >= 1000) {
      seen.sinceMs = time;
      seen.lines = 0;
    }
    if (seen.lines++ >= LINES_PER_SECOND) {
      seen.left++;
      return;
    }
    const more = seen.left > 0 ? { leftOut: seen.left, ...data } : data;
    seen.left = 0;
    put(level, level === 'error' ? SURVIVES : 0, {}, message, more);
  };
  return {
    info: (message, data) => say('info', message, data),
    warn: (message, data) => say('warn', message, data),
    error: (message, data) => say('error', message, data),
    audit: (event, data) => put('info', AUDIT, { audit: true }, event, data),
    lead: to => (sink = to),
  };
}

function toStandardOutput(line: string): void {
  try {
    writeSync(1, line);
  } catch {
    // A closed or full standard output must not take the service with it.
  }
}

/** A line must not cost the transaction that writes it: what JSON cannot say is said otherwise. */
function textOf(line: object, data: object | undefined): string {
  try {
    return JSON.stringify({ ...line, ...data }, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
  } catch (error) {
    return JSON.stringify({ ...line, data: `cannot be written as JSON: ${shortText(error)}` });
  }
}

function shortText(value: unknown): string {
  try {
    return String(value instanceof Error ? value.message : value);
  } catch {
    return `a ${typeof value} that has no text`;
  }
}

/** What of an error belongs into a log line. Anything can be thrown; this never throws. */
export function errorData(error: unknown): Record<string, unknown> {
  try {
    if (!(error instanceof Error)) return { err: { message: String(error) } };
    const code = (error as { code?: unknown }).code;
    return {
      err: { type: error.name, message: error.message, stack: error.stack, ...(code === undefined ? {} : { code }) },
    };
  } catch {
    return { err: { message: shortText(error) } };
  }
}
