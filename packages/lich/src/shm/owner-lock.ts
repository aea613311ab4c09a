/** Owner lock: who may write the segments of a node. One page, never renamed while its node lives, mapped for the life
 * of the process, never part of a SharedArrayBuffer. Little-endian.
 *
 *   OFFSET  SIZE  FIELD          WRITER       MEANING
 *        0     8  magic          creator      'LICHLOCK'
 *        8     4  formatVersion  creator      1
 *       12     4  mutexBytes     creator      sizeof(pthread_mutex_t)
 *       16     4  mutexOffset    creator      1024
 *       20     4  uid            creator      effective uid
 *       24    16  bootId         creator      a mutex of an earlier boot is worth nothing: the file is replaced
 *       40     8  createdMs      creator      milliseconds since 1970
 *       48    32  libc           creator      its name and version, for messages
 *       80    64  name           creator      of the node, zero-padded
 *      144   876  reserved       creator      zero
 *     1020     4  staticCrc      creator      CRC-32 of bytes 0..1019
 *     1024    64  mutex          libc, kernel robust, process-shared; its first word (glibc) is the futex word:
 *                                             0 free, else the owner's thread id | WAITERS (bit 31) | OWNER_DIED (30)
 *     1088   960  reserved       creator      zero
 *     2048   512  owners         owner        two notes of 256 bytes; the valid one with the higher epoch counts:
 *              0     4  crc          CRC-32 of bytes 4..255 of the note
 *              4     4  epoch        how often the lock was taken; note epoch & 1 holds it
 *              8     4  pid          16     8  startTime, clock ticks since boot
 *             12     4  tid          24    16  bootId
 *             40     8  pidNamespace 48     8  sinceMs (f64)         56   200  zero
 *     2560   512  reserved       creator      zero
 *     3072   512  exits          supervisor   sixteen notes of 32 bytes, the oldest is replaced:
 *              0     4  crc          CRC-32 of bytes 4..31 of the note
 *              4     4  sequence     8     4  pid
 *             12     4  code         exit code, -1 where a signal ended it
 *             16     4  signal       number, 0 = none
 *             20     4  cause        why the supervisor ended it: 0 it did not, 1 hung, 2 memory, 3 asked to
 *             24     8  atMs (f64)
 *     3584   512  reserved       creator      zero
 *
 * A note that was being written when its writer was killed has a wrong checksum and does not count.
 *
 * The thread that runs JavaScript takes the mutex itself. The kernel passes it on when that thread is gone, before it
 * tears the mappings down: a waiter learns of a SIGKILL in 0.1 to 0.25 ms whatever the size of the segments. That a
 * process was killed, and not closed, is said by 'died', but recovery must not ask: it always runs. */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { dirname, resolve } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { ShmError, coded, rethrow } from './errors.ts';
import { checkDir, checkName, fileIdOf, lockPath, newFile, openOwned, sameFile, type FileId } from './files.ts';
import { holdsLock, noteHeld, noteReleased } from './held.ts';
import { native } from './native.ts';
import { bootId, isAlive, nsPid, processOfThread, startTimeOf, threadId } from './process.ts';

const MAGIC = 'LICHLOCK';
const VERSION = 1;
const LOCK_BYTES = 4096;
const MUTEX_OFFSET = 1024;
const MUTEX_ROOM = 64;
const STATIC_CRC = 1020;
const OWNERS = 2048;
const OWNER_BYTES = 256;
const EXITS = 3072;
const EXIT_BYTES = 32;
const EXIT_COUNT = 16;
/** Ranges that are zero in every lock file. */
const RESERVED = [
  [144, STATIC_CRC],
  [MUTEX_OFFSET + MUTEX_ROOM, OWNERS],
  [OWNERS + 2 * OWNER_BYTES, EXITS],
  [EXITS + EXIT_COUNT * EXIT_BYTES, LOCK_BYTES],
] as const;

const TID_MASK = 0x3fffffff;

/** A worker waits in slices: `terminate()`, and the exit of the process, end it between two of them and would wait for ever
 * for a thread that is blocked in the kernel. */
const WAIT_SLICE_MS = isMainThread ? Number.POSITIVE_INFINITY : 100;

/** Name of the lock of the directory's supervisor. No node has it: theirs end with a number. */
export const SUPERVISOR = 'supervisor';

