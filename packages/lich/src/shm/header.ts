/** The first page of a segment: what it is, how large, and where its regions lie. Written once, before the file has a
 * name, and never again; little-endian. Each bit of it is either checked by value or covered by the checksum, so a
 * changed bit is a coded error.
 *
 *   OFFSET  SIZE  FIELD          MEANING
 *        0     8  magic          'LICH-SEG'
 *        8     4  formatVersion  1; this word and the magic keep their place in every version
 *       12     4  headerBytes    4096
 *       16     4  kind           1 state, 2 lanes, 3 bells, 4 report
 *       20     4  pageBytes      4096, the unit of all alignments
 *       24     8  layoutHash     of the schema (state), of the room's own tables (the others)
 *       32     8  sizeBytes      of the file and the mapping, a multiple of 65536, at most 2^32
 *       40     8  createdMs      milliseconds since 1970
 *       48    16  bootId         boot on which the file was made
 *       64     4  uid            effective uid of the creator; equals the owner of the file
 *       68     4  regionCount    1..40
 *       72     4  catalogBytes   length of the text or bytes in region `catalog`
 *       76     4  catalogCrc     CRC-32 of them
 *       80    64  name           of the node when the file was made, UTF-8, zero-padded
 *      144   368  reserved       zero
 *      512  2560  regions        40 × [name 40 zero-padded][offset u64][bytes u64][flags u32: 1 = reserved][zero u32]
 *     3072  1020  reserved       zero
 *     4092     4  headerCrc      CRC-32 of bytes 0..4091
 *
 * The regions that shm makes itself come first:
 *
 *   words     at 4096, 4096 bytes: the mutable words. Bytes 0..4031 belong to the rooms above; shm has:
 *     4032     4  clean          CLEAN_MARK = closed in order; 0 = open, or killed       writer: owner
 *     4036     4  reserved       zero
 *     4040     4  epoch          number of the life, bumped at boot and takeover        writer: owner
 *     4044     4  reserved       zero
 *     4048    16  lastBootId     boot on which the segment was last opened for writing  writer: owner
 *     4064    32  reserved       zero
 *   reserved  one bit per 64 KiB of the segment: its pages are reserved                 writer: owner
 *   catalog   only where a catalog was given; written before the file has a name
 *
 * Regions start on 64 bytes, from 4096 bytes of size on a page; they do not overlap and lie in the order of the
 * table. */
import { crc32 } from 'node:zlib';
import { ShmError } from './errors.ts';
import type { SegmentKind } from './files.ts';
import { WASM_PAGE_BYTES } from './native.ts';

export const FORMAT_VERSION = 1;
export const HEADER_BYTES = 4096;
/** The unit of alignment of large regions. */
export const PAGE_BYTES = 4096;
export const REGIONS_MAX = 40;
export const REGION_NAME_BYTES = 40;
/** Most bytes of a segment: 4 GiB. */
export const SEGMENT_BYTES_MAX = 4_294_967_296;
/** Unit in which pages are reserved and segments are sized. */
export const GRANULE_BYTES = WASM_PAGE_BYTES;

/** Where the region `words` begins. */
export const WORDS_OFFSET = 4096;
export const WORDS_BYTES = 4096;
/** Byte offsets inside the region `words`. */
export const CLEAN_OFFSET = 4032;
export const EPOCH_OFFSET = 4040;
export const LAST_BOOT_OFFSET = 4048;
export const CLEAN_MARK = 0x4e41454c;

const MAGIC = 'LICH-SEG';
const REGION_TABLE = 512;
const REGION_BYTES = 64;
const NAME_BYTES = 64;
const CRC_OFFSET = 4092;
const FLAG_RESERVED = 1;
const KINDS: readonly SegmentKind[] = ['state', 'lanes', 'bells', 'report', 'inputs'];

if (REGION_TABLE + REGIONS_MAX * REGION_BYTES !== 3072 || REGION_NAME_BYTES + 24 !== REGION_BYTES) {
  throw new Error('header.ts: the region table does not fit its place');
}

/** A part of a segment, as its header says it. */
export interface Region {
  readonly name: string;
  /** Byte offset in the segment. */
  readonly offset: number;
  readonly bytes: number;
  /** Its pages are reserved when the segment is made. */
  readonly reserve: boolean;
}

/** A region that is to be made. */
export interface RegionSpec {
  readonly name: string;
  /** Size; rounded up to a multiple of 64. */
  readonly bytes: number;
  /** Reserve its pages when the segment is made; default false. */
  readonly reserve?: boolean;
}

export interface Header {
  readonly kind: SegmentKind;
  readonly layoutHash: bigint;
  readonly sizeBytes: number;
  readonly createdMs: number;
  readonly bootId: Uint8Array;
  readonly uid: number;
  readonly name: string;
  readonly catalogBytes: number;
  readonly catalogCrc: number;
  readonly regions: readonly Region[];
}

const up = (value: number, to: number) => Math.ceil(value / to) * to;

