/** Bells: the one file that every process of the cluster writes. Everything in it is a hint, rebuilt by looking: a
 * lost bit or ring costs time (the receiver sweeps its lanes every 50 ms), never a message.
 *
 *   region `bells`: 128 bytes for each node index
 *     0     4  bell     futex word, counts the rings    writers: all     (padded to a cache line)
 *    64     4  armed    0 awake; 1 asleep on the futex word; 2 asleep in its event loop, on the FIFO
 *                                                        writers: its node arms and disarms, ringers disarm
 *   region `ready`: one row of bits for each node index, as long as there are nodes, padded to 64 bytes
 *     bit s of row t: node s has published something for node t
 *                                                        writers: senders set, node t clears
 *
 * SYNC ready: a sender publishes a tail (Atomics.store), then sets its bit (setReady). The receiver clears the bit
 *   (takeReady), then loads the tail. Whichever comes second sees the other.
 * SYNC armed: a sleeper stores `armed`, then looks at its row once more. A sender sets its bit, then loads `armed`
 *   (ring). Both are sequentially consistent, so one of the two sees the other's store: no ring is lost between them.
 *   A sender that is killed between the two leaves the sleeper to its timeout. */
import * as fs from 'node:fs';
import { Socket } from 'node:net';
import { dirname } from 'node:path';
import { ShmError, rethrow } from './errors.ts';
import { checkDir, fifoPath } from './files.ts';
import { native, type Native } from './native.ts';
import { createSegment } from './make.ts';
import { attachSegment, type Segment } from './segment.ts';

/** Size of one node's part of region `bells`. */
const BELL_BYTES = 128;
const ARMED_BYTES = 64;
const LINE_BYTES = 64;

/** `armed`: no ring is needed. */
export const AWAKE = 0;
/** `armed`: the thread waits on the futex word. */
export const ASLEEP_BLOCKED = 1;
/** `armed`: the event loop polls the FIFO. */
export const ASLEEP_LOOP = 2;

/** Longest sleep: after it the sleeper looks for itself. */
export const SWEEP_MS = 50;

/** Ready bits and sleep words of all nodes of a cluster. All of it is hints. */
export class Bells {
  readonly dir: string;
  readonly maxNodes: number;
  readonly segment: Segment;
  readonly #words: Int32Array;
  readonly #native: Native;
  readonly #bells: number;
  readonly #ready: number;
  readonly #rowWords: number;
  /** Words of a row that are in use. */
  readonly #usedWords: number;
  #nowhere: number | undefined;
  readonly #fifos = new Map<number, number>();

  private constructor(segment: Segment, maxNodes: number) {
    this.segment = segment;
    this.dir = dirname(segment.path);
    this.maxNodes = maxNodes;
    this.#words = segment.i32;
    this.#native = native();
    this.#bells = segment.regions.get('bells')!.offset / 4;
    this.#ready = segment.regions.get('ready')!.offset / 4;
    this.#rowWords = rowBytes(maxNodes) / 4;
    this.#usedWords = Math.ceil(maxNodes / 32);
  }

  /** Open the cluster's bells; the file is made when there is none.
   * @param maxNodes 1..4096, the same for all processes of the cluster */
  static open(dir: string, maxNodes = 256): Bells {
    if (!Number.isInteger(maxNodes) || maxNodes < 1 || maxNodes > 4096)
      throw new RangeError('maxNodes must be 1..4096');
    const id = { dir, name: '', kind: 'bells' as const, layoutHash: `bells 1, ${maxNodes} nodes` };
    for (;;) {
      try {
        return new Bells(attachSegment({ ...id, write: true }), maxNodes);
      } catch (error) {
        if (!(error instanceof ShmError) || error.code !== 'SHM_NOT_FOUND') throw error;
      }
      try {
        const regions = [
          { name: 'bells', bytes: maxNodes * BELL_BYTES, reserve: true },
          { name: 'ready', bytes: maxNodes * rowBytes(maxNodes), reserve: true },
        ];
        return new Bells(createSegment({ ...id, regions }), maxNodes);
      } catch (error) {
        if (!(error instanceof ShmError) || error.code !== 'SHM_EXISTS') throw error;
      }
    }
  }

