/** What a state segment holds and where: made from the schema alone, before anything exists. */
import {
  alignUp,
  describe,
  type Fields,
  layoutHash,
  needsHeap,
  type StateLayout,
  type StateSchema,
  stateLayoutOf,
} from '@lich/schema';
import type { Segment } from '../shm/index.ts';
import { CATALOGS, catalogsBytes } from './catalog-text.ts';
import { StateError } from './errors.ts';
import { numbered } from './families.ts';
import { HEAP_BYTES_DEFAULT, HEAP_BYTES_MIN } from './heap.ts';
import type { HeapPlace } from './heap-check.ts';
import { type PoolPlaces, poolPlaces } from './pool-places.ts';
import { timerPlaces } from './timers.ts';
import { LOG_WORDS_DEFAULT, LOG_WORDS_MAX, LOG_WORDS_MIN } from './words.ts';

/** What a plan takes besides the schema. */
export interface StorePlanOptions {
  /** Words of the undo log, a power of two, 2^12..2^28; default 2^22 (16 MiB). One transaction may use all of them. */
  readonly logWords?: number;
  /** Bytes of the heap, a multiple of 65,536. Default 128 MiB when something in the schema grows, else none. Memory is
   * taken as it is used; the size is taken when the segment is made, and is no part of the layout. */
  readonly heapBytes?: number;
  /** Fields that the runtime adds to the records of a pool; their names start with `$`. */
  readonly hidden?: Readonly<Record<string, Fields>>;
  /** Root fields and pools that the runtime adds; their names start with `$`. */
  readonly system?: Readonly<Record<string, unknown>>;
  /** What the segment says that is to be opened. */
  readonly known?: StateLayout;
}

/** A region that `createSegment` makes for a store. */
export interface PlanRegion {
  readonly name: string;
  readonly bytes: number;
  readonly reserve?: boolean;
}

/** One line of `lich size`. */
export interface SizeRow {
  readonly name: string;
  readonly bytes: number;
  /** Pools only. 0 = it grows, in the heap. */
  readonly capacity?: number;
  readonly recordBytes?: number;
}

/** Where everything of a state will be: made before a segment exists, the same in every process. */
export interface StorePlan<S extends StateSchema = StateSchema> {
  readonly schema: S;
  readonly layouts: StateLayout;
  readonly logWords: number;
  /** 0 = none. */
  readonly heapBytes: number;
  readonly regions: readonly PlanRegion[];
  /** JSON text. */
  readonly catalog: string;
  readonly layoutHash: bigint;
  /** Of the regions: shm adds its header. */
  readonly bytes: number;
  table(): SizeRow[];
  /** The same for a segment whose catalog is known: with the numbers that it gives to classes of families. */
  knowing(known: StateLayout): StorePlan<S>;
}

/** Region of the pool with this index: names in segments are plainer than names in schemas. */
export function poolRegion(index: number, name: string): string {
  return `p${index}:${name.replace(/[^A-Za-z0-9._:-]/g, '-')}`.slice(0, 40);
}

/** At the end of the root region. */
export const ROOT_FENCE = 0x4c43_4852;

/** Bytes of the root region: payload, stamp (two words), fence, zero. */
export function rootBytes(layouts: StateLayout): number {
  return alignUp(layouts.root.bytes, 8) + 16;
}

export function rootStampWord(layouts: StateLayout, rootWord: number): number {
  return rootWord + alignUp(layouts.root.bytes, 8) / 4;
}

/** Where the regions of a state are, as word indexes.
 * @throws StateError `STATE_LAYOUT` when the segment lacks one, or has too little of it */
