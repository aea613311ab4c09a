/** Segment: a sparse file of its maximal size, mapped once as a SharedArrayBuffer.
 *
 *   [header 4096][words 4096][reserved bitmap][catalog][regions of the rooms above ...]      header.ts has the bytes
 *
 * A file uses memory only where it is touched, so nothing is ever remapped and growth is `reserve` of further pages.
 * All positions are byte offsets from the start.
 *
 * Creating: the file has no name while it is written and its pages are reserved; link(2) then gives it one, or fails
 * because there is one already. So of N processes that create at once exactly one succeeds, a segment that has a name
 * is complete, and a creator that is killed leaves nothing behind.
 *
 * Opening never writes to a file it refuses. A reader maps read-only: its stray write ends the reader. Only the holder
 * of the node's owner lock may open for writing. */
import * as fs from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { ShmError, coded, rethrow } from './errors.ts';
import {
  beforePath,
  checkDir,
  fileIdOf,
  isMemory,
  openOwned,
  sameFile,
  segmentPath,
  type FileId,
  type SegmentKind,
} from './files.ts';
import {
  CLEAN_MARK,
  CLEAN_OFFSET,
  EPOCH_OFFSET,
  GRANULE_BYTES,
  HEADER_BYTES,
  LAST_BOOT_OFFSET,
  PAGE_BYTES,
  WORDS_OFFSET,
  decodeHeader,
  type Header,
  type Region,
} from './header.ts';
import { holdsLock } from './held.ts';
import { checkRoom } from './memory.ts';
import { addressRoom, native, type Shadow } from './native.ts';
import { bootId } from './process.ts';

/** Bytes reserved in one call of the kernel: a few milliseconds, so that a signal does not undo much. */
const RESERVE_STEP_BYTES = 16 * 1_048_576;

/** Bytes copied in one call. */
const COPY_STEP_BYTES = 16 * 1_048_576;

const CLEAN_INDEX = (WORDS_OFFSET + CLEAN_OFFSET) / 4;
const EPOCH_INDEX = (WORDS_OFFSET + EPOCH_OFFSET) / 4;
const LAST_BOOT = WORDS_OFFSET + LAST_BOOT_OFFSET;

/** How this process came to the segment: it made it, took it over for writing, or reads it. */
export type Outcome = 'created' | 'resumed' | 'attached';

/** What `open*` found out and `Segment` takes over. */
interface Parts {
  readonly path: string;
  readonly name: string;
  readonly header: Header;
  readonly fd: number;
  readonly id: FileId;
  readonly canWrite: boolean;
  readonly writable: boolean;
  readonly outcome: Outcome;
}

const equal = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** A mapped segment. The views cover all of it, from byte 0.
 *
 * After `close` they read zeros and writes reach no file. */
export class Segment {
  readonly path: string;
  /** Name of the node. */
  readonly name: string;
  readonly kind: SegmentKind;
  readonly layoutHash: bigint;
  readonly sizeBytes: number;
  readonly createdMs: number;
  /** All regions by name, shm's own among them. */
  readonly regions: ReadonlyMap<string, Region>;
  readonly buffer: SharedArrayBuffer;
  readonly i8: Int8Array;
  readonly u8: Uint8Array;
  readonly i16: Int16Array;
  readonly u16: Uint16Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly f32: Float32Array;
  readonly f64: Float64Array;
  readonly i64: BigInt64Array;
  readonly u64: BigUint64Array;

  #fd: number;
  readonly #id: FileId;
  readonly #canWrite: boolean;
  readonly #onDisk: boolean;
  #writable: boolean;
  #outcome: Outcome;
  #closed = false;
  /** The reserved bitmap as it was at the last `touchNew`. */
  #touched: Uint8Array | undefined;
  /** Of one that is kept ready to be opened for writing. */
  #shadow: Shadow | undefined;
  /** The views show private memory in place of the file. */
  #detached = false;
  #wasWritable = false;
  readonly #bitmap: number;
  readonly #catalog: { offset: number; bytes: number };

