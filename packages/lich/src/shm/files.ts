/** Files and directories of a cluster: what they are called, and what is checked before one is used.
 *
 *   <node>.state   state segment        <node>.lock    owner lock
 *   <node>.lanes   lanes segment        bells          wake-up words of the cluster
 *   <node>.report  lines and counters   <index>.bell   FIFO of one node
 *   .tmp-<pid>-<n> a file being made, where O_TMPFILE is missing
 *   .next-<node>.state    a segment about to take a name      .before-<node>.state    the one that had it
 *
 * All are ours (our effective uid), nobody else may write them, and none is reached through a symbolic link. */
import * as fs from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { ShmError, coded, rethrow } from './errors.ts';
import { native } from './native.ts';

/** What a segment is: the truth of a node, what it sends, the bells of a cluster, or what a node reports. */
export type SegmentKind = 'state' | 'lanes' | 'bells' | 'report' | 'inputs';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const OTHERS_WRITE = 0o022;
const TMPFILE = 0o20000000 | fs.constants.O_DIRECTORY;

export function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw new ShmError(
    'SHM_BAD_NAME',
    `node name ${JSON.stringify(name)}: 1 to 63 letters, digits, '.', '_' or '-', not starting with a mark`,
  );
}

export function segmentPath(dir: string, name: string, kind: SegmentKind): string {
  if (kind === 'bells') return join(resolve(dir), 'bells');
  checkName(name);
  return join(resolve(dir), `${name}.${kind}`);
}

/** The name of a segment for the moment before it takes another's name. */
export function nextPath(path: string): string {
  return join(dirname(path), `.next-${basename(path)}`);
}

/** The name of a segment whose name was taken. */
export function beforePath(path: string): string {
  return join(dirname(path), `.before-${basename(path)}`);
}

export function lockPath(dir: string, name: string): string {
  checkName(name);
  return join(resolve(dir), `${name}.lock`);
}

export function fifoPath(dir: string, index: number): string {
  return join(resolve(dir), `${index}.bell`);
}

function self(): number {
  return process.geteuid?.() ?? 0;
}

function checkOwner(path: string, st: { uid: number; mode: number }): void {
  if (st.uid !== self()) {
    throw new ShmError('SHM_ACCESS', `${path} belongs to uid ${st.uid}, this process runs as uid ${self()}`);
  }
  if ((st.mode & OTHERS_WRITE) !== 0) {
    throw new ShmError(
      'SHM_ACCESS',
      `${path} can be written by others (mode ${(st.mode & 0o777).toString(8)}): chmod go-w ${path}`,
    );
  }
}

/** A directory for segments must be ours alone to write, and not a symbolic link. */
export function checkDir(dir: string): void {
  const st = coded('directory of segments', () => fs.lstatSync(dir));
  if (!st.isDirectory()) {
    throw new ShmError('SHM_BAD_FILE', `${dir} is not a directory${st.isSymbolicLink() ? ' but a symbolic link' : ''}`);
  }
  checkOwner(dir, st);
}

/** Identity of a file, for "does the name still lead there". */
export interface FileId {
  readonly dev: bigint;
  readonly ino: bigint;
}

export interface OpenFile extends FileId {
  readonly fd: number;
  readonly sizeBytes: number;
  /** false: the file could be opened for reading only. */
  readonly canWrite: boolean;
}

export function fileIdOf(path: string): FileId | undefined {
  try {
    return fs.lstatSync(path, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    return rethrow(error, 'lstat');
  }
}

export function sameFile(a: FileId | undefined, b: FileId | undefined): boolean {
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/** Open a regular file of ours. Looked at before it is opened, because opening a device acts, and again after.
 * @param readOnly for good: the kernel then refuses to make a mapping of it writable */
export function openOwned(path: string, readOnly = false): OpenFile {
  const found = coded('open', () => fs.lstatSync(path));
  if (!found.isFile()) {
    const what = found.isSymbolicLink()
      ? 'a symbolic link'
      : found.isDirectory()
        ? 'a directory'
        : found.isFIFO()
          ? 'a FIFO'
          : 'not a file';
    throw new ShmError('SHM_BAD_FILE', `${path} is ${what}, where a regular file must be`);
  }
  checkOwner(path, found);
  const flags = fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
  let canWrite = !readOnly;
  let fd: number;
  try {
    fd = fs.openSync(path, flags | (readOnly ? fs.constants.O_RDONLY : fs.constants.O_RDWR));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EACCES' && code !== 'EROFS' && code !== 'EPERM') {
      return rethrow(error, 'open');
    }
    canWrite = false;
    fd = coded('open', () => fs.openSync(path, flags | fs.constants.O_RDONLY));
  }
  try {
    const st = fs.fstatSync(fd, { bigint: true });
    if (!st.isFile()) throw new ShmError('SHM_BAD_FILE', `${path} is not a regular file`);
    checkOwner(path, { uid: Number(st.uid), mode: Number(st.mode) });
    return { fd, sizeBytes: Number(st.size), dev: st.dev, ino: st.ino, canWrite };
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

export interface NewFile {
  readonly fd: number;
  /** Give the file its name. false: the name is taken, and the file is gone. */
  publish(): boolean;
  /** Drop the file before it had a name. */
  discard(): void;
}

let drafts = 0;

/** A file of ours that has no name until `publish`: killed before that, it leaves nothing behind (O_TMPFILE), or on
 * file systems without it a `.tmp-` file that `removeCluster` clears.
 * @param unnamed false: make a `.tmp-` file although O_TMPFILE may work (for tests) */
export function newFile(path: string, unnamed = true): NewFile {
  const dir = dirname(path);
  const fd = unnamed ? openUnnamed(dir) : undefined;
  if (fd !== undefined) return { fd, publish: () => native().linkFd(fd, path), discard: () => {} };
  return namedDraft(dir, path);
}

function openUnnamed(dir: string): number | undefined {
  try {
    return fs.openSync(dir, TMPFILE | fs.constants.O_RDWR, 0o600);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EOPNOTSUPP' || code === 'ENOTSUP' || code === 'EISDIR' || code === 'EINVAL') return undefined;
    return rethrow(error, 'create');
  }
}

function namedDraft(dir: string, path: string): NewFile {
  const draft = join(dir, `.tmp-${process.pid}-${drafts++}-${process.hrtime.bigint()}`);
  const fd = coded('create', () => fs.openSync(draft, 'wx+', 0o600));
  return {
    fd,
    publish: () => {
      try {
        fs.linkSync(draft, path);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
        return rethrow(error, 'link');
      } finally {
        fs.unlinkSync(draft);
      }
    },
    discard: () => fs.rmSync(draft, { force: true }),
  };
}

const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;

/** Are the pages of this directory's files memory (tmpfs) rather than disk? */
export function isMemory(dir: string): boolean {
  const type = Number(coded('statfs', () => fs.statfsSync(dir)).type) >>> 0;
  return type === TMPFS || type === RAMFS;
}