export function placesOf(
  segment: Pick<Segment, 'regions'>,
  layouts: StateLayout,
): { log: number; logWords: number; root: number; pools: number[]; heap: HeapPlace } {
  const region = (name: string, bytes: number): { offset: number; bytes: number } => {
    const found = segment.regions.get(name);
    if (found !== undefined && found.bytes >= bytes) return found;
    const has = found === undefined ? 'no region' : `${found.bytes} bytes for region`;
    throw new StateError(
      'STATE_LAYOUT',
      `the segment has ${has} ${name}, the schema needs ${bytes}: it was made for another schema`,
    );
  };
  const log = region('log', LOG_WORDS_MIN * 4);
  const heap = segment.regions.get('heap');
  return {
    log: log.offset / 4,
    logWords: 2 ** Math.floor(Math.log2(log.bytes / 4)),
    root: region('root', rootBytes(layouts)).offset / 4,
    pools: layouts.pools.map(
      (pool, k) => region(poolRegion(k, pool.name), poolPlaces(pool.layout, pool.capacity).bytes).offset / 4,
    ),
    heap: heap === undefined ? { word: 0, words: 0 } : { word: heap.offset / 4, words: heap.bytes / 4 },
  };
}

/** Lay out a store.
 * @throws TypeError for logWords that cannot be; SchemaError for hidden parts that cannot be */
export function storePlan<S extends StateSchema>(schema: S, options: StorePlanOptions = {}): StorePlan<S> {
  const { logWords = LOG_WORDS_DEFAULT, hidden, system } = options;
  if (!Number.isInteger(Math.log2(logWords)) || logWords < LOG_WORDS_MIN || logWords > LOG_WORDS_MAX) {
    throw new TypeError(`logWords takes a power of two from ${LOG_WORDS_MIN} to ${LOG_WORDS_MAX}, not ${logWords}`);
  }
  const { known } = options;
  const own = stateLayoutOf(schema, { ...(hidden && { hidden }), ...(system && { system }) });
  const layouts = known === undefined ? own : numbered(own, known);
  const grows = needsHeap(layouts) || timerPlaces(layouts.root, 0) !== undefined;
  const heapBytes = options.heapBytes ?? (grows ? HEAP_BYTES_DEFAULT : 0);
  if (heapBytes !== 0 && !(heapBytes >= HEAP_BYTES_MIN && heapBytes <= 2 ** 32 && heapBytes % HEAP_BYTES_MIN === 0)) {
    throw new TypeError(`heapBytes takes a multiple of ${HEAP_BYTES_MIN}, or 0, not ${heapBytes}`);
  }
  const places: PoolPlaces[] = layouts.pools.map(pool => poolPlaces(pool.layout, pool.capacity));
  const catalog = JSON.stringify(describe(layouts));
  const regions: PlanRegion[] = [
    { name: CATALOGS, bytes: catalogsBytes(catalog.length) },
    { name: 'log', bytes: logWords * 4, reserve: true },
    { name: 'root', bytes: rootBytes(layouts), reserve: true },
    ...layouts.pools.map((pool, k) => ({
      name: poolRegion(k, pool.name),
      bytes: places[k]!.bytes,
      ...(places[k]!.grows && { reserve: true }),
    })),
    ...(heapBytes === 0 ? [] : [{ name: 'heap', bytes: heapBytes }]),
  ];
  // The pools' geometry is a function of the catalog; the sizes of log and heap are not part of the layout, the regions
  // say them.
  return {
    schema,
    layouts,
    logWords,
    heapBytes,
    regions,
    catalog,
    layoutHash: BigInt(`0x${layoutHash(layouts)}`),
    bytes: regions.reduce((sum, region) => sum + region.bytes, 0),
    knowing: other => storePlan(schema, { ...options, known: other }),
    table: () => [
      { name: 'undo log', bytes: logWords * 4 },
      { name: 'root', bytes: rootBytes(layouts) },
      ...layouts.pools.map((pool, k) => ({
        name: pool.name,
        bytes: places[k]!.bytes,
        capacity: pool.capacity,
        recordBytes: pool.layout.bytes,
      })),
      ...(heapBytes === 0 ? [] : [{ name: 'heap', bytes: heapBytes }]),
    ],
  };
}
