/** Why a node ended, from its own words. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';

const TAIL_BYTES = 64 * 1024;

/** The message of the last error line of a log, or where to look. */
export function lastErrorIn(file: string): string {
  if (!existsSync(file)) return `see ${file}`;
  for (const line of tailOf(file).trim().split('\n').reverse()) {
    try {
      const { level, err, msg } = JSON.parse(line) as {
        level?: number;
        err?: { code?: string; message: string };
        msg?: string;
      };
      if (level === 50) return err ? `${err.code ? `${err.code}: ` : ''}${err.message}` : String(msg);
    } catch {
      if (line.includes('Error')) return line;
    }
  }
  return `see ${file}`;
}

function tailOf(file: string): string {
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8');
  } finally {
    closeSync(fd);
  }
}
