/** Dump a state segment into a file, from outside, while its owner goes on; and read such a file like a segment. */
import * as fs from 'node:fs';
import { addressRoom, GRANULE_BYTES, PAGE_BYTES, type Segment, SEGMENT_BYTES_MAX, ShmError } from '../shm/index.ts';
import { coded, FORMAT_VERSION, newFile } from '../shm/internal.ts';
import {
  DumpFile,
  type DumpInfo,
  type DumpPacking,
  DumpWriter,
  hasPacking,
  PAGE,
  PART_PAGES,
  WORDS_NUMBER,
} from './dump-format.ts';
import { StateError } from './errors.ts';
import type { Arrays } from './memory.ts';
import { LAPPED, Mirror } from './mirror.ts';
import { placesOf } from './plan.ts';
import { catalogOf } from './reader.ts';
import {
  ACCUSED_GENERATION,
  COM_POS,
  COMMIT_NO,
  CUR,
  FORMATTED,
  LOG_POS,
  PHASE,
  SUSPECT_MORE,
  VISIT_POOL,
  WORDS_PAGE,
} from './words.ts';

/** What `dumpSegment` takes. */
export interface DumpOptions {
  /** Default `brotli`; see docs/tools.md for what each costs. */
  readonly packing?: DumpPacking;
  /** Told how far it is, in bytes of the segment that are in use. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** Memory that a dump uses for copies, besides the words that its owner changes meanwhile, unless it has to hold all. */
const KEEP_BYTES = 8 * 1_048_576;
const TRIES = 100;
const TRIES_MS = 10_000;
/** Attempts that pack between the steps. */
const PACKING_TRIES = 3;
const GRANULE_PAGES = GRANULE_BYTES / PAGE;

if (PAGE !== PAGE_BYTES) throw new Error('dump.ts: pages of another size');

/** Write what a segment held at its newest commit into a new file. The owner, if there is one, is not stopped and not
 * slowed; an open transaction of a dead one is read as undone. The file gets its name when it is whole and on disk.
 * @param segment mapped read-only or not; segments of dumps too
 * @throws ShmError `SHM_EXISTS` when the file exists, `SHM_NO_MEMORY` when the disk is full; StateError `STATE_SNAPSHOT`
 * when the owner laps its log again and again between two steps, `STATE_NOT_READY` before its first commit
 * @remarks One pass over the pages in use, about 200 MB/s. Blocks the thread. */
export function dumpSegment(segment: Segment, path: string, options: DumpOptions = {}): DumpInfo {
  const steps = dumpSteps(segment, path, options);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** The same in steps of 64 KiB: for who has other things to do. What is dumped is the commit of the first step, unless the
 * owner laps its log; `return()` gives it up, and leaves nothing.
 * @throws in the steps as `dumpSegment` does */
export function* dumpSteps(
  segment: Segment,
  path: string,
  options: DumpOptions = {},
): Generator<undefined, DumpInfo, undefined> {
  const packing = options.packing ?? 'brotli';
  if (!hasPacking(packing)) {
    throw new StateError('STATE_UNSUPPORTED', `Node ${process.versions.node} has no ${packing}: use deflate or brotli`);
  }
  if (segment.i32[FORMATTED] !== 1) {
    throw new StateError(
      'STATE_NOT_READY',
      `${segment.name}: its owner has not yet written the first words; try again`,
      {
        severity: 'warn',
      },
    );
  }
  const places = placesOf(segment, catalogOf(segment));
  const mirror = new Mirror(segment, places.log, places.logWords);
  const taken = () => new ShmError('SHM_EXISTS', `${path} exists already: give another name`, { severity: 'warn' });
  if (fs.existsSync(path)) throw taken();
  const file = newFile(path);
  const beganMs = performance.now();
  let window = 0;
  let whole = false;
  try {
    for (let tries = 1; ; tries++) {
      mirror.release();
      coded('write', () => fs.ftruncateSync(file.fd, 0));
      mirror.begin();
      try {
        const info = yield* writeParts(
          segment,
          mirror,
          new DumpWriter(file.fd, packing),
          options,
          tries > PACKING_TRIES,
        );
        coded('write', () => fs.fsyncSync(file.fd));
        if (!file.publish()) throw taken();
        whole = true;
        fs.closeSync(file.fd);
        return info;
      } catch (error) {
        if (error !== LAPPED) throw error;
        window = Math.max(window, mirror.window);
        if (tries === TRIES || performance.now() - beganMs > TRIES_MS) {
          throw new StateError(
            'STATE_SNAPSHOT',
            `${tries} times the owner of ${segment.name} wrote over what the dump needed of its log: up to ${window} words between two steps, of ${places.logWords}. Raise limits.logBytes (${places.logWords * 4})`,
            { severity: 'warn' },
          );
        }
      } finally {
        mirror.end();
      }
    }
  } finally {
    if (!whole) {
      file.discard();
      fs.closeSync(file.fd);
    }
    mirror.release();
  }
}

/** @param hold copy all of it first and pack it then: less time between two steps, and memory for all */
function* writeParts(
  segment: Segment,
  mirror: Mirror,
  out: DumpWriter,
  options: DumpOptions,
  hold: boolean,
): Generator<undefined, DumpInfo, undefined> {
  const commitNo = segment.f64[COMMIT_NO >> 1]!;
  const raw = new Uint8Array(PART_PAGES * (PAGE + 4));
  const numbers = new Uint32Array(raw.buffer, 0, PART_PAGES);
  const pages = raw.subarray(PART_PAGES * 4);
  let count = 0;
  const flush = () => {
    if (count === 0) return;
    if (count < PART_PAGES) raw.copyWithin(count * 4, PART_PAGES * 4, PART_PAGES * 4 + count * PAGE);
    out.part(raw.subarray(0, count * (PAGE + 4)), count);
    count = 0;
  };
  const put = (number: number, from: Uint8Array) => {
    numbers[count] = number;
    pages.set(from, count * PAGE);
    if (++count === PART_PAGES) flush();
  };
  const putGranule = (granule: number, k: number) => {
    for (let number = granule * GRANULE_PAGES; number < (granule + 1) * GRANULE_PAGES; number++) {
      const at = number * PAGE;
      if (number > WORDS_NUMBER && !logged(number) && !isZero(mirror.i32, at / 4))
        put(number, mirror.u8.subarray(at, at + PAGE));
    }
    options.onProgress?.((k + 1) * GRANULE_BYTES, granules.length * GRANULE_BYTES);
  };
  const log = segment.regions.get('log')!;
  const logged = (number: number) => number * PAGE >= log.offset && (number + 1) * PAGE <= log.offset + log.bytes;
  // What is reserved from now on holds nothing that the commit leads to.
  const granules = Array.from({ length: segment.sizeBytes / GRANULE_BYTES }, (_, granule) => granule).filter(
    granule =>
      isReserved(segment, granule) && !(logged(granule * GRANULE_PAGES) && logged((granule + 1) * GRANULE_PAGES - 1)),
  );
  yield;
  for (const [k, granule] of granules.entries()) {
    if (!hold) yield;
    mirror.need((granule * GRANULE_BYTES) / 4, GRANULE_BYTES / 4);
    if (!hold) putGranule(granule, k);
    if (!hold && mirror.usedBytes > KEEP_BYTES) mirror.release();
  }
  // Not under the log, so it is copied after all that is: its counters are at least those of what was copied.
  const words = segment.i32.slice(WORDS_PAGE, WORDS_PAGE + PAGE / 4);
  if (hold) granules.forEach(putGranule);
  quiet(words);
  put(WORDS_NUMBER, new Uint8Array(words.buffer));
  flush();
  return out.finish({
    segmentFormat: FORMAT_VERSION,
    node: segment.name,
    layoutHash: segment.layoutHash.toString(16).padStart(16, '0'),
    sizeBytes: segment.sizeBytes,
    createdMs: segment.createdMs,
    takenMs: Date.now(),
    epoch: segment.epoch,
    commitNo,
    regions: [...segment.regions.values()],
    catalog: new TextDecoder().decode(segment.catalog),
  });
}

/** Is any of these 64 KiB reserved? A segment that is no file has all of its pages. */
function isReserved(segment: Segment, granule: number): boolean {
  const bitmap = segment.regions.get('reserved');
  return bitmap === undefined || ((segment.u8[bitmap.offset + (granule >>> 3)]! >>> (granule & 7)) & 1) === 1;
}

function isZero(words: Int32Array, from: number): boolean {
  for (let k = from; k < from + PAGE / 4; k++) if (words[k] !== 0) return false;
  return true;
}

/** Of a copied page `words`: nothing is open, and nothing is being handled. */
function quiet(words: Int32Array): void {
  words[LOG_POS - WORDS_PAGE] = 0;
  words[COM_POS - WORDS_PAGE] = 0;
  words.fill(0, CUR - WORDS_PAGE, SUSPECT_MORE - WORDS_PAGE + 1);
  words.fill(0, VISIT_POOL - WORDS_PAGE, ACCUSED_GENERATION - WORDS_PAGE + 1);
  words[PHASE - WORDS_PAGE] = 0;
}

/** A dump as a segment in the memory of this process: readers, inspection and checks take it as they take a mapped one.
 * @throws StateError `STATE_DUMP_FOREIGN`, `STATE_DUMP_VERSION`, `STATE_DUMP_DAMAGED`
 * @remarks Uses as much memory as the pages in the dump. */
export function openDump(path: string): { segment: Segment; info: DumpInfo } {
  const file = openFile(path);
  try {
    const { info } = file;
    if (!Number.isInteger(info.sizeBytes / GRANULE_BYTES) || info.sizeBytes > SEGMENT_BYTES_MAX) {
      throw new StateError('STATE_DUMP_DAMAGED', `${path}: a segment of ${info.sizeBytes} bytes`);
    }
    const buffer = addressRoom(info.sizeBytes);
    const u8 = new Uint8Array(buffer);
    file.read((numbers, pages) => {
      numbers.forEach((number, k) => u8.set(pages.subarray(k * PAGE, (k + 1) * PAGE), number * PAGE));
    });
    return { segment: new DumpedSegment(path, info, buffer) as unknown as Segment, info };
  } finally {
    file.close();
  }
}

/** @internal What `openDump` and `restoreSegment` read. */
export function openFile(path: string): DumpFile {
  return coded('open', () => new DumpFile(path));
}

/** What a dump says of itself, without reading its pages.
 * @throws as `openDump` */
export function dumpInfo(path: string): DumpInfo {
  const file = openFile(path);
  file.close();
  return file.info;
}

/** The face of a segment over a dump. */
class DumpedSegment implements Arrays {
  readonly path: string;
  readonly name: string;
  readonly kind = 'state';
  readonly layoutHash: bigint;
  readonly sizeBytes: number;
  readonly createdMs: number;
  readonly epoch: number;
  readonly regions: Segment['regions'];
  readonly catalog: Uint8Array;
  readonly writable = false;
  readonly outcome = 'attached';
  readonly closed = false;
  readonly clean = true;
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

  constructor(path: string, info: DumpInfo, buffer: SharedArrayBuffer) {
    this.path = path;
    this.name = info.node;
    this.layoutHash = BigInt(`0x${info.layoutHash}`);
    this.sizeBytes = info.sizeBytes;
    this.createdMs = info.createdMs;
    this.epoch = info.epoch;
    // Without the bitmap: all pages are there, those that the dump does not have are zero.
    this.regions = new Map(
      info.regions.filter(region => region.name !== 'reserved').map(region => [region.name, region]),
    );
    this.catalog = new TextEncoder().encode(info.catalog);
    this.buffer = buffer;
    this.i8 = new Int8Array(buffer);
    this.u8 = new Uint8Array(buffer);
    this.i16 = new Int16Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.f32 = new Float32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.i64 = new BigInt64Array(buffer);
    this.u64 = new BigUint64Array(buffer);
  }

  close(): void {}
}
