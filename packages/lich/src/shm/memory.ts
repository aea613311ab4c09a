/** How much more memory may be reserved, asked before it is: past a container's limit the kernel does not refuse an
 * allocation, it kills. On tmpfs pages count against the file system, every memory cgroup above this process, and the
 * host. On disk only the file system counts, because its pages can be written back. */
import * as fs from 'node:fs';
import { ShmError, coded } from './errors.ts';
import { isMemory } from './files.ts';

/** One thing that bounds memory, with its two numbers. */
export interface Room {
  readonly what: string;
  readonly limitBytes: number;
  /** What can still be reserved below the limit, less the margin. */
  readonly freeBytes: number;
  /** The setting that raises the limit. */
  readonly knob: string;
}

const MiB = 1_048_576;

/** Room left for everything that is not a segment: the heap of this process grows too. */
function margin(limitBytes: number): number {
  return Math.min(64 * MiB, Math.max(4 * MiB, limitBytes / 32));
}

function read(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}

interface CgroupMount {
  readonly version: 1 | 2;
  /** Path of the hierarchy that is mounted at `point`; a container sees its own part only. */
  readonly root: string;
  readonly point: string;
}

/** Mount points of the memory controller. */
export function cgroupMounts(mountinfo: string): CgroupMount[] {
  const out: CgroupMount[] = [];
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    if (after === undefined) continue;
    const fields = before!.split(' ');
    const [type, , options] = after.split(' ');
    const unescape = (text: string) =>
      text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
    const root = unescape(fields[3]!);
    const point = unescape(fields[4]!);
    if (type === 'cgroup2') out.push({ version: 2, root, point });
    else if (type === 'cgroup' && options?.split(',').includes('memory')) out.push({ version: 1, root, point });
  }
  return out;
}

/** Directories of the memory cgroups above this process, the innermost first. */
export function cgroupDirs(mounts: readonly CgroupMount[], cgroup: string): { version: 1 | 2; dir: string }[] {
  const out: { version: 1 | 2; dir: string }[] = [];
  for (const { version, root, point } of mounts) {
    const line = cgroup
      .split('\n')
      .find(line => (version === 2 ? line.startsWith('0::') : line.split(':')[1]?.split(',').includes('memory')));
    if (line === undefined) continue;
    const path = line.split(':').slice(2).join(':');
    // Inside a container without a cgroup namespace the path is the host's: what lies below the mounted root counts.
    const base = root === '/' ? '' : root;
    const inside = path === base ? '' : path.startsWith(`${base}/`) ? path.slice(base.length) : '';
    for (let at = inside.replace(/\/+$/, ''); ; at = at.slice(0, at.lastIndexOf('/'))) {
      out.push({ version, dir: point + at });
      if (at === '') break;
    }
  }
  return out;
}

/** File pages that the kernel can drop at once: they count as used and stand in nobody's way. Pages of tmpfs are not
 * among them. */
function reclaimable(dir: string, version: 1 | 2): number {
  const stat = new Map(
    (read(`${dir}/memory.stat`) ?? '').split('\n').map(line => {
      const [name, value] = line.split(' ');
      return [name!, Number(value)] as const;
    }),
  );
  const of = (name: string) => stat.get(version === 1 ? `total_${name}` : name) ?? 0;
  const dirty = version === 1 ? of('dirty') + of('writeback') : of('file_dirty') + of('file_writeback');
  return Math.max(0, of('inactive_file') + of('active_file') - dirty);
}

function cgroupRoom(dir: string, version: 1 | 2): Room | undefined {
  const file = version === 1 ? 'memory.limit_in_bytes' : 'memory.max';
  const limitBytes = Number(read(`${dir}/${file}`) ?? 'max');
  const used = Number(read(`${dir}/${version === 1 ? 'memory.usage_in_bytes' : 'memory.current'}`) ?? Number.NaN);
  // "max" is NaN here; version 1 says "no limit" by a number near 2^63.
  if (!(limitBytes < 2 ** 60) || Number.isNaN(used)) return undefined;
  const held = used - reclaimable(dir, version);
  return {
    what: `memory cgroup ${dir}`,
    limitBytes,
    freeBytes: Math.max(0, Math.floor(limitBytes - held - margin(limitBytes))),
    knob: `raise ${dir}/${file} (the container's memory limit)`,
  };
}

let mounts: CgroupMount[] | undefined;

/** Everything that bounds what can be reserved in `dir`. */
export function rooms(dir: string): Room[] {
  const out: Room[] = [];
  const st = coded('statfs', () => fs.statfsSync(dir));
  if (Number(st.blocks) > 0) {
    // tmpfs mounted with size=0 has no limit of its own and says 0 blocks.
    out.push({
      what: `file system of ${dir}`,
      limitBytes: Number(st.blocks) * Number(st.bsize),
      freeBytes: Number(st.bavail) * Number(st.bsize),
      knob: 'enlarge it (mount -o remount,size=…; in Docker --shm-size) or set LICH_DIR to a larger one',
    });
  }
  if (!isMemory(dir)) return out;
  mounts ??= cgroupMounts(read('/proc/self/mountinfo') ?? '');
  for (const { version, dir: at } of cgroupDirs(mounts, read('/proc/self/cgroup') ?? '')) {
    const room = cgroupRoom(at, version);
    if (room !== undefined) out.push(room);
  }
  const info = read('/proc/meminfo') ?? '';
  const kb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(info)?.[1] ?? Number.NaN);
  const limitBytes = (kb('MemTotal') + kb('SwapTotal')) * 1024;
  if (limitBytes > 0) {
    const free = (kb('MemAvailable') + kb('SwapFree')) * 1024;
    out.push({
      what: 'memory of this host',
      limitBytes,
      freeBytes: Math.max(0, Math.floor(free - margin(limitBytes))),
      knob: 'add memory or swap, or stop other programs',
    });
  }
  return out;
}

/** @throws ShmError `SHM_NO_MEMORY` when `bytes` more cannot be reserved in `dir`; it names the tightest bound. */
export function checkRoom(dir: string, bytes: number, why: string): void {
  let tightest: Room | undefined;
  for (const room of rooms(dir)) {
    if (tightest === undefined || room.freeBytes < tightest.freeBytes) tightest = room;
  }
  if (tightest === undefined || bytes <= tightest.freeBytes) return;
  throw new ShmError(
    'SHM_NO_MEMORY',
    `${why} needs ${bytes} bytes and ${tightest.freeBytes} of ${tightest.limitBytes} are free in ${tightest.what}: ` +
      `${tightest.knob}, or lower the capacities`,
  );
}