const CAUSES = ['', 'hung', 'memory', 'asked'] as const;

/** Who took the lock. */
export interface Owner {
  readonly pid: number;
  readonly tid: number;
  /** Clock ticks since boot. */
  readonly startTime: number;
  readonly bootId: string;
  /** How often the lock was taken so far, this time included. */
  readonly epoch: number;
  /** Pids of another namespace mean nothing here. */
  readonly pidNamespace: number;
  readonly sinceMs: number;
}

/** How a process of the node ended: one of the two, signal or code. */
export interface ExitNote {
  /** `SIGKILL`, … where a signal ended it. */
  readonly signal?: string;
  readonly code?: number;
  /** Why the supervisor killed it: it hung, it took too much memory, somebody asked for it. */
  readonly cause?: 'hung' | 'memory' | 'asked';
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

function staticBytes(name: string, mutexBytes: number): Buffer {
  const page = Buffer.alloc(MUTEX_OFFSET);
  page.write(MAGIC, 0, 'latin1');
  page.writeUInt32LE(VERSION, 8);
  page.writeUInt32LE(mutexBytes, 12);
  page.writeUInt32LE(MUTEX_OFFSET, 16);
  page.writeUInt32LE(process.geteuid?.() ?? 0, 20);
  page.set(bootId(), 24);
  page.writeBigUInt64LE(BigInt(Date.now()), 40);
  page.write(native().libc().slice(0, 32), 48, 'latin1');
  page.write(name, 80, 64, 'utf8');
  page.writeUInt32LE(crc32(page.subarray(0, STATIC_CRC)), STATIC_CRC);
  return page;
}

let mutexBytesHere: number | undefined;

/** A complete lock file without a name. */
function draft(path: string, name: string) {
  const file = newFile(path);
  try {
    coded('ftruncate', () => fs.ftruncateSync(file.fd, LOCK_BYTES));
    native().allocate(file.fd, 0, LOCK_BYTES, path);
    mutexBytesHere = native().lockFormat(file.fd, path);
    coded('write', () => fs.writeSync(file.fd, staticBytes(name, mutexBytesHere!), 0, MUTEX_OFFSET, 0));
    return file;
  } catch (error) {
    file.discard();
    fs.closeSync(file.fd);
    throw error;
  }
}

function readPage(fd: number): Buffer {
  const page = Buffer.alloc(LOCK_BYTES);
  return page.subarray(
    0,
    coded('read', () => fs.readSync(fd, page, 0, LOCK_BYTES, 0)),
  );
}

/** @returns false when the file is sound but of an earlier boot. */
function checkPage(page: Buffer, path: string): boolean {
  const refuse = (what: string): never => {
    throw new ShmError(
      'SHM_LOCK_CORRUPT',
      `${path}: ${what}; the file was left as it is. When no process of this node runs, remove it with \`lich rm\``,
    );
  };
  if (page.length !== LOCK_BYTES) refuse(`${page.length} bytes, a lock file has ${LOCK_BYTES}`);
  if (page.toString('latin1', 0, 8) !== MAGIC) refuse('no Lich lock file');
  const version = page.readUInt32LE(8);
  if (version !== VERSION) {
    throw new ShmError('SHM_VERSION', `${path} has lock format ${version}, this Lich reads format ${VERSION}`);
  }
  if (page.readUInt32LE(STATIC_CRC) !== crc32(page.subarray(0, STATIC_CRC))) refuse('wrong checksum');
  if (page.readUInt32LE(16) !== MUTEX_OFFSET) refuse(`mutex at ${page.readUInt32LE(16)}`);
  for (const [from, to] of RESERVED) {
    if (page.subarray(from, to).some(byte => byte !== 0)) refuse(`reserved bytes ${from}..${to - 1} are not zero`);
  }
  const uid = process.geteuid?.() ?? 0;
  if (page.readUInt32LE(20) !== uid) {
    throw new ShmError(
      'SHM_ACCESS',
      `${path} was made by uid ${page.readUInt32LE(20)}, this process runs as uid ${uid}`,
    );
  }
  return page.subarray(24, 40).equals(bootId());
}

interface OpenLock {
  readonly fd: number;
  readonly id: FileId;
  readonly handle: number;
}

/** Lock files that this thread of JavaScript has open, by inode: one is opened once, and mapped once a process. */
const mapped = new Map<string, OpenLock>();

function openLock(path: string, name: string): OpenLock {
  for (;;) {
    if (fileIdOf(path) === undefined) {
      const file = draft(path, name);
      const published = file.publish();
      fs.closeSync(file.fd);
      if (published) continue;
    }
    const file = openOwned(path);
    const key = `${file.dev}:${file.ino}`;
    const known = mapped.get(key);
    if (known !== undefined) {
      fs.closeSync(file.fd);
      return known;
    }
    try {
      if (!file.canWrite) throw new ShmError('SHM_ACCESS', `${path} could be opened for reading only`);
      const page = readPage(file.fd);
      if (checkPage(page, path)) {
        const handle = native().lockMap(file.fd, path);
        const open = { fd: file.fd, id: { dev: file.dev, ino: file.ino }, handle };
        mapped.set(key, open);
        return open;
      }
      replaceOld(path, name, file);
    } catch (error) {
      fs.closeSync(file.fd);
      throw error;
    }
    fs.closeSync(file.fd);
  }
}

/** A lock file of an earlier boot: nobody of its time lives, but its mutex may still name an owner. Whoever holds the
 * flock of the file that has the name may replace it, so a new one is never replaced. */
function replaceOld(path: string, name: string, old: FileId & { fd: number }): void {
  native().lockFile(old.fd, path);
  if (!sameFile(fileIdOf(path), old)) return;
  const next = `${path}.next-${process.pid}`;
  fs.rmSync(next, { force: true });
  const file = draft(next, name);
  try {
    if (file.publish()) coded('rename', () => fs.renameSync(next, path));
  } finally {
    fs.closeSync(file.fd);
  }
}

const signalNumber = (name: string) => (constants.signals as Record<string, number>)[name] ?? 0;
const signalName = (number: number) =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `SIG${number}`;

/** The note of this thread as an owner, but for epoch, time and checksum. */
function ownerDraft(): Buffer {
  const note = Buffer.alloc(OWNER_BYTES);
  note.writeUInt32LE(process.pid, 8);
  note.writeUInt32LE(threadId(), 12);
  note.writeBigUInt64LE(BigInt(startTimeOf(process.pid) ?? 0), 16);
  note.set(bootId(), 24);
  note.writeBigUInt64LE(BigInt(nsPid()), 40);
  return note;
}

let exitHook = false;
const heldLocks = new Set<OwnerLock>();

/** A process or worker that ends in order (exit code 0) lets go itself; any other end is a death. */
function releaseAtExit(): void {
  if (exitHook) return;
  exitHook = true;
  process.on('exit', code => {
    if (code === 0) for (const lock of heldLocks) lock.release();
  });
}

/** The lock of one node, as this thread of JavaScript has it open. A thread owns it, not its process: each worker may own
 * nodes of its own, a worker that ends dies as an owner, and its process may have a waiter in another thread. A thread cannot
 * wait for what it holds itself. */
export class OwnerLock {
  readonly path: string;
  readonly name: string;
  #open: OpenLock;
  #note: Buffer | undefined;

