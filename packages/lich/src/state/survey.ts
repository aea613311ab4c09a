/** Survey: how full a state segment is, from outside: pools, heap, log. As of one commit; reads a few words of each. */
import type { Segment } from '../shm/index.ts';
import { type ForeignUse, foreignUses } from './foreign.ts';
import { FREE as HEAP_FREE, HIGH as HEAP_HIGH, QUICK } from './heap.ts';
import { LAPPED, Mirror } from './mirror.ts';
import { placesOf, rootBytes } from './plan.ts';
import { chunkOf, chunkWords, HIGH, LIVE, poolPlaces } from './pool-places.ts';
import { catalogOf } from './reader.ts';
import { COMMIT_NO, NOW } from './words.ts';

/** One pool. */
export interface PoolSurvey {
  readonly name: string;
  readonly live: number;
  /** Slots that were ever used. */
  readonly high: number;
  /** 0 = it grows. */
  readonly capacity: number;
  /** Of a record, and of its slot: fences, generation and stamp included. */
  readonly recordBytes: number;
  readonly slotBytes: number;
  /** Of the slots that were ever used, with bitmap and stamps; what records own in the heap is not in it. */
  readonly usedBytes: number;
  /** At most; of a pool that grows the heap is the limit. */
  readonly maxBytes: number;
}

/** How full the heap is: blocks in use, free ones between them, what was never used. */
export interface HeapSurvey {
  readonly usedBytes: number;
  readonly freeBytes: number;
  readonly neverBytes: number;
  /** Of what is in use: blocks of foreign code, by its name. */
  readonly foreign: readonly ForeignUse[];
}

/** What a state segment holds. */
export interface Survey {
  readonly commitNo: number;
  /** Service time, ms. */
  readonly nowMs: number;
  readonly rootBytes: number;
  readonly logBytes: number;
  readonly pools: readonly PoolSurvey[];
  readonly heap: HeapSurvey | undefined;
}

const TRIES = 100;

/** @throws StateError `STATE_LAYOUT`, `STATE_SNAPSHOT`; SchemaError `SCHEMA_CATALOG` */
export function surveyOf(segment: Segment): Survey {
  const layouts = catalogOf(segment);
  const places = placesOf(segment, layouts);
  const mirror = new Mirror(segment, places.log, places.logWords);
  const U = mirror.u32;
  const look = (): Survey => {
    for (const word of places.pools) mirror.need(word, LIVE + 1);
    const { word, words } = places.heap;
    if (words > 0) mirror.need(word, QUICK + 1);
    const high = Math.max(U[word + HEAP_HIGH]!, HEAP_HEAD);
    const free = U[word + HEAP_FREE]! + U[word + QUICK]!;
    return {
      commitNo: segment.f64[COMMIT_NO >> 1]!,
      nowMs: segment.f64[NOW >> 1]!,
      rootBytes: rootBytes(layouts),
      logBytes: places.logWords * 4,
      heap:
        words === 0
          ? undefined
          : {
              usedBytes: (high - HEAP_HEAD - free) * 4,
              freeBytes: free * 4,
              neverBytes: (words - high) * 4,
              foreign: foreignUses(mirror, places.heap, (at, count) => mirror.need(at, count)),
            },
      pools: layouts.pools.map((pool, k) => {
        const at = poolPlaces(pool.layout, pool.capacity);
        const slots = U[places.pools[k]! + HIGH]!;
        let chunks = 0;
        for (let chunk = 0; at.grows && slots > 0 && chunk <= chunkOf(at.top, slots - 1); chunk++)
          chunks += chunkWords(at, chunk);
        return {
          name: pool.name,
          live: U[places.pools[k]! + LIVE]!,
          high: slots,
          capacity: pool.capacity,
          recordBytes: pool.layout.bytes,
          slotBytes: at.stride * 4,
          usedBytes: (at.grows ? chunks : at.slots + slots * at.stride) * 4,
          maxBytes: at.grows ? words * 4 : at.bytes,
        };
      }),
    };
  };
  for (let tries = 1; ; tries++) {
    mirror.begin();
    try {
      return look();
    } catch (error) {
      if (error !== LAPPED || tries === TRIES) throw error;
    } finally {
      mirror.end();
    }
  }
}

/** Words of the heap before its first block. */
const HEAP_HEAD = 1024;