  /** @internal Takes over `parts.fd`. */
  constructor(parts: Parts) {
    const { header } = parts;
    this.path = parts.path;
    this.name = parts.name;
    this.kind = header.kind;
    this.layoutHash = header.layoutHash;
    this.sizeBytes = header.sizeBytes;
    this.createdMs = header.createdMs;
    this.regions = new Map(header.regions.map(region => [region.name, region]));
    this.#fd = parts.fd;
    this.#id = parts.id;
    this.#canWrite = parts.canWrite;
    this.#onDisk = !isMemory(dirname(parts.path));
    this.#writable = parts.writable;
    this.#outcome = parts.outcome;
    this.#bitmap = this.regions.get('reserved')!.offset;
    this.#catalog = { offset: this.regions.get('catalog')?.offset ?? 0, bytes: header.catalogBytes };
    this.buffer = addressRoom(header.sizeBytes);
    this.i8 = new Int8Array(this.buffer);
    this.u8 = new Uint8Array(this.buffer);
    this.i16 = new Int16Array(this.buffer);
    this.u16 = new Uint16Array(this.buffer);
    this.i32 = new Int32Array(this.buffer);
    this.u32 = new Uint32Array(this.buffer);
    this.f32 = new Float32Array(this.buffer);
    this.f64 = new Float64Array(this.buffer);
    this.i64 = new BigInt64Array(this.buffer);
    this.u64 = new BigUint64Array(this.buffer);
    native().mapOver(this.u8, this.#fd, header.sizeBytes, parts.writable, parts.path);
  }

  /** May this process write it? */
  get writable(): boolean {
    return this.#writable;
  }

  /** `created` by this process; `resumed` = opened for writing by this process, made by an earlier life; `attached` =
   * read-only. */
  get outcome(): Outcome {
    return this.#outcome;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The catalog as it was given to `createSegment`: a copy. */
  get catalog(): Uint8Array {
    const { offset, bytes } = this.#catalog;
    return this.u8.slice(offset, offset + bytes);
  }

  /** Number of the life that wrote last; 0 before the first. */
  get epoch(): number {
    return Atomics.load(this.u32, EPOCH_INDEX);
  }

  /** Begin a new life: the epoch plus one. Only the owner, once per boot or takeover. */
  nextEpoch(): number {
    this.#mustWrite('nextEpoch');
    const next = (this.epoch + 1) >>> 0;
    Atomics.store(this.u32, EPOCH_INDEX, next);
    return next;
  }

  /** Let the lives of a new segment be counted on from those of the one that it replaces. */
  continueEpoch(before: Segment): void {
    this.#mustWrite('continueEpoch');
    Atomics.store(this.u32, EPOCH_INDEX, before.epoch);
  }

  /** Was it closed in order, and not opened for writing since? */
  get clean(): boolean {
    return Atomics.load(this.u32, CLEAN_INDEX) === CLEAN_MARK;
  }

  /** Does the name still lead to this file? Not after it was removed, or removed and made again. */
  isCurrent(): boolean {
    return sameFile(fileIdOf(this.path), this.#id);
  }

  /** Was it last written on this boot of the host? */
  get sameBoot(): boolean {
    return equal(this.u8.slice(LAST_BOOT, LAST_BOOT + 16), bootId());
  }

  /** Reserve the pages of a range before they are first used; what is reserved already costs nothing.
   * @param offset first byte
   * @param bytes rounded out to whole 64 KiB
   * @throws ShmError `SHM_NO_MEMORY` before anything is taken, with both numbers and the setting to change.
   * @remarks About 0.2 s a GiB, blocking: never inside a handler, where `reserveAsync` has been called ahead. */
  reserve(offset: number, bytes: number): void {
    for (const [at, length] of this.#unreserved(offset, bytes)) {
      if (!this.#detached) native().allocate(this.#fd, at, length, this.path);
      this.#noteReserved(at, length);
    }
  }

  /** The same on a helper thread, 16 MiB at a time. */
  async reserveAsync(offset: number, bytes: number): Promise<void> {
    for (const [at, length] of this.#unreserved(offset, bytes)) {
      if (this.#closed) throw new ShmError('SHM_CLOSED', `${this.path} was closed while pages were being reserved`);
      await native()
        .allocateAsync(this.#fd, at, length, this.path)
        .catch(error => rethrow(error));
      if (!this.#closed) this.#noteReserved(at, length);
    }
  }

  /** Are all pages of the range reserved? */
  isReserved(offset: number, bytes: number): boolean {
    this.#mustCover(offset, bytes);
    return this.#runs(offset, bytes, false).length === 0;
  }

  /** Enter the reserved pages of a range into this process's page table, so that no first touch faults. Allocates
   * nothing: pages that are not reserved are left alone.
   * @remarks About 20 ms a GiB of pages in use; a standby does it before it is needed. */
  touch(offset = 0, bytes = this.sizeBytes): void {
    this.#mustBeOpen();
    this.#mustCover(offset, bytes);
    for (const [at, length] of this.#runs(offset, bytes, true)) {
      native().populate(this.u8.subarray(at, at + length), length, this.#writable, this.path);
    }
  }

  /** Keep it ready for `makeWritable`: a second mapping, writable and out of reach of JavaScript, has all pages that are
   * reserved by now in the page table, so that opening it for writing moves page tables instead of visiting each page, and
   * no first store faults. What a standby calls again and again.
   * @remarks About 0.2 s a GiB the first time; then one pass over the bitmap, a bit for 64 KiB, where nothing is new. */
  touchNew(): void {
    this.#mustBeOpen();
    if (this.#writable || this.#detached || !this.#canWrite) return;
    const reserved = this.regions.get('reserved')!;
    this.#shadow ??= native().shadowMap(this.u8, this.#fd, this.sizeBytes, this.path);
    this.#touched ??= new Uint8Array(reserved.bytes);
    for (let k = 0; k < reserved.bytes; k++) {
      const now = this.u8[reserved.offset + k]!;
      if (now === this.#touched[k]) continue;
      this.#touched[k] = now;
      const from = k * 8 * GRANULE_BYTES;
      const runs = this.#runs(from, Math.min(8 * GRANULE_BYTES, this.sizeBytes - from), true);
      for (const [at, length] of runs) native().shadowPopulate(this.#shadow, at, length, this.path);
    }
  }

  /** Put private memory, all zero, in the place of the file, under the same views: what is written from here on nobody
   * sees, and it is gone with `giveBack`. For a standby, which tries out there what it will do as the owner. Which pages
   * are reserved is known, and reserving more reserves nothing. `copyIn` brings the rest. */
  detach(): void {
    this.#mustBeOpen();
    if (this.#detached || (this.#writable && this.kind !== 'bells')) throw new TypeError(`${this.path} is in use`);
    native().unmapOver(this.u8, this.sizeBytes);
    this.#detached = true;
    this.#wasWritable = this.#writable;
    this.#writable = true;
    this.#read(0, this.#bitmap + this.regions.get('reserved')!.bytes);
  }

  get detached(): boolean {
    return this.#detached;
  }

  /** Copy those pages of a range of the file that were reserved at `detach`. @remarks About 5 GB/s */
  copyIn(offset: number, bytes: number): void {
    if (!this.#detached) throw new TypeError(`${this.path} is not detached`);
    this.#mustCover(offset, bytes);
    for (const [at, length] of this.#runs(offset, bytes, true)) {
      this.#read(Math.max(at, offset), Math.min(at + length, offset + bytes));
    }
  }

  #read(from: number, to: number): void {
    for (let at = from; at < to; ) {
      const got = coded('read', () => fs.readSync(this.#fd, this.u8, at, Math.min(to - at, COPY_STEP_BYTES), at));
      if (got === 0) return;
      at += got;
    }
  }

  /** Pages of the file that are reserved, in bytes. */
  get reservedBytes(): number {
    return this.#runs(0, this.sizeBytes, true).reduce((sum, [, bytes]) => sum + bytes, 0);
  }

  /** A word as the file has it, also while the views show something else. */
  wordInFile(index: number): number {
    const word = new Int32Array(1);
    coded('read', () => fs.readSync(this.#fd, word, 0, 4, index * 4));
    return word[0]!;
  }

  /** The file again, mapped as it was before `detach`. */
  giveBack(): void {
    if (!this.#detached || this.#closed) return;
    this.#writable = this.#wasWritable;
    native().mapOver(this.u8, this.#fd, this.sizeBytes, this.#writable, this.path);
    this.#detached = false;
  }

  /** Open the mapping for writing, in place. Views and page tables stay.
   * @throws ShmError `SHM_NOT_OWNER` when this thread does not hold the node's owner lock, `SHM_STALE` when the name
   * leads to another file by now, `SHM_NOT_CLEAN` when the file was written on an earlier boot and not closed. */
  makeWritable(): void {
    this.#mustBeOpen();
    if (this.#writable) return;
    if (this.kind !== 'bells' && !holdsLock(dirname(this.path), this.name)) {
      throw new ShmError(
        'SHM_NOT_OWNER',
        `${this.path}: only the holder of the owner lock of \`${this.name}\` may write`,
      );
    }
    if (!this.#canWrite) throw new ShmError('SHM_ACCESS', `${this.path} was opened for reading only`);
    if (!sameFile(fileIdOf(this.path), this.#id)) {
      throw new ShmError('SHM_STALE', `${this.path} is another file than the one that is mapped: attach again`);
    }
    this.#mustBeSound();
    if (this.#shadow === undefined) native().protect(this.u8, this.sizeBytes, true, this.path);
    else {
      native().shadowTake(this.#shadow, this.u8, this.path);
      this.#shadow = undefined;
    }
    this.#writable = true;
    this.#outcome = 'resumed';
    this.#open();
  }

  /** Unmap: zero memory takes the place of the file under the same views.
   * @param clean the owner is done in order and nothing is open: sets the clean mark, after everything is on disk. */
  close(clean = false): void {
    if (this.#closed) return;
    if (clean) {
      this.#mustWrite('close(clean)');
      // The order matters on disk: the mark may say "clean" only about bytes that are there.
      if (this.#onDisk) native().sync(this.u8, this.sizeBytes, this.path);
      Atomics.store(this.u32, CLEAN_INDEX, CLEAN_MARK);
      if (this.#onDisk) native().sync(this.u8, HEADER_BYTES + PAGE_BYTES, this.path);
    }
    native().unmapOver(this.u8, this.sizeBytes);
    if (this.#shadow !== undefined) native().shadowDrop(this.#shadow);
    this.#shadow = undefined;
    this.#closed = true;
    this.#writable = false;
    fs.closeSync(this.#fd);
    this.#fd = -1;
  }

  /** @internal A created segment becomes this boot's; so does a resumed one. */
  #open(): void {
    this.u8.set(bootId(), LAST_BOOT);
    Atomics.store(this.u32, CLEAN_INDEX, 0);
    // Page write-back has no order: the mark must be off on disk before the first change can get there.
    if (this.#onDisk) native().sync(this.u8, HEADER_BYTES + PAGE_BYTES, this.path);
  }

  /** @internal The steps of createSegment that need the mapping: pages first, then bytes. */
  initialize(page: Buffer, catalog: Uint8Array): void {
    const fixed = this.#catalog.offset || this.#bitmap;
    const end = fixed + (this.#catalog.offset ? catalog.length : this.regions.get('reserved')!.bytes);
    const first = Math.ceil(end / GRANULE_BYTES) * GRANULE_BYTES;
    checkRoom(dirname(this.path), first, `segment ${this.path}`);
    native().allocate(this.#fd, 0, first, this.path);
    this.#noteReserved(0, first);
    for (const region of this.regions.values()) if (region.reserve) this.reserve(region.offset, region.bytes);
    this.u8.set(page, 0);
    if (catalog.length > 0) this.u8.set(catalog, this.#catalog.offset);
    this.#open();
  }

  /** @internal Content that is only safe to read on the boot that wrote it, or after a clean close. */
  mustBeSoundForReading(): void {
    this.#mustBeSound();
  }

  #mustBeSound(): void {
    // Bells hold hints only: those of an earlier boot cost a look.
    if (this.kind === 'bells' || this.clean || this.sameBoot) return;
    throw new ShmError(
      'SHM_NOT_CLEAN',
      `${this.path} was last written on an earlier boot and not closed: its pages reached the disk in no order. ` +
        'Restore it from a dump or the database, then remove it with `lich rm`',
    );
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new ShmError('SHM_CLOSED', `${this.path} is closed`);
  }

  #mustWrite(what: string): void {
    this.#mustBeOpen();
    if (!this.#writable) throw new ShmError('SHM_READ_ONLY', `${what}: ${this.path} is mapped read-only`);
  }

  #mustCover(offset: number, bytes: number): void {
    if (!(offset >= 0 && bytes >= 0 && offset + bytes <= this.sizeBytes)) {
      throw new RangeError(`bytes ${offset}..${offset + bytes} lie outside the ${this.sizeBytes} of ${this.path}`);
    }
  }

  /** Runs of whole granules in a range whose bit is `set`, as [offset, bytes]. */
  #runs(offset: number, bytes: number, set: boolean): [number, number][] {
    const out: [number, number][] = [];
    const end = Math.ceil((offset + bytes) / GRANULE_BYTES);
    let from = -1;
    for (let granule = Math.floor(offset / GRANULE_BYTES); granule <= end; granule++) {
      const hit = granule < end && ((this.u8[this.#bitmap + (granule >>> 3)] >>> (granule & 7)) & 1) === (set ? 1 : 0);
      if (hit && from < 0) from = granule;
      if (!hit && from >= 0) {
        out.push([from * GRANULE_BYTES, (granule - from) * GRANULE_BYTES]);
        from = -1;
      }
    }
    return out;
  }

  /** What of a range is not reserved, in steps, after it was asked whether it fits. */
  #unreserved(offset: number, bytes: number): [number, number][] {
    this.#mustWrite('reserve');
    this.#mustCover(offset, bytes);
    if (bytes === 0) return [];
    const steps: [number, number][] = [];
    let sum = 0;
    for (const [at, length] of this.#runs(offset, bytes, false)) {
      sum += length;
      for (let from = at; from < at + length; from += RESERVE_STEP_BYTES) {
        steps.push([from, Math.min(RESERVE_STEP_BYTES, at + length - from)]);
      }
    }
    if (sum > 0) checkRoom(dirname(this.path), sum, `segment ${this.path}`);
    return steps;
  }

  #noteReserved(offset: number, bytes: number): void {
    for (let granule = offset / GRANULE_BYTES; granule < (offset + bytes) / GRANULE_BYTES; granule++) {
      this.u8[this.#bitmap + (granule >>> 3)] |= 1 << (granule & 7);
    }
  }
}

/** Which segment. */
export interface SegmentId {
  /** Directory of the cluster; see `runtimeDir`. */
  readonly dir: string;
  /** Name of the node (of no meaning for `bells`). */
  readonly name: string;
  readonly kind: SegmentKind;
}

/** What `attachSegment` takes. */
export interface AttachOptions extends SegmentId {
  /** Refuse another layout; default: any. */
  readonly layoutHash?: bigint | string;
  /** Open for writing at once, which needs the owner lock; default false. */
  readonly write?: boolean;
  /** Never to be written through this mapping, not even by the holder of the lock: the file is opened for reading only, so
   * that the kernel refuses. Default false. */
  readonly readOnly?: boolean;
  /** The segment whose name was taken by the one that has it now (`createReplacement`). Default false. */
  readonly before?: boolean;
}

/** 64 bits of a layout's text. */
export function hashOfLayout(layout: bigint | string): bigint {
  if (typeof layout === 'bigint') return BigInt.asUintN(64, layout);
  return createHash('sha256').update(layout).digest().readBigUInt64LE(0);
}

const hex = (value: bigint) => value.toString(16).padStart(16, '0');

/** Read and check the header of a file, which stays open. */
export function readHeader(path: string, readOnly = false): { header: Header; file: ReturnType<typeof openOwned> } {
  const file = openOwned(path, readOnly);
  try {
    const page = Buffer.alloc(HEADER_BYTES);
    const got = coded('read', () => fs.readSync(file.fd, page, 0, HEADER_BYTES, 0));
    const header = decodeHeader(page.subarray(0, got), path);
    if (header.sizeBytes !== file.sizeBytes) {
      throw new ShmError(
        'SHM_SIZE',
        `${path} is ${file.sizeBytes} bytes long, its header says ${header.sizeBytes}; it was left as it is`,
      );
    }
    if (header.uid !== (process.geteuid?.() ?? 0)) {
      throw new ShmError(
        'SHM_ACCESS',
        `${path} was made by uid ${header.uid}, this process runs as uid ${process.geteuid?.() ?? 0}`,
      );
    }
    return { header, file };
  } catch (error) {
    fs.closeSync(file.fd);
    throw error;
  }
}

/** Map a segment that exists, read-only unless `write`. A file that is refused is left as it is.
 * @throws ShmError `SHM_NOT_FOUND`, `SHM_BAD_FILE`, `SHM_ACCESS`, `SHM_FOREIGN`, `SHM_VERSION`, `SHM_CORRUPT`,
 * `SHM_KIND`, `SHM_LAYOUT`, `SHM_SIZE`, `SHM_NOT_CLEAN`; with `write` those of `makeWritable`. */
export function attachSegment(options: AttachOptions): Segment {
  const dir = resolve(options.dir);
  const named = segmentPath(dir, options.name, options.kind);
  const path = options.before === true ? beforePath(named) : named;
  checkDir(dir);
  const { header, file } = readHeader(path, options.readOnly);
  let segment: Segment | undefined;
  try {
    if (header.kind !== options.kind) {
      throw new ShmError(
        'SHM_KIND',
        `${path} is a segment of kind \`${header.kind}\`, \`${options.kind}\` was asked for`,
      );
    }
    if (options.layoutHash !== undefined && header.layoutHash !== hashOfLayout(options.layoutHash)) {
      throw new ShmError(
        'SHM_LAYOUT',
        `${path} has layout ${hex(header.layoutHash)}, this code has ${hex(hashOfLayout(options.layoutHash))}: the schema changed; deploy the new code, or start the old one`,
      );
    }
    segment = new Segment({
      path,
      name: options.kind === 'bells' ? '' : options.name,
      header,
      fd: file.fd,
      id: file,
      canWrite: file.canWrite,
      writable: false,
      outcome: 'attached',
    });
    const found = crc32(segment.catalog);
    if (found !== header.catalogCrc) {
      throw new ShmError(
        'SHM_CORRUPT',
        `${path}: catalog checksum ${found.toString(16)}, the header says ${header.catalogCrc.toString(16)}; the file was left as it is`,
      );
    }
    segment.mustBeSoundForReading();
    if (options.write) segment.makeWritable();
    return segment;
  } catch (error) {
    if (segment === undefined) fs.closeSync(file.fd);
    else segment.close();
    throw error;
  }
}
