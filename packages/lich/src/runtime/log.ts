/** Log lines of a service: one JSON object a line (pino's format) on standard output, which the supervisor leads to a
 * file. Written at once, so that a process's last words are on disk before it dies. */
import { writeSync } from 'node:fs';

export interface Log {
  info(message: string, data?: Readonly<Record<string, unknown>>): void;
  warn(message: string, data?: Readonly<Record<string, unknown>>): void;
  error(message: string, data?: Readonly<Record<string, unknown>>): void;
}

const LEVELS = { info: 30, warn: 40, error: 50 } as const;

export function createLog(name: string, write: (line: string) => void = toStandardOutput): Log {
  const line = (level: keyof typeof LEVELS) => (message: string, data?: Readonly<Record<string, unknown>>) =>
    write(`${JSON.stringify({ level: LEVELS[level], time: Date.now(), pid: process.pid, name, msg: message, ...data })}\n`);
  return { info: line('info'), warn: line('warn'), error: line('error') };
}

function toStandardOutput(line: string): void {
  try {
    writeSync(1, line);
  } catch {
    // A closed or full standard output must not take the service with it.
  }
}

/** What of an error belongs into a log line. */
export function errorData(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { err: { message: String(error) } };
  const code = (error as { code?: unknown }).code;
  return { err: { type: error.name, message: error.message, stack: error.stack, ...(code === undefined ? {} : { code }) } };
}