/** Place the regions: shm's own, then the given ones in order.
 * @throws ShmError `SHM_TOO_LARGE` past 4 GiB; TypeError for a bad table. */
export function placeRegions(specs: readonly RegionSpec[], catalogBytes = 0): { regions: Region[]; sizeBytes: number } {
  const regions: Region[] = [{ name: 'words', offset: WORDS_OFFSET, bytes: WORDS_BYTES, reserve: true }];
  const sizes = specs.map(({ name, bytes, reserve = false }) => {
    if (!/^[A-Za-z0-9][A-Za-z0-9._:-]*$/.test(name) || name.length > REGION_NAME_BYTES) {
      throw new TypeError(
        `region ${JSON.stringify(name)}: 1 to ${REGION_NAME_BYTES} letters, digits, '.', '_', ':' or '-'`,
      );
    }
    if (!Number.isSafeInteger(bytes) || bytes <= 0) throw new TypeError(`region ${name}: ${bytes} bytes`);
    return { name, bytes: up(bytes, 64), reserve };
  });
  // The bitmap's size depends on the segment's, which depends on the bitmap's: at most 64 bytes in 512 KiB.
  let sizeBytes = 0;
  for (let bitmapBytes = 64; ; ) {
    regions.length = 1;
    let at = WORDS_OFFSET + WORDS_BYTES;
    const own = [{ name: 'reserved', bytes: bitmapBytes, reserve: true }];
    if (catalogBytes > 0) own.push({ name: 'catalog', bytes: up(catalogBytes, 64), reserve: true });
    for (const { name, bytes, reserve } of [...own, ...sizes]) {
      const offset = up(at, bytes >= PAGE_BYTES ? PAGE_BYTES : 64);
      regions.push({ name, offset, bytes, reserve });
      at = offset + bytes;
    }
    sizeBytes = up(at, GRANULE_BYTES);
    const wanted = Math.max(64, up(Math.ceil(sizeBytes / GRANULE_BYTES / 8), 64));
    if (wanted <= bitmapBytes) break;
    bitmapBytes = wanted;
  }
  if (regions.length > REGIONS_MAX) throw new TypeError(`${regions.length} regions, at most ${REGIONS_MAX}`);
  const names = new Set(regions.map(region => region.name));
  if (names.size !== regions.length) throw new TypeError('two regions have one name');
  if (sizeBytes > SEGMENT_BYTES_MAX) {
    throw new ShmError(
      'SHM_TOO_LARGE',
      `the regions need ${sizeBytes} bytes and a segment holds ${SEGMENT_BYTES_MAX} (4 GiB): lower the capacities or split the service`,
    );
  }
  return { regions, sizeBytes };
}

/** Bytes of a segment with these regions: what the file is long, not what it uses at first.
 * @throws ShmError `SHM_TOO_LARGE` past 4 GiB. */
export function sizeOfSegment(regions: readonly RegionSpec[], catalogBytes = 0): number {
  return placeRegions(regions, catalogBytes).sizeBytes;
}

function putText(page: Buffer, text: string, at: number, bytes: number): void {
  if (Buffer.byteLength(text) > bytes) throw new TypeError(`${JSON.stringify(text)} is longer than ${bytes} bytes`);
  page.write(text, at, 'utf8');
}

function getText(page: Buffer, at: number, bytes: number): string {
  const end = page.subarray(at, at + bytes).indexOf(0);
  return page.toString('utf8', at, end < 0 ? at + bytes : at + end);
}

export function encodeHeader(header: Header): Buffer {
  const page = Buffer.alloc(HEADER_BYTES);
  page.write(MAGIC, 0, 'latin1');
  page.writeUInt32LE(FORMAT_VERSION, 8);
  page.writeUInt32LE(HEADER_BYTES, 12);
  page.writeUInt32LE(KINDS.indexOf(header.kind) + 1, 16);
  page.writeUInt32LE(PAGE_BYTES, 20);
  page.writeBigUInt64LE(header.layoutHash, 24);
  page.writeBigUInt64LE(BigInt(header.sizeBytes), 32);
  page.writeBigUInt64LE(BigInt(header.createdMs), 40);
  page.set(header.bootId, 48);
  page.writeUInt32LE(header.uid, 64);
  page.writeUInt32LE(header.regions.length, 68);
  page.writeUInt32LE(header.catalogBytes, 72);
  page.writeUInt32LE(header.catalogCrc, 76);
  putText(page, header.name, 80, NAME_BYTES);
  header.regions.forEach((region, i) => {
    const at = REGION_TABLE + i * REGION_BYTES;
    putText(page, region.name, at, REGION_NAME_BYTES);
    page.writeBigUInt64LE(BigInt(region.offset), at + 40);
    page.writeBigUInt64LE(BigInt(region.bytes), at + 48);
    page.writeUInt32LE(region.reserve ? FLAG_RESERVED : 0, at + 56);
  });
  page.writeUInt32LE(crc32(page.subarray(0, CRC_OFFSET)), CRC_OFFSET);
  return page;
}

