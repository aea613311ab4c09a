/** A dump becomes a segment again. */
import * as fs from 'node:fs';
import {
  createSegment,
  GRANULE_BYTES,
  OwnerLock,
  type Region,
  type Segment,
  ShmError,
  WORDS_OFFSET,
} from '../shm/index.ts';
import { EPOCH_OFFSET, lockPath, segmentPath } from '../shm/internal.ts';
import { openFile } from './dump.ts';
import { type DumpFile, type DumpInfo, PAGE, WORDS_NUMBER } from './dump-format.ts';
import { StateError } from './errors.ts';
import { RESTORED, RESTORED_WHOLE, WORDS_PAGE } from './words.ts';

/** What `restoreSegment` takes. */
export interface RestoreOptions {
  /** Directory of the cluster; see `runtimeDir`. */
  readonly dir: string;
  /** Node to make; default the one that was dumped. */
  readonly name?: string;
  /** Told after each part, in bytes of the file. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** Make the state segment of a node from a dump. The next life of that node has the reason `restore`; what its streams to
 * and from other nodes were is forgotten by then, at both ends (docs/tools.md, Restore).
 *
 * The segment gets its name when all of it is in place and all checksums were right. So what is refused, or killed, leaves
 * nothing.
 * @throws StateError `STATE_DUMP_FOREIGN`, `STATE_DUMP_VERSION`, `STATE_DUMP_DAMAGED`; ShmError `SHM_EXISTS` when the node
 * has a segment, `SHM_OWNER_ALIVE` when somebody holds its lock, `SHM_NO_MEMORY`
 * @remarks Blocks the thread; about 150 MB/s. */
export function restoreSegment(path: string, options: RestoreOptions): DumpInfo {
  const file = openFile(path);
  try {
    const name = options.name ?? file.info.node;
    for (const kind of ['state', 'lanes'] as const) mustBeFree(segmentPath(options.dir, name, kind), name);
    withLock(options.dir, name, () => {
      const { info } = file;
      const own = new Set(['words', 'reserved', 'catalog']);
      const segment = createSegment({
        dir: options.dir,
        name,
        kind: 'state',
        layoutHash: BigInt(`0x${info.layoutHash}`),
        regions: info.regions.filter(region => !own.has(region.name)),
        catalog: info.catalog,
        fill: made => fill(made, file, options.onProgress),
      });
      segment.close(true);
    });
    return file.info;
  } finally {
    file.close();
  }
}

function mustBeFree(path: string, name: string): void {
  if (!fs.existsSync(path)) return;
  throw new ShmError('SHM_EXISTS', `${path} exists: \`lich rm ${name}\` destroys it, or give another name`, {
    severity: 'warn',
  });
}

/** Nobody starts the node meanwhile. */
function withLock(dir: string, name: string, work: () => void): void {
  const path = lockPath(dir, name);
  const isNew = !fs.existsSync(path);
  const lock = OwnerLock.open(dir, name);
  if (lock.tryAcquire() === 'busy') {
    throw new ShmError(
      'SHM_OWNER_ALIVE',
      `\`${name}\` in ${dir} is owned by process ${lock.owner()?.pid ?? '(unknown)'}: stop it first, then restore`,
    );
  }
  try {
    work();
  } catch (error) {
    if (isNew) fs.rmSync(path, { force: true });
    throw error;
  } finally {
    lock.release();
  }
}

function fill(segment: Segment, file: DumpFile, onProgress: RestoreOptions['onProgress']): void {
  const { info, path } = file;
  for (const region of info.regions) {
    const made = segment.regions.get(region.name);
    if (made?.offset === region.offset && made.bytes >= region.bytes) continue;
    throw new StateError(
      'STATE_DUMP_VERSION',
      `${path}: region ${region.name} lies at ${region.offset}, this Lich puts it at ${String(made?.offset)}: use the Lich that wrote it`,
    );
  }
  const reserved = segment.regions.get('reserved')!;
  let next = 0;
  file.read((numbers, pages, done) => {
    for (let k = 0; k < numbers.length; ) {
      // Neighbours are reserved in one go.
      const first = numbers[k]!;
      let count = 1;
      while (numbers[k + count] === first + count) count++;
      const from = Math.floor((first * PAGE) / GRANULE_BYTES);
      const to = Math.ceil(((first + count) * PAGE) / GRANULE_BYTES);
      if (to > next && first !== WORDS_NUMBER) segment.reserve(from * GRANULE_BYTES, (to - from) * GRANULE_BYTES);
      next = Math.max(next, to);
      k += count;
    }
    numbers.forEach((number, k) => place(segment, number, pages.subarray(k * PAGE, (k + 1) * PAGE), reserved));
    onProgress?.(done, file.bytes);
  });
  segment.u32[(WORDS_OFFSET + EPOCH_OFFSET) / 4] = info.epoch;
  segment.i32[RESTORED] = RESTORED_WHOLE;
}

/** Of what shm keeps itself the new segment's own is right. */
function place(segment: Segment, number: number, page: Uint8Array, reserved: Region): void {
  const at = number * PAGE;
  if (number === WORDS_NUMBER) {
    segment.u8.set(page.subarray(0, SHM_WORDS), at);
    return;
  }
  const from = reserved.offset - at;
  const to = from + reserved.bytes;
  if (from > 0) segment.u8.set(page.subarray(0, from), at);
  if (to < PAGE) segment.u8.set(page.subarray(Math.max(0, to)), at + Math.max(0, to));
}

/** Bytes of the page `words` that belong to the rooms above shm. */
const SHM_WORDS = 4032;
if (RESTORED * 4 >= WORDS_OFFSET + SHM_WORDS || WORDS_PAGE * 4 !== WORDS_OFFSET)
  throw new Error('restore.ts: words of shm');
