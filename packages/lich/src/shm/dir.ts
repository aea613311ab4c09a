/** The directory of a cluster, and what lies in it. */
import * as fs from 'node:fs';
import { join, resolve } from 'node:path';
import { ShmError, coded } from './errors.ts';
import { checkDir, segmentPath } from './files.ts';
import { CLEAN_MARK, CLEAN_OFFSET, EPOCH_OFFSET, LAST_BOOT_OFFSET, WORDS_BYTES, WORDS_OFFSET } from './header.ts';
import { OwnerLock, SUPERVISOR, type Owner } from './owner-lock.ts';
import { bootId } from './process.ts';
import { readHeader } from './segment.ts';

/** The directory segments live in: `$LICH_DIR`, else `/dev/shm/lich-<uid>`. Made with mode 0700 where it is missing.
 * @throws ShmError `SHM_ACCESS` when it belongs to somebody else or others may write it; `SHM_BAD_FILE` when it is no
 * directory. */
export function runtimeDir(): string {
  const given = process.env.LICH_DIR;
  const dir = given ? resolve(given) : join('/dev/shm', `lich-${process.geteuid?.() ?? 0}`);
  if (!fs.existsSync(dir)) {
    coded('directory of segments', () => fs.mkdirSync(dir, { recursive: true, mode: 0o700 }));
  }
  checkDir(dir);
  return dir;
}

/** A segment file as it lies there. */
export interface FoundSegment {
  readonly kind: 'state' | 'lanes';
  readonly path: string;
  /** Length of the file. */
  readonly sizeBytes: number;
  /** Memory or disk it uses. */
  readonly usedBytes: number;
  readonly epoch: number;
  /** Could an owner open it for writing? */
  readonly resumable: boolean;
  /** Why not. */
  readonly problem: ShmError | undefined;
}

/** A node as it lies in a directory, running or not. */
export interface FoundNode {
  readonly name: string;
  /** Who holds the owner lock; `undefined` when nobody alive does. */
  readonly owner: Owner | undefined;
  /** Why the lock file cannot be used. */
  readonly lockProblem: ShmError | undefined;
  readonly segments: readonly FoundSegment[];
  readonly usedBytes: number;
}

function look(dir: string, name: string, kind: 'state' | 'lanes'): FoundSegment | undefined {
  const path = segmentPath(dir, name, kind);
  const st = fs.lstatSync(path, { throwIfNoEntry: false });
  if (st === undefined) return undefined;
  const seen = { kind, path, sizeBytes: st.size, usedBytes: st.blocks * 512, epoch: 0 };
  try {
    const { file, header } = readHeader(path);
    try {
      const words = Buffer.alloc(WORDS_BYTES);
      fs.readSync(file.fd, words, 0, WORDS_BYTES, WORDS_OFFSET);
      const epoch = words.readUInt32LE(EPOCH_OFFSET);
      const sameBoot = words.subarray(LAST_BOOT_OFFSET, LAST_BOOT_OFFSET + 16).equals(bootId());
      if (header.kind !== kind) throw new ShmError('SHM_KIND', `${path} is a segment of kind \`${header.kind}\``);
      if (!sameBoot && words.readUInt32LE(CLEAN_OFFSET) !== CLEAN_MARK) {
        throw new ShmError('SHM_NOT_CLEAN', `${path} was last written on an earlier boot and not closed`);
      }
      return { ...seen, epoch, resumable: true, problem: undefined };
    } finally {
      fs.closeSync(file.fd);
    }
  } catch (error) {
    if (!(error instanceof ShmError)) throw error;
    return { ...seen, resumable: false, problem: error };
  }
}

/** The nodes of a directory, by name: what runs, and what a killed run left behind. Segments are only read; a lock file
 * of an earlier boot is replaced, as by every opening. */
export function listSegments(dir: string): FoundNode[] {
  checkDir(dir);
  const names = new Set<string>();
  for (const file of fs.readdirSync(dir)) {
    const found = /^([A-Za-z0-9][A-Za-z0-9._-]*)\.(?:state|lanes|lock)$/.exec(file);
    if (found !== null && found[1] !== SUPERVISOR) names.add(found[1]!);
  }
  return [...names].sort().map(name => {
    const segments = [look(dir, name, 'state'), look(dir, name, 'lanes')].filter(found => found !== undefined);
    let owner: Owner | undefined;
    let lockProblem: ShmError | undefined;
    if (fs.existsSync(join(dir, `${name}.lock`))) {
      try {
        owner = OwnerLock.open(dir, name).owner();
      } catch (error) {
        if (!(error instanceof ShmError)) throw error;
        lockProblem = error;
      }
    }
    return { name, owner, lockProblem, segments, usedBytes: segments.reduce((sum, found) => sum + found.usedBytes, 0) };
  });
}
