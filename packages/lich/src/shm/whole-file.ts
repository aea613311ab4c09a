/** Small files of a cluster's directory that are whole or not there: written under another name, then given theirs.
 *
 *   <path>.<pid>.tmp     the draft; what a killed writer left of it is read by nobody, and swept by the next supervisor */
import * as fs from 'node:fs';
import { join } from 'node:path';

/** Write a file, in place of the one that has the name. */
export function writeWhole(path: string, text: string): void {
  const draft = draftOf(path, text);
  fs.renameSync(draft, path);
}

/** Write a file unless there is one.
 * @returns false: the name is taken */
export function enterWhole(path: string, text: string): boolean {
  const draft = draftOf(path, text);
  try {
    // Unlike a rename it replaces nothing.
    fs.linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    fs.rmSync(draft, { force: true });
  }
}

function draftOf(path: string, text: string): string {
  const draft = `${path}.${process.pid}.tmp`;
  fs.writeFileSync(draft, text, { mode: 0o600 });
  return draft;
}

/** Drafts by their names: of small files, of segments and locks where O_TMPFILE is missing, of a lock that replaces one. */
const DRAFTS = [/\.(\d+)\.tmp$/, /^\.tmp-(\d+)-/, /\.next-(\d+)$/];
/** Folders that hold folders: `orders/<node>`, `quarantine/<id>`. */
const DEPTH = 2;

/** Remove what killed writers left in a cluster's directory. Drafts of processes that live stay.
 * @returns paths that were removed */
export function sweepDrafts(dir: string, depth = DEPTH): string[] {
  const swept: string[] = [];
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) {
      if (depth > 0) swept.push(...sweepDrafts(path, depth - 1));
      continue;
    }
    const pid = DRAFTS.map(each => each.exec(entry.name)?.[1]).find(found => found !== undefined);
    if (pid === undefined || !entry.isFile() || lives(Number(pid))) continue;
    fs.rmSync(path, { force: true });
    swept.push(path);
  }
  return swept;
}

/** Of its own drafts a process has none when it asks: they last no longer than a call. */
function lives(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
