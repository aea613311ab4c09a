/** A segment over plain memory of this process, with the fields of a mapped one: for crash harnesses and quick tests. Its
 * regions lie as in a file, so that a copy of the bytes can be opened again. */
import type { Segment } from '../shm/index.ts';

export interface RegionSize {
  readonly name: string;
  readonly bytes: number;
}

export interface MemorySegmentOptions {
  readonly regions: readonly RegionSize[];
  readonly catalog?: string;
  readonly layoutHash?: bigint;
  readonly name?: string;
  /** Take these bytes in place of zeros: a copy of another memory segment. */
  readonly bytes?: Uint8Array;
  /** Default 1. */
  readonly createdMs?: number;
  /** Default true. */
  readonly writable?: boolean;
  /** Wrap each typed array, to watch what is stored. */
  readonly wrap?: <A extends object>(array: A, name: string) => A;
}

const PAGE = 4096;
const up = (value: number, to: number) => Math.ceil(value / to) * to;

export function memorySegment(options: MemorySegmentOptions): Segment {
  const { name = 'memory', catalog = '', writable = true, wrap = array => array } = options;
  const catalogBytes = new TextEncoder().encode(catalog);
  const regions = new Map<string, { name: string; offset: number; bytes: number; reserve: boolean }>();
  let at = 2 * PAGE;
  regions.set('words', { name: 'words', offset: PAGE, bytes: PAGE, reserve: true });
  const specs =
    catalogBytes.length === 0 ? options.regions : [{ name: 'catalog', bytes: catalogBytes.length }, ...options.regions];
  for (const spec of specs) {
    const bytes = up(spec.bytes, 64);
    const offset = up(at, bytes >= PAGE ? PAGE : 64);
    regions.set(spec.name, { name: spec.name, offset, bytes, reserve: true });
    at = offset + bytes;
  }
  const sizeBytes = up(at, 65_536);
  const buffer = new SharedArrayBuffer(sizeBytes);
  const u8 = new Uint8Array(buffer);
  if (options.bytes !== undefined) u8.set(options.bytes);
  else u8.set(catalogBytes, regions.get('catalog')?.offset ?? 0);
  const segment = {
    path: `memory:${name}`,
    name,
    kind: 'state',
    layoutHash: options.layoutHash ?? 0n,
    sizeBytes,
    createdMs: options.createdMs ?? 1,
    regions,
    buffer,
    i8: wrap(new Int8Array(buffer), 'i8'),
    u8: wrap(new Uint8Array(buffer), 'u8'),
    i16: wrap(new Int16Array(buffer), 'i16'),
    u16: wrap(new Uint16Array(buffer), 'u16'),
    i32: wrap(new Int32Array(buffer), 'i32'),
    u32: wrap(new Uint32Array(buffer), 'u32'),
    f32: wrap(new Float32Array(buffer), 'f32'),
    f64: wrap(new Float64Array(buffer), 'f64'),
    i64: wrap(new BigInt64Array(buffer), 'i64'),
    u64: wrap(new BigUint64Array(buffer), 'u64'),
    writable,
    outcome: options.bytes === undefined ? 'created' : 'resumed',
    closed: false,
    catalog: catalogBytes,
    epoch: 1,
    clean: false,
    sameBoot: true,
    nextEpoch: () => 1,
    continueEpoch: () => {},
    reserve() {},
    async reserveAsync() {},
    isReserved: () => true,
    isCurrent: () => true,
    touch() {},
    makeWritable() {},
    close() {},
  };
  return segment as unknown as Segment;
}
