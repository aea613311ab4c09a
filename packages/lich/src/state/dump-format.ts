/** Dump: the pages in use of a state segment, as of one commit, in one file that ends with what it holds.
 *
 *   OFFSET  SIZE  FIELD
 *        0     8  magic          'LICH-DMP'
 *        8     4  dumpFormat     1; this word and the magic keep their place in every version
 *       12     4  zero
 *       16     …  parts
 *        …     …  foot           JSON, `DumpInfo`
 *       -16    4  footBytes
 *       -12    4  footCrc        CRC-32 of the foot
 *        -8    8  magic          'LICH-END'
 *
 *   part  OFFSET  SIZE  FIELD
 *              0     4  storedBytes    of what follows these 16 bytes
 *              4     4  rawBytes       of it when it is unpacked: pages × 4100
 *              8     4  pages          1..64
 *             12     4  rawCrc         CRC-32 of the unpacked bytes
 *             16     …  packed         unpacked: page numbers (u32), then the pages, 4096 bytes each
 *
 * The page numbers grow over the whole dump, but for page 1 (`words`), which comes last: it is not under the log, and its
 * counters are to be at least those of what was copied.
 *
 * Little-endian. The foot has the SHA-256 of all bytes before it, the two checksums the rest: a changed bit is a coded
 * error. Left out: the header (it is made anew), the log (nothing is open), the bitmap of reserved pages, pages of zeros.
 * The page `words` says that nothing is open and nothing is being handled. */
import * as fs from 'node:fs';
import { createHash, type Hash } from 'node:crypto';
import * as zlib from 'node:zlib';
import { coded } from '../shm/internal.ts';
import { StateError } from './errors.ts';

export const DUMP_FORMAT = 1;
export const HEAD_BYTES = 16;
export const PART_BYTES = 16;
export const END_BYTES = 16;
export const PAGE = 4096;
export const PART_PAGES = 64;
/** Number of the page `words`. */
export const WORDS_NUMBER = 1;
export const HEAD_MAGIC = 'LICH-DMP';
export const END_MAGIC = 'LICH-END';
/** A foot is a catalog and some hundred bytes. */
const FOOT_MAX = 64 * 1_048_576;

/** How parts are packed. */
export const DUMP_PACKINGS = ['none', 'deflate', 'brotli', 'zstd'] as const;
/** `zstd` only where Node has it (22.15 and up). */
export type DumpPacking = (typeof DUMP_PACKINGS)[number];

/** What a dump says of itself. */
export interface DumpInfo {
  readonly dumpFormat: number;
  /** Of the segment. */
  readonly segmentFormat: number;
  readonly node: string;
  /** 16 hex digits. */
  readonly layoutHash: string;
  /** Of the segment: what restoring it may grow to. */
  readonly sizeBytes: number;
  /** When the segment was made, and when it was dumped: ms since 1970. */
  readonly createdMs: number;
  readonly takenMs: number;
  /** Life that wrote last. */
  readonly epoch: number;
  /** Commits that are in it; one more while the owner is committing. */
  readonly commitNo: number;
  readonly packing: DumpPacking;
  readonly parts: number;
  readonly pages: number;
  /** Bytes of the parts in the file. */
  readonly storedBytes: number;
  readonly regions: readonly {
    readonly name: string;
    readonly offset: number;
    readonly bytes: number;
    readonly reserve: boolean;
  }[];
  /** JSON text: `fromDescription` of @lich/schema reads it. */
  readonly catalog: string;
  /** Of all bytes before the foot, in hex. */
  readonly sha256: string;
}

type Zlib = typeof zlib & {
  readonly zstdCompressSync?: (bytes: Uint8Array, options?: object) => Buffer;
  readonly zstdDecompressSync?: (bytes: Uint8Array, options?: object) => Buffer;
};
const z = zlib as Zlib;

/** Can this Node write and read that? */
export function hasPacking(packing: DumpPacking): boolean {
  return packing !== 'zstd' || z.zstdCompressSync !== undefined;
}

export function pack(packing: DumpPacking, bytes: Uint8Array): Uint8Array {
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants;
  switch (packing) {
    case 'none':
      return bytes;
    case 'deflate':
      return zlib.deflateRawSync(bytes, { level: 1 });
    case 'brotli':
      return zlib.brotliCompressSync(bytes, {
        params: { [BROTLI_PARAM_QUALITY]: 1, [BROTLI_PARAM_SIZE_HINT]: bytes.length },
      });
    case 'zstd':
      return z.zstdCompressSync!(bytes);
  }
}

