/** The addon: every native function and its type, in the order of native/addon.c, and how it is found and tested.
 *
 * It is loaded on first use, not on import, so that `lich --help` runs where Lich cannot. Loading tests the one thing
 * everything rests on: a file mapped over a SharedArrayBuffer, written from JavaScript and read through the file, and
 * the reverse. */
import { createRequire } from 'node:module';
import { existsSync, readSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ShmError, rethrow } from './errors.ts';

export type View = Int32Array | Uint8Array;

export interface Watch {
  /** true: nobody owned the mutex a moment ago. false: cancelled. */
  readonly promise: Promise<boolean>;
  readonly cancel: () => void;
}

/** A second, writable mapping of a segment's file; opaque. */
export interface Shadow {
  readonly __brand: 'Shadow';
}

/** 0 = acquired, 1 = acquired from a dead owner, 2 = busy, 3 = time is over. */
export type LockOutcome = 0 | 1 | 2 | 3;

export interface Native {
  // mapping.c: `view` starts at byte 0 of its buffer; `bytes` is a whole number of 4096-byte pages
  mapOver(view: View, fd: number, bytes: number, writable: boolean, path: string): void;
  unmapOver(view: View, bytes: number): void;
  protect(view: View, bytes: number, writable: boolean, path: string): void;
  sync(view: View, bytes: number, path: string): void;
  populate(view: View, bytes: number, writable: boolean, path: string): void;
  allocate(fd: number, offset: number, bytes: number, path: string): void;
  allocateAsync(fd: number, offset: number, bytes: number, path: string): Promise<void>;
  linkFd(fd: number, path: string): boolean;
  memoryFile(bytes: number): number;
  closeFile(fd: number): void;
  makeFifo(path: string): boolean;
  // shadow.c
  shadowMap(view: View, fd: number, bytes: number, path: string): Shadow;
  /** false: this kernel cannot. */
  shadowPopulate(shadow: Shadow, offset: number, bytes: number, path: string): boolean;
  shadowTake(shadow: Shadow, view: View, path: string): void;
  shadowDrop(shadow: Shadow): void;
  // lock.c
  lockFormat(fd: number, path: string): number;
  lockMap(fd: number, path: string): number;
  lockTry(handle: number): LockOutcome;
  lockWait(handle: number, timeoutMs: number): LockOutcome;
  lockRelease(handle: number): void;
  lockWord(handle: number): number;
  lockWatch(handle: number): Watch;
  lockFile(fd: number, path: string): void;
  // doorbell.c
  /** 0 = woken (or spurious), 1 = time is over, 2 = the word held something else. */
  futexWait(view: View, index: number, expected: number, timeoutMs: number): 0 | 1 | 2;
  futexWake(view: View, index: number, count: number): number;
  /** 0 or an errno. */
  ringFd(fd: number): number;
  // process.c
  nowNs(): number;
  threadId(): number;
  setCoreLimit(bytes: number): void;
  pinCpu(cpu: number): void;
  libc(): string;
}

/** What TypeScript's own library lacks without the DOM. */
interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}
declare const WebAssembly: {
  Memory: new (shape: { initial: number; maximum: number; shared: true }) => SharedMemory;
};

export const WASM_PAGE_BYTES = 65_536;
const PLATFORMS = ['linux-x64', 'linux-arm64'];

const memories = new WeakMap<SharedArrayBuffer, SharedMemory>();

/** The WebAssembly.Memory that an `addressRoom` belongs to: a WASM module that imports it works on the segment itself. */
export function memoryOf(buffer: SharedArrayBuffer): SharedMemory | undefined {
  return memories.get(buffer);
}

/** Address room of `bytes` (a multiple of 64 KiB, at most 4 GiB) as a SharedArrayBuffer that never moves.
 * @remarks V8 reserves about 10 GiB of addresses for each, of the 128 TiB a process has: some 10,000 segments. */
export function addressRoom(bytes: number): SharedArrayBuffer {
  const pages = bytes / WASM_PAGE_BYTES;
  try {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const { buffer } = memory;
    memories.set(buffer, memory);
    return buffer;
  } catch (cause) {
    throw new ShmError(
      'SHM_NO_MEMORY',
      `no address room for ${bytes} bytes: raise the process's limit of virtual memory (ulimit -v, overcommit_memory)`,
      { cause },
    );
  }
}

function selfTest(addon: Native): void {
  const fd = addon.memoryFile(WASM_PAGE_BYTES);
  try {
    const words = new Int32Array(addressRoom(WASM_PAGE_BYTES));
    const bytes = Buffer.alloc(4);
    addon.mapOver(words, fd, WASM_PAGE_BYTES, true, 'self-test');
    words[1025] = 0x4c494348;
    readSync(fd, bytes, 0, 4, 4100);
    const out = bytes.readInt32LE(0);
    bytes.writeInt32LE(0x4849434c);
    writeSync(fd, bytes, 0, 4, 8200);
    const back = words[2050];
    addon.unmapOver(words, WASM_PAGE_BYTES);
    words[1025] = 1;
    readSync(fd, bytes, 0, 4, 4100);
    const after = bytes.readInt32LE(0);
    if (out !== 0x4c494348 || back !== 0x4849434c || after !== 0x4c494348) {
      throw new ShmError(
        'SHM_UNSUPPORTED',
        `self-test: a file mapped over a SharedArrayBuffer does not carry its bytes (wrote ${out}, read ${back}, after close ${after}) on Node ${process.versions.node}`,
      );
    }
  } finally {
    addon.closeFile(fd);
  }
}

/** Failures become ShmErrors; the verbs of the wake-up path and the clock are left bare. */
const BARE: readonly string[] = ['futexWait', 'futexWake', 'ringFd', 'nowNs', 'threadId', 'lockWord'];

function wrap(raw: Record<string, (...args: unknown[]) => unknown>): Native {
  const out: Record<string, unknown> = {};
  for (const [name, verb] of Object.entries(raw)) {
    out[name] = BARE.includes(name)
      ? verb
      : (...args: unknown[]) => {
          try {
            return verb(...args);
          } catch (error) {
            return rethrow(error);
          }
        };
  }
  return out as unknown as Native;
}

function load(): Native {
  const platform = `${process.platform}-${process.arch}`;
  if (!PLATFORMS.includes(platform)) {
    throw new ShmError(
      'SHM_UNSUPPORTED',
      `Lich keeps its state in shared memory through a native addon for ${PLATFORMS.join(' and ')}; this is ${platform}`,
    );
  }
  const candidates = [`../../native/build/lich.node`, `../../native/prebuilt/${platform}/lich.node`].map(path =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const path = candidates.find(existsSync);
  if (path === undefined) {
    throw new ShmError(
      'SHM_UNSUPPORTED',
      `the native addon is missing (${candidates.join(', ')}): build it with \`node scripts/setup.mjs\` in the repository`,
    );
  }
  let addon: Native;
  try {
    addon = wrap(createRequire(import.meta.url)(path));
  } catch (cause) {
    throw new ShmError(
      'SHM_UNSUPPORTED',
      `the native addon ${path} does not load (${(cause as Error).message}): rebuild it with \`node scripts/setup.mjs\``,
      { cause },
    );
  }
  selfTest(addon);
  return addon;
}

let loaded: Native | undefined;

/** The addon, loaded and tested on first use.
 * @throws ShmError `SHM_UNSUPPORTED` where the platform or the addon is missing, or the self-test fails. */
export function native(): Native {
  loaded ??= load();
  return loaded;
}