  private constructor(path: string, name: string, open: OpenLock) {
    this.path = path;
    this.name = name;
    this.#open = open;
    releaseAtExit();
    for (let i = 0; i < 3; i++) this.#rehearse();
  }

  /** Open the lock of a node; the file is made when there is none.
   * @throws ShmError `SHM_LOCK_CORRUPT`, `SHM_VERSION`, `SHM_ACCESS`, `SHM_BAD_FILE`: the file stays as it is. */
  static open(dir: string, name: string): OwnerLock {
    checkName(name);
    checkDir(resolve(dir));
    const path = lockPath(dir, name);
    return new OwnerLock(path, name, openLock(path, name));
  }

  /** Does this thread of JavaScript hold it? */
  get held(): boolean {
    return heldLocks.has(this);
  }

  /** Does nobody hold it now? A look at one word. */
  get free(): boolean {
    return (native().lockWord(this.#open.handle) & TID_MASK) === 0;
  }

  /** Take it if it is free. `died` = taken from an owner that died with it.
   * @throws ShmError `SHM_LOCK_STALE` when the file was removed, `SHM_LOCK_DEAD`, `SHM_LOCK_CORRUPT`. */
  tryAcquire(): 'acquired' | 'died' | 'busy' {
    this.#mustNotHold();
    for (;;) {
      const got = native().lockTry(this.#open.handle);
      if (got === 2) return 'busy';
      if (this.#keep()) return got === 1 ? 'died' : 'acquired';
    }
  }

  /** Wait for it, which blocks the thread: timers, sockets and signal handlers wait too.
   * @param timeoutMs default: for ever */
  acquire(timeoutMs?: number): 'acquired' | 'died' | 'timeout' {
    this.#mustNotHold();
    const until = timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeoutMs;
    for (;;) {
      const left = Math.max(0, until - performance.now());
      const slice = Math.min(left, WAIT_SLICE_MS);
      const got = native().lockWait(this.#open.handle, slice === Number.POSITIVE_INFINITY ? -1 : slice);
      if (got === 3 && slice < left) continue;
      if (got === 3 || got === 2) return 'timeout';
      if (this.#keep()) return got === 1 ? 'died' : 'acquired';
    }
  }

  /** Wait for it while the event loop runs: a helper thread watches, this thread locks.
   * @returns 'aborted' when the signal came first */
  async acquireWhenFree(signal?: AbortSignal): Promise<'acquired' | 'died' | 'aborted'> {
    for (;;) {
      if (signal?.aborted) return 'aborted';
      const got = this.tryAcquire();
      if (got !== 'busy') return got;
      const watch = native().lockWatch(this.#open.handle);
      signal?.addEventListener('abort', watch.cancel);
      await watch.promise;
      signal?.removeEventListener('abort', watch.cancel);
    }
  }

  /** Let go. Nothing happens when it is not held.
   * @throws ShmError `SHM_NOT_OWNER` when another thread of this process holds it. */
  release(): void {
    if (!this.held) return;
    // First forget, then let go: between the two nobody may write.
    heldLocks.delete(this);
    noteReleased(this.path);
    native().lockRelease(this.#open.handle);
  }

  /** Who holds it, as the owner wrote it down; `undefined` when nobody alive does.
   * @remarks A look from outside: it may be out of date when it returns. */
  owner(): Owner | undefined {
    const tid = native().lockWord(this.#open.handle) & TID_MASK;
    if (tid === 0) return undefined;
    const note = this.#lastOwner();
    if (note !== undefined && note.tid === tid && note.bootId === hexOf(bootId())) {
      return note.pidNamespace !== nsPid() || isAlive(note.pid, note.startTime) ? note : undefined;
    }
    // Taken a moment ago, and not yet written down.
    const pid = processOfThread(tid);
    const startTime = pid === undefined ? undefined : startTimeOf(pid);
    if (pid === undefined || startTime === undefined) return undefined;
    const epoch = (note?.epoch ?? 0) + 1;
    return { pid, tid, startTime, bootId: hexOf(bootId()), epoch, pidNamespace: nsPid(), sinceMs: Date.now() };
  }

  /** How often it was taken so far. */
  get epoch(): number {
    return this.#lastOwner()?.epoch ?? 0;
  }

  /** The last owner that wrote itself down, alive or not. */
  lastOwner(): Owner | undefined {
    return this.#lastOwner();
  }

  /** Write down how an owner ended. Only the supervisor writes these notes; sixteen are kept. */
  noteExit(pid: number, reason: ExitNote): void {
    const page = readPage(this.#open.fd);
    let at = EXITS;
    let newest = 0;
    let oldest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < EXIT_COUNT; i++) {
      const note = page.subarray(EXITS + i * EXIT_BYTES, EXITS + (i + 1) * EXIT_BYTES);
      const sequence = note.readUInt32LE(0) === crc32(note.subarray(4)) ? note.readUInt32LE(4) : 0;
      newest = Math.max(newest, sequence);
      if (sequence < oldest) {
        oldest = sequence;
        at = EXITS + i * EXIT_BYTES;
      }
    }
    const note = Buffer.alloc(EXIT_BYTES);
    note.writeUInt32LE(newest + 1, 4);
    note.writeUInt32LE(pid, 8);
    note.writeInt32LE(reason.code ?? -1, 12);
    note.writeUInt32LE(reason.signal === undefined ? 0 : signalNumber(reason.signal), 16);
    note.writeUInt32LE(CAUSES.indexOf(reason.cause ?? ''), 20);
    note.writeDoubleLE(reason.atMs, 24);
    note.writeUInt32LE(crc32(note.subarray(4)), 0);
    coded('write', () => fs.writeSync(this.#open.fd, note, 0, EXIT_BYTES, at));
  }

  /** How the process with this pid ended, the last time one did; `undefined` while the supervisor has not said. */
  readExit(pid: number): ExitNote | undefined {
    const page = readPage(this.#open.fd);
    let best: ExitNote | undefined;
    let newest = 0;
    for (let i = 0; i < EXIT_COUNT; i++) {
      const note = page.subarray(EXITS + i * EXIT_BYTES, EXITS + (i + 1) * EXIT_BYTES);
      if (note.readUInt32LE(0) !== crc32(note.subarray(4)) || note.readUInt32LE(8) !== pid) continue;
      if (note.readUInt32LE(4) <= newest) continue;
      newest = note.readUInt32LE(4);
      const code = note.readInt32LE(12);
      const signal = note.readUInt32LE(16);
      const cause = CAUSES[note.readUInt32LE(20)] || undefined;
      best = {
        ...(code >= 0 ? { code } : {}),
        ...(signal > 0 ? { signal: signalName(signal) } : {}),
        ...(cause === undefined ? {} : { cause }),
        atMs: note.readDoubleLE(24),
      };
    }
    return best;
  }

  #mustNotHold(): void {
    if (this.held || holdsLock(dirname(this.path), this.name)) {
      throw new ShmError('SHM_LOCK_HELD', `${this.path} is held by this thread already: release it first`);
    }
  }

  /** The mutex is ours: does its name still lead to it? A file that was replaced while we waited is let go and the new
   * one is opened. */
  #keep(): boolean {
    const now = fileIdOf(this.path);
    if (!sameFile(now, this.#open.id)) {
      native().lockRelease(this.#open.handle);
      if (now === undefined) {
        throw new ShmError('SHM_LOCK_STALE', `${this.path} was removed while this process waited: the node is gone`);
      }
      this.#open = openLock(this.path, this.name);
      return false;
    }
    try {
      this.#writeOwner();
    } catch (error) {
      native().lockRelease(this.#open.handle);
      return rethrow(error);
    }
    heldLocks.add(this);
    noteHeld(this.path);
    return true;
  }

  /** On the way from a death to the first message: everything that can be known before is in the draft. */
  #writeOwner(write = true): void {
    const note = (this.#note ??= ownerDraft());
    const epoch = ((this.#lastOwner()?.epoch ?? 0) + 1) >>> 0;
    note.writeUInt32LE(epoch, 4);
    note.writeDoubleLE(Date.now(), 48);
    note.writeUInt32LE(crc32(note.subarray(4)), 0);
    const bytes = write ? OWNER_BYTES : 0;
    coded('write', () => fs.writeSync(this.#open.fd, note, 0, bytes, OWNERS + (epoch & 1) * OWNER_BYTES));
  }

  /** Run once what `#keep` will run, writing nothing: code that runs for the first time takes ten times as long. */
  #rehearse(): void {
    sameFile(fileIdOf(this.path), this.#open.id);
    this.#writeOwner(false);
    native().lockWord(this.#open.handle);
  }

  #lastOwner(): Owner | undefined {
    const page = Buffer.alloc(2 * OWNER_BYTES);
    coded('read', () => fs.readSync(this.#open.fd, page, 0, page.length, OWNERS));
    let best: Owner | undefined;
    for (let i = 0; i < 2; i++) {
      const note = page.subarray(i * OWNER_BYTES, (i + 1) * OWNER_BYTES);
      if (note.readUInt32LE(0) !== crc32(note.subarray(4))) continue;
      const epoch = note.readUInt32LE(4);
      if (epoch === 0 || (best !== undefined && epoch < best.epoch)) continue;
      best = {
        pid: note.readUInt32LE(8),
        tid: note.readUInt32LE(12),
        startTime: Number(note.readBigUInt64LE(16)),
        bootId: hexOf(note.subarray(24, 40)),
        epoch,
        pidNamespace: Number(note.readBigUInt64LE(40)),
        sinceMs: note.readDoubleLE(48),
      };
    }
    return best;
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