function unpack(packing: DumpPacking, bytes: Uint8Array, rawBytes: number): Uint8Array {
  const options = { maxOutputLength: rawBytes };
  switch (packing) {
    case 'none':
      return bytes;
    case 'deflate':
      return zlib.inflateRawSync(bytes, options);
    case 'brotli':
      return zlib.brotliDecompressSync(bytes, options);
    case 'zstd':
      return z.zstdDecompressSync!(bytes, options);
  }
}

/** Writes a dump into an open file; `finish` is what makes it one. */
export class DumpWriter {
  readonly #fd: number;
  readonly #packing: DumpPacking;
  readonly #hash: Hash = createHash('sha256');
  #at = 0;
  #parts = 0;
  #pages = 0;
  #storedBytes = 0;

  constructor(fd: number, packing: DumpPacking) {
    this.#fd = fd;
    this.#packing = packing;
    const head = Buffer.alloc(HEAD_BYTES);
    head.write(HEAD_MAGIC, 0, 'latin1');
    head.writeUInt32LE(DUMP_FORMAT, 8);
    this.#write(head);
  }

  /** @param raw page numbers, then pages */
  part(raw: Uint8Array, pages: number): void {
    const packed = pack(this.#packing, raw);
    const head = Buffer.alloc(PART_BYTES);
    head.writeUInt32LE(packed.length, 0);
    head.writeUInt32LE(raw.length, 4);
    head.writeUInt32LE(pages, 8);
    head.writeUInt32LE(zlib.crc32(raw), 12);
    this.#write(head);
    this.#write(packed);
    this.#parts++;
    this.#pages += pages;
    this.#storedBytes += packed.length;
  }

  finish(about: Omit<DumpInfo, 'dumpFormat' | 'packing' | 'parts' | 'pages' | 'storedBytes' | 'sha256'>): DumpInfo {
    const info: DumpInfo = {
      dumpFormat: DUMP_FORMAT,
      ...about,
      packing: this.#packing,
      parts: this.#parts,
      pages: this.#pages,
      storedBytes: this.#storedBytes,
      sha256: this.#hash.digest('hex'),
    };
    const foot = Buffer.from(JSON.stringify(info));
    const end = Buffer.alloc(END_BYTES);
    end.writeUInt32LE(foot.length, 0);
    end.writeUInt32LE(zlib.crc32(foot), 4);
    end.write(END_MAGIC, 8, 'latin1');
    this.#put(foot);
    this.#put(end);
    return info;
  }

  #write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#put(bytes);
  }

  #put(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const count = coded('write', () => fs.writeSync(this.#fd, bytes, from, bytes.length - from, this.#at));
      from += count;
      this.#at += count;
    }
  }
}

function damaged(path: string, what: string, cause?: unknown): never {
  throw new StateError(
    'STATE_DUMP_DAMAGED',
    `${path}: ${what}; take another dump`,
    cause === undefined ? {} : { cause },
  );
}

/** An open dump, of which the foot has been read and checked. */
export class DumpFile {
  readonly path: string;
  readonly info: DumpInfo;
  readonly #fd: number;
  readonly #partsEnd: number;

