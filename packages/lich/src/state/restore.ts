/** A dump becomes a segment again. */
import * as fs from 'node:fs';
import { createSegment, GRANULE_BYTES, OwnerLock, type Segment, ShmError, WORDS_OFFSET } from '../shm/index.ts';
import { EPOCH_OFFSET, lockPath, rethrow, segmentPath } from '../shm/internal.ts';
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
  /** Told after each part, in bytes of two passes over the file: it is checked before anything is made. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** Make the state segment of a node from a dump. The next life of that node has the reason `restore`; what its streams to
 * and from other nodes were is forgotten by then, at both ends (docs/tools.md, Restore).
 *
 * The whole dump is checked before anything is made; the segment gets its name when all of it is in place. So what is
 * refused, or killed, leaves nothing.
 * @throws StateError `STATE_DUMP_FOREIGN`, `STATE_DUMP_VERSION`, `STATE_DUMP_DAMAGED`; ShmError `SHM_EXISTS` when the node
 * has a segment, `SHM_OWNER_ALIVE` when somebody holds its lock, `SHM_NO_MEMORY`
 * @remarks Blocks the thread; about 200 MB/s. */
export function restoreSegment(path: string, options: RestoreOptions): DumpInfo {
  const file = openFile(path);
  try {
    const name = options.name ?? file.info.node;
    for (const kind of ['state', 'lanes'] as const) mustBeFree(segmentPath(options.dir, name, kind), name);
    const progress = (done: number) => options.onProgress?.(done, 2 * file.bytes);
    const granules = new Set<number>();
    file.read((numbers, _, done) => {
      for (const number of numbers) granules.add(Math.floor((number * PAGE) / GRANULE_BYTES));
      progress(done);
    });
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
        fill: made => fill(made, file, granules, progress),
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

function fill(segment: Segment, file: DumpFile, granules: ReadonlySet<number>, progress: (done: number) => void): void {
  const { info, path } = file;
  for (const region of info.regions) {
    const made = segment.regions.get(region.name);
    if (made?.offset === region.offset && made.bytes >= region.bytes) continue;
    throw new StateError(
      'STATE_DUMP_VERSION',
      `${path}: region ${region.name} lies at ${region.offset}, this Lich puts it at ${String(made?.offset)}: use the Lich that wrote it`,
    );
  }
  for (const granule of [...granules].sort((a, b) => a - b)) segment.reserve(granule * GRANULE_BYTES, GRANULE_BYTES);
  const reserved = segment.regions.get('reserved')!;
  try {
    file.read((numbers, pages, done) => {
      numbers.forEach((number, k) => {
        const page = pages.subarray(k * PAGE, (k + 1) * PAGE);
        // Of what shm keeps itself the new segment's own is right.
        const shared = { from: reserved.offset - number * PAGE, to: reserved.offset + reserved.bytes - number * PAGE };
        if (number === WORDS_NUMBER) segment.u8.set(page.subarray(0, SHM_WORDS), WORDS_OFFSET);
        else {
          if (shared.from > 0) segment.u8.set(page.subarray(0, Math.min(PAGE, shared.from)), number * PAGE);
          if (shared.to < PAGE)
            segment.u8.set(page.subarray(Math.max(0, shared.to)), number * PAGE + Math.max(0, shared.to));
        }
      });
      progress(file.bytes + done);
    });
  } catch (error) {
    rethrow(error, 'restore');
  }
  segment.u32[(WORDS_OFFSET + EPOCH_OFFSET) / 4] = info.epoch;
  segment.i32[RESTORED] = RESTORED_WHOLE;
}

/** Bytes of the page `words` that belong to the rooms above shm. */
const SHM_WORDS = 4032;
if (RESTORED * 4 >= WORDS_OFFSET + SHM_WORDS || WORDS_PAGE * 4 !== WORDS_OFFSET)
  throw new Error('restore.ts: words of shm');