  /** Take an index at the start of a life: awake, and every bit set, so that what was published before is looked at. */
  claim(index: number): void {
    this.#mustBeNode(index);
    Atomics.store(this.#words, this.#armedAt(index), AWAKE);
    for (let i = 0; i < this.#usedWords; i++) Atomics.store(this.#words, this.#ready + index * this.#rowWords + i, -1);
  }

  /** In a private copy, from which nobody is to be woken: everybody sleeps, and their FIFOs lead nowhere. A ring costs what
   * it costs in earnest. Until `bePlain`. */
  beMuffled(): void {
    this.#nowhere ??= fs.openSync('/dev/null', fs.constants.O_WRONLY);
    for (let index = 0; index < this.maxNodes; index++) {
      this.#fifos.set(index, this.#nowhere);
      this.arm(index, ASLEEP_LOOP);
    }
  }

  bePlain(): void {
    if (this.#nowhere === undefined) return;
    fs.closeSync(this.#nowhere);
    this.#nowhere = undefined;
    this.#fifos.clear();
  }

  /** `sender` has published something for `target`; call it after the tails are stored. */
  setReady(target: number, sender: number): void {
    const at = this.#ready + target * this.#rowWords + (sender >>> 5);
    const bit = 1 << (sender & 31);
    if ((Atomics.load(this.#words, at) & bit) === 0) Atomics.or(this.#words, at, bit);
  }

  /** Clear the row of `self` and visit each sender whose bit was set, in order; how many there were. */
  takeReady(self: number, visit: (sender: number) => void): number {
    let count = 0;
    const row = this.#ready + self * this.#rowWords;
    for (let i = 0; i < this.#usedWords; i++) {
      if (Atomics.load(this.#words, row + i) === 0) continue;
      let bits = Atomics.exchange(this.#words, row + i, 0);
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        const sender = i * 32 + bit;
        if (sender >= this.maxNodes) break;
        visit(sender);
        count++;
      }
    }
    return count;
  }

  /** Is any bit of the row set? */
  anyReady(self: number): boolean {
    const row = this.#ready + self * this.#rowWords;
    for (let i = 0; i < this.#usedWords; i++) if (Atomics.load(this.#words, row + i) !== 0) return true;
    return false;
  }

  /** Say that `self` is about to sleep. Look for work once more after it, then sleep. */
  arm(self: number, how: number = ASLEEP_BLOCKED): void {
    Atomics.store(this.#words, this.#armedAt(self), how);
  }

  disarm(self: number): void {
    Atomics.store(this.#words, this.#armedAt(self), AWAKE);
  }

  isArmed(target: number): boolean {
    return Atomics.load(this.#words, this.#armedAt(target)) !== AWAKE;
  }

  /** How often `self` was rung: the `expected` of `blockUntilRung`, read before `arm`. */
  rings(self: number): number {
    return Atomics.load(this.#words, this.#bellAt(self));
  }

  /** Wake `target` if it sleeps. One load when it does not; one system call when it does, by the first ringer only.
   * @returns whether it slept */
  ring(target: number): boolean {
    const armed = this.#armedAt(target);
    if (Atomics.load(this.#words, armed) === AWAKE) return false;
    const how = Atomics.exchange(this.#words, armed, AWAKE);
    if (how === AWAKE) return false;
    Atomics.add(this.#words, this.#bellAt(target), 1);
    if (how === ASLEEP_LOOP) this.#ringFifo(target);
    else this.#native.futexWake(this.#words, this.#bellAt(target), 1);
    return true;
  }

  /** Block this thread until `self` is rung: nothing else of this process runs meanwhile.
   *
   *     const seen = bells.rings(self); bells.arm(self);
   *     if (!work()) bells.blockUntilRung(self, seen, 50);
   *     bells.disarm(self);
   *
   * @param expected what `rings(self)` was before `arm`
   * @returns false when the time is over */
  blockUntilRung(self: number, expected: number, timeoutMs: number): boolean {
    return this.#native.futexWait(this.#words, this.#bellAt(self), expected, timeoutMs) !== 1;
  }

  close(): void {
    for (const fd of this.#fifos.values()) fs.closeSync(fd);
    this.#fifos.clear();
    this.segment.close();
  }

  #ringFifo(target: number): void {
    for (let tries = 0; tries < 2; tries++) {
      let fd = this.#fifos.get(target);
      if (fd === undefined) {
        fd = openFifo(fifoPath(this.dir, target), fs.constants.O_WRONLY);
        if (fd === undefined) return; // nobody reads it: its node is dead, and looks for itself when it is back
        this.#fifos.set(target, fd);
      }
      const error = this.#native.ringFd(fd);
      if (error === 0 || error === 11 /* EAGAIN: full, its reader wakes up anyway */) return;
      fs.closeSync(fd); // EPIPE: the reader is gone, or the FIFO was made again
      this.#fifos.delete(target);
    }
  }

  #bellAt(index: number): number {
    return this.#bells + index * (BELL_BYTES / 4);
  }

  #armedAt(index: number): number {
    return this.#bells + index * (BELL_BYTES / 4) + ARMED_BYTES / 4;
  }

  #mustBeNode(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.maxNodes) {
      throw new RangeError(`node index ${index} is outside 0..${this.maxNodes - 1}`);
    }
  }
}

function rowBytes(maxNodes: number): number {
  return Math.ceil(maxNodes / 8 / LINE_BYTES) * LINE_BYTES;
}

/** Open a FIFO of ours; `undefined` where there is none, or nobody reads it. */
function openFifo(path: string, how: number): number | undefined {
  let fd: number;
  try {
    fd = fs.openSync(path, how | fs.constants.O_NONBLOCK | fs.constants.O_NOFOLLOW);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENXIO') return undefined;
    return rethrow(error, 'open');
  }
  const st = fs.fstatSync(fd);
  if (st.isFIFO() && st.uid === (process.geteuid?.() ?? 0) && (st.mode & 0o022) === 0) return fd;
  fs.closeSync(fd);
  throw new ShmError('SHM_BAD_FILE', `${path} is not a FIFO of ours`);
}

/** The sleep of a process that also has sockets and timers: its event loop polls a FIFO that ringers write to.
 *
 * `sleep()` arms the bell and returns; `onRing` is called once, when the bell is rung, the time is over, or something
 * was ready already. Awake, nothing is called: the loop looks for work itself. */
export class Doorbell {
  readonly #bells: Bells;
  readonly #self: number;
  readonly #onRing: () => void;
  readonly #socket: Socket;
  #timer: NodeJS.Timeout | undefined;
  #timeoutMs = 0;
  #asleep = false;
  #closed = false;

  /** @param self index of this node, claimed from the bells */
  constructor(bells: Bells, self: number, onRing: () => void) {
    this.#bells = bells;
    this.#self = self;
    this.#onRing = onRing;
    const path = fifoPath(bells.dir, self);
    checkDir(bells.dir);
    native().makeFifo(path);
    // O_RDWR: a FIFO that has this writer never reads as ended when the ringers are gone.
    const fd = openFifo(path, fs.constants.O_RDWR);
    if (fd === undefined) throw new ShmError('SHM_NOT_FOUND', `${path} was removed while it was opened`);
    this.#socket = new Socket({
      fd,
      readable: true,
      writable: false,
      onread: {
        buffer: new Uint8Array(4096),
        callback: () => {
          this.#wake();
          return true;
        },
      },
    } as ConstructorParameters<typeof Socket>[0]);
    this.#socket.on('error', () => {});
    this.#socket.resume();
  }

  get asleep(): boolean {
    return this.#asleep;
  }

  /** @param timeoutMs default 50: a ring can be lost by a kill, so no sleep is without an end */
  sleep(timeoutMs: number = SWEEP_MS): void {
    if (this.#closed) throw new ShmError('SHM_CLOSED', 'the doorbell is closed');
    if (this.#asleep) return;
    this.#asleep = true;
    this.#bells.arm(this.#self, ASLEEP_LOOP);
    if (this.#bells.anyReady(this.#self)) {
      setImmediate(this.#wake);
      return;
    }
    if (this.#timer !== undefined && this.#timeoutMs === timeoutMs) {
      this.#timer.refresh();
      return;
    }
    clearTimeout(this.#timer);
    this.#timeoutMs = timeoutMs;
    this.#timer = setTimeout(this.#wake, timeoutMs);
  }

  /** The loop turns for another reason: the sleep is over, and `onRing` is not called for it. */
  rouse(): void {
    if (!this.#asleep) return;
    this.#asleep = false;
    this.#bells.disarm(this.#self);
  }

  /** Let the process end although the doorbell is open. */
  unref(): void {
    this.#socket.unref();
    this.#timer?.unref();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#asleep = false;
    this.#bells.disarm(this.#self);
    clearTimeout(this.#timer);
    this.#socket.destroy();
  }

  readonly #wake = (): void => {
    if (!this.#asleep) return;
    this.#asleep = false;
    this.#bells.disarm(this.#self);
    this.#onRing();
  };
}