  /** @throws StateError `STATE_DUMP_FOREIGN`, `STATE_DUMP_VERSION`, `STATE_DUMP_DAMAGED`; what node:fs throws */
  constructor(path: string) {
    this.path = path;
    this.#fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    try {
      const stat = fs.fstatSync(this.#fd);
      const head = stat.isFile() ? this.#read(0, Math.min(HEAD_BYTES, stat.size)) : Buffer.alloc(0);
      if (head.toString('latin1', 0, 8) !== HEAD_MAGIC) {
        throw new StateError(
          'STATE_DUMP_FOREIGN',
          `${path} is no dump of a segment: it does not begin with ${HEAD_MAGIC}`,
        );
      }
      if (head.length === HEAD_BYTES && head.readUInt32LE(8) !== DUMP_FORMAT) {
        throw new StateError(
          'STATE_DUMP_VERSION',
          `${path} has dump format ${head.readUInt32LE(8)}, this Lich reads format ${DUMP_FORMAT}: use the Lich that wrote it`,
        );
      }
      if (stat.size < HEAD_BYTES + END_BYTES) damaged(path, `cut off after ${stat.size} bytes`);
      const end = this.#read(stat.size - END_BYTES, END_BYTES);
      if (end.toString('latin1', 8) !== END_MAGIC)
        damaged(path, `cut off after ${stat.size} bytes, its end is missing`);
      const footBytes = end.readUInt32LE(0);
      this.#partsEnd = stat.size - END_BYTES - footBytes;
      if (footBytes > FOOT_MAX || this.#partsEnd < HEAD_BYTES) damaged(path, `a foot of ${footBytes} bytes`);
      const foot = this.#read(this.#partsEnd, footBytes);
      if (zlib.crc32(foot) !== end.readUInt32LE(4)) damaged(path, 'the checksum of its foot is wrong');
      this.info = JSON.parse(foot.toString('utf8')) as DumpInfo;
      if (!DUMP_PACKINGS.includes(this.info.packing) || !hasPacking(this.info.packing)) {
        throw new StateError(
          'STATE_DUMP_VERSION',
          `${path} is packed with ${String(this.info.packing)}, which Node ${process.versions.node} does not have`,
        );
      }
    } catch (error) {
      fs.closeSync(this.#fd);
      throw error;
    }
  }

  /** Read all of it, part by part, each checked before it is visited, and the whole at the end.
   * @param visit gets the page numbers of a part and their bytes; what it does may still turn out to be for nothing
   * @throws StateError `STATE_DUMP_DAMAGED` */
  read(visit: (numbers: Uint32Array, pages: Uint8Array, doneBytes: number) => void): void {
    const { path, info } = this;
    const hash = createHash('sha256').update(this.#read(0, HEAD_BYTES));
    let parts = 0;
    let pages = 0;
    let last = 0;
    let at = HEAD_BYTES;
    while (at < this.#partsEnd) {
      if (at + PART_BYTES > this.#partsEnd) damaged(path, `part ${parts} is cut off`);
      const head = this.#read(at, PART_BYTES);
      const storedBytes = head.readUInt32LE(0);
      const rawBytes = head.readUInt32LE(4);
      const count = head.readUInt32LE(8);
      if (
        count < 1 ||
        count > PART_PAGES ||
        rawBytes !== count * (PAGE + 4) ||
        at + PART_BYTES + storedBytes > this.#partsEnd
      ) {
        damaged(path, `part ${parts} says ${count} pages in ${storedBytes} bytes`);
      }
      const stored = this.#read(at + PART_BYTES, storedBytes);
      hash.update(head).update(stored);
      const raw = this.#unpack(stored, rawBytes, parts);
      if (raw.length !== rawBytes || zlib.crc32(raw) !== head.readUInt32LE(12))
        damaged(path, `the checksum of part ${parts} is wrong`);
      const numbers = new Uint32Array(Uint8Array.from(raw.subarray(0, count * 4)).buffer);
      for (const number of numbers) {
        const follows = number === WORDS_NUMBER ? last !== WORDS_NUMBER : number > last && last !== WORDS_NUMBER;
        if (!follows || number === 0 || (number + 1) * PAGE > info.sizeBytes)
          damaged(path, `part ${parts} has page ${number}`);
        last = number;
      }
      at += PART_BYTES + storedBytes;
      parts++;
      pages += count;
      visit(numbers, raw.subarray(count * 4), at);
    }
    if (last !== WORDS_NUMBER) damaged(path, 'it has no page of words');
    if (parts !== info.parts || pages !== info.pages)
      damaged(path, `${parts} parts with ${pages} pages of ${info.parts} with ${info.pages}`);
    if (hash.digest('hex') !== info.sha256) damaged(path, 'the checksum of the whole is wrong');
  }

  /** Bytes that `read` goes through. */
  get bytes(): number {
    return this.#partsEnd;
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  #unpack(stored: Uint8Array, rawBytes: number, part: number): Uint8Array {
    try {
      return unpack(this.info.packing, stored, rawBytes);
    } catch (cause) {
      return damaged(this.path, `part ${part} cannot be unpacked`, cause);
    }
  }

  #read(from: number, count: number): Buffer {
    const out = Buffer.alloc(count);
    for (let got = 0; got < count; ) {
      const more = fs.readSync(this.#fd, out, got, count - got, from + got);
      if (more === 0) damaged(this.path, `cut off at byte ${from + got}`);
      got += more;
    }
    return out;
  }
}