function corrupt(path: string, what: string): never {
  throw new ShmError(
    'SHM_CORRUPT',
    `${path}: ${what}; the file was left as it is. Restore it from a dump, or remove the node with \`lich rm\``,
  );
}

/** Read and check a header page. The file is only read.
 * @throws ShmError `SHM_FOREIGN`, `SHM_VERSION`, `SHM_CORRUPT`. */
export function decodeHeader(page: Buffer, path: string): Header {
  if (page.length < HEADER_BYTES) {
    throw new ShmError('SHM_FOREIGN', `${path} is no Lich segment: ${page.length} bytes, a header has ${HEADER_BYTES}`);
  }
  const magic = page.toString('latin1', 0, 8);
  if (magic !== MAGIC)
    throw new ShmError('SHM_FOREIGN', `${path} is no Lich segment: it starts with ${JSON.stringify(magic)}`);
  const version = page.readUInt32LE(8);
  if (version !== FORMAT_VERSION) {
    throw new ShmError(
      'SHM_VERSION',
      `${path} has segment format ${version}, this Lich reads format ${FORMAT_VERSION}: use the Lich that wrote it, or deploy from it`,
    );
  }
  const crc = page.readUInt32LE(CRC_OFFSET);
  const expected = crc32(page.subarray(0, CRC_OFFSET));
  if (crc !== expected) corrupt(path, `header checksum ${crc.toString(16)}, its bytes give ${expected.toString(16)}`);

  // From here on the bytes are those that some Lich wrote; what follows refuses one that wrote nonsense.
  const kind = KINDS[page.readUInt32LE(16) - 1] ?? corrupt(path, `unknown kind ${page.readUInt32LE(16)}`);
  const headerBytes = page.readUInt32LE(12);
  const pageBytes = page.readUInt32LE(20);
  const sizeBytes = Number(page.readBigUInt64LE(32));
  const count = page.readUInt32LE(68);
  if (headerBytes !== HEADER_BYTES) corrupt(path, `header of ${headerBytes} bytes`);
  if (pageBytes !== PAGE_BYTES) corrupt(path, `pages of ${pageBytes} bytes`);
  if (sizeBytes === 0 || sizeBytes > SEGMENT_BYTES_MAX || sizeBytes % GRANULE_BYTES !== 0) {
    corrupt(path, `size of ${sizeBytes} bytes`);
  }
  if (count < 2 || count > REGIONS_MAX) corrupt(path, `${count} regions`);
  if (page.subarray(144, REGION_TABLE).some(byte => byte !== 0)) corrupt(path, 'reserved bytes 144..511 are not zero');
  if (page.subarray(REGION_TABLE + count * REGION_BYTES, CRC_OFFSET).some(byte => byte !== 0)) {
    corrupt(path, 'reserved bytes after the regions are not zero');
  }
  const regions: Region[] = [];
  let end = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const at = REGION_TABLE + i * REGION_BYTES;
    const region = {
      name: getText(page, at, REGION_NAME_BYTES),
      offset: Number(page.readBigUInt64LE(at + 40)),
      bytes: Number(page.readBigUInt64LE(at + 48)),
      reserve: page.readUInt32LE(at + 56) === FLAG_RESERVED,
    };
    if (region.name === '' || regions.some(other => other.name === region.name))
      corrupt(path, `region ${i} has no name of its own`);
    if (page.readUInt32LE(at + 56) > FLAG_RESERVED || page.readUInt32LE(at + 60) !== 0)
      corrupt(path, `region ${region.name} has unknown flags`);
    if (
      region.offset % 64 !== 0 ||
      region.offset < end ||
      region.bytes === 0 ||
      region.offset + region.bytes > sizeBytes
    ) {
      corrupt(path, `region ${region.name} at ${region.offset} with ${region.bytes} bytes does not fit`);
    }
    end = region.offset + region.bytes;
    regions.push(region);
  }
  if (regions[0]!.name !== 'words' || regions[0]!.offset !== WORDS_OFFSET || regions[0]!.bytes !== WORDS_BYTES) {
    corrupt(path, 'the first region is not `words`');
  }
  const bitmap = regions[1]!;
  if (bitmap.name !== 'reserved' || bitmap.bytes * 8 < sizeBytes / GRANULE_BYTES)
    corrupt(path, 'the second region is not `reserved`');
  const catalogBytes = page.readUInt32LE(72);
  const catalog = regions.find(region => region.name === 'catalog');
  if (catalogBytes > (catalog?.bytes ?? 0)) corrupt(path, `catalog of ${catalogBytes} bytes does not fit its region`);
  return {
    kind,
    layoutHash: page.readBigUInt64LE(24),
    sizeBytes,
    createdMs: Number(page.readBigUInt64LE(40)),
    bootId: new Uint8Array(page.subarray(48, 64)),
    uid: page.readUInt32LE(64),
    name: getText(page, 80, NAME_BYTES),
    catalogBytes,
    catalogCrc: page.readUInt32LE(76),
    regions,
  };
}
