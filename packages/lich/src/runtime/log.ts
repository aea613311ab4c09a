/** Log lines of a service: one JSON object a line (pino's format) on standard output, which the supervisor leads to a
 * file. Written at once, so that a process's last words are on disk before it dies. */
import { writeSync } from 'node:fs';

/** What handlers and nodes log with. At most five lines of one message in a second; the rest is counted. */
export interface Log {
  info(message: string, data?: Readonly<Record<string, unknown>>): void;
  warn(message: string, data?: Readonly<Record<string, unknown>>): void;
  error(message: string, data?: Readonly<Record<string, unknown>>): void;
}

const LEVELS = { info: 30, warn: 40, error: 50 } as const;
type Level = keyof typeof LEVELS;

/** Lines of one message in one second; what comes beyond is counted, and said with the next line. */
const LINES_PER_SECOND = 5;

/** @param write takes a finished line */
export function createLog(name: string, write: (line: string) => void = toStandardOutput): Log {
  const recent = new Map<string, { sinceMs: number; lines: number; left: number }>();
  const say = (level: Level, message: string, data?: Readonly<Record<string, unknown>>): void => {
    const time = Date.now();
    let seen = recent.get(message);
    if (seen === undefined) recent.set(message, (seen = { sinceMs: time, lines: 0, left: 0 }));
    if (time - seen.sinceMs >= 1000) {
      seen.sinceMs = time;
      seen.lines = 0;
    }
    if (seen.lines++ >= LINES_PER_SECOND) {
      seen.left++;
      return;
    }
    const more = seen.left > 0 ? { leftOut: seen.left } : {};
    seen.left = 0;
    write(`${textOf({ level: LEVELS[level], time, pid: process.pid, name, msg: message, ...more }, data)}\n`);
  };
  return {
    info: (message, data) => say('info', message, data),
    warn: (message, data) => say('warn', message, data),
    error: (message, data) => say('error', message, data),
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
function textOf(line: object, data: Readonly<Record<string, unknown>> | undefined): string {
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
