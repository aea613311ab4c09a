/** Whether a node is recorded, and where. `lich record` asks for it with a file, which the owner looks at when it begins
 * and four times a second:
 *
 *   <dir>/record/<node>.json    { "ringBytes": 67108864 }
 *
 * A standby maps the ring that there is, so that a takeover does not wait for it. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { attachSegment, createSegment, type Segment, ShmError, writeWhole } from '../../shm/index.ts';
import { segmentPath } from '../../shm/internal.ts';
import { WORDS } from '../../state/index.ts';
import type { Core } from '../core.ts';
import { errorData } from '../log.ts';
import { INPUTS_LAYOUT, MARKS_BYTES, RECORDING, RING_BYTES_DEFAULT, RING_BYTES_MAX, RING_BYTES_MIN } from './format.ts';
import { inputWords, Recorder } from './recorder.ts';

/** What is asked for. */
export interface RecordRequest {
  /** Bytes of the ring: a power of two. */
  readonly ringBytes: number;
}

/** The request for a node. */
export function recordRequestPath(dir: string, name: string): string {
  return join(dir, 'record', `${name}.json`);
}

/** @returns undefined where recording is not asked for, or not in a way that can be read */
export function recordRequest(dir: string, name: string): RecordRequest | undefined {
  const path = recordRequestPath(dir, name);
  if (fs.statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  try {
    const { ringBytes } = JSON.parse(fs.readFileSync(path, 'utf8')) as { ringBytes?: unknown };
    return isRing(ringBytes) ? { ringBytes } : { ringBytes: RING_BYTES_DEFAULT };
  } catch {
    return undefined;
  }
}

/** Ask for the recording of a node, or for its end; its owner, now or the next one, follows.
 * @param ringBytes a power of two, 64 KiB to 1 GiB; undefined ends it */
export function requestRecord(dir: string, name: string, ringBytes: number | undefined): void {
  const path = recordRequestPath(dir, name);
  if (ringBytes === undefined) return fs.rmSync(path, { force: true });
  if (!isRing(ringBytes))
    throw new RangeError(`a ring of ${String(ringBytes)} bytes: want a power of two, 64 KiB to 1 GiB`);
  fs.mkdirSync(join(dir, 'record'), { recursive: true, mode: 0o700 });
  writeWhole(path, `${JSON.stringify({ ringBytes })}\n`);
}

function isRing(bytes: unknown): bytes is number {
  return (
    Number.isInteger(bytes) &&
    (bytes as number) >= RING_BYTES_MIN &&
    (bytes as number) <= RING_BYTES_MAX &&
    Number.isInteger(Math.log2(bytes as number))
  );
}

/** Does the state say that what commits is kept? For those who look from outside. */
export function isRecording(state: Segment): boolean {
  return Atomics.load(state.i32, RECORDING) !== 0;
}

/** Of one node, in one of its processes. */
export class Recording {
  readonly #core: Core;
  #ring: Segment | undefined;
  #recorder: Recorder | undefined;
  /** It was tried in vain, and said so. */
  #failed = false;

  constructor(core: Core) {
    this.#core = core;
  }

  /** What the loop tells of its work; undefined while nothing is recorded. */
  get recorder(): Recorder | undefined {
    return this.#recorder;
  }

  /** A standby: map the ring, if there is one. */
  warm(): void {
    if (this.#ring === undefined && recordRequest(this.#core.dir, this.#core.name) !== undefined)
      this.#ring = this.#attach();
    this.#ring?.touchNew();
  }

  /** A life begins: after its state was recovered, before its first commit. */
  begin(): void {
    const { store, dir, name } = this.#core;
    const I = store.segment.i32;
    const request = recordRequest(dir, name);
    if (request === undefined || inputWords(this.#core) === undefined) {
      // From here on the state changes without the ring.
      if (I[RECORDING] !== 0) I[RECORDING] = 0;
      return;
    }
    this.#start(request);
  }

  /** Now and then, between transactions: is it still as it was asked for? */
  look(): void {
    const { dir, name, log } = this.#core;
    const request = recordRequest(dir, name);
    if (request === undefined) {
      if (this.#recorder !== undefined) {
        log.info('what the node is given is not recorded any more', { k: this.#recorder.k });
        this.#stop();
      }
      this.#failed = false;
    } else if (this.#recorder === undefined) {
      if (!this.#failed && inputWords(this.#core) !== undefined) this.#start(request);
    } else if (ringBytes(this.#ring!) !== request.ringBytes) {
      this.#stop();
      this.#start(request);
    }
  }

  /** This process is done with it.
   * @param clean it owned the node until its end in order */
  close(clean: boolean): void {
    this.#ring?.close(clean && this.#ring.writable);
    this.#ring = undefined;
  }

  #start(request: RecordRequest): void {
    const core = this.#core;
    const I = core.store.segment.i32;
    try {
      const ring = this.#open(request.ringBytes);
      this.#ring = ring;
      ring.touchNew();
      const recorder = new Recorder(core, inputWords(core)!, ring);
      const id = idOf(ring);
      if (I[RECORDING] !== id || I[WORDS.RESTORED] !== 0) {
        I[RECORDING] = 0;
        recorder.begin();
        I[RECORDING] = id;
        core.log.info('what the node is given is recorded', { from: recorder.k, ringBytes: request.ringBytes });
      }
      this.#recorder = recorder;
    } catch (error) {
      I[RECORDING] = 0;
      this.#failed = true;
      core.log.error('what the node is given cannot be recorded', errorData(error));
    }
  }

  #stop(): void {
    this.#recorder?.end();
    this.#recorder = undefined;
    this.#ring?.close(true);
    this.#ring = undefined;
  }

  /** The ring of that size, mapped for writing: the one that there is, or a new one. */
  #open(bytes: number): Segment {
    const { dir, name } = this.#core;
    let ring = this.#ring ?? this.#attach();
    if (ring !== undefined && (ringBytes(ring) !== bytes || !ring.isCurrent())) {
      ring.close();
      ring = this.#attach();
      if (ring !== undefined && ringBytes(ring) !== bytes) {
        ring.close();
        ring = undefined;
        fs.rmSync(segmentPath(dir, name, 'inputs'), { force: true });
      }
    }
    if (ring === undefined) {
      return createSegment({
        dir,
        name,
        kind: 'inputs',
        layoutHash: INPUTS_LAYOUT,
        regions: [
          { name: 'marks', bytes: MARKS_BYTES, reserve: true },
          { name: 'ring', bytes, reserve: true },
        ],
      });
    }
    ring.makeWritable();
    return ring;
  }

  #attach(): Segment | undefined {
    const { dir, name } = this.#core;
    try {
      return attachSegment({ dir, name, kind: 'inputs', layoutHash: INPUTS_LAYOUT });
    } catch (error) {
      if (error instanceof ShmError && error.code === 'SHM_NOT_FOUND') return undefined;
      throw error;
    }
  }
}

function ringBytes(ring: Segment): number {
  return ring.regions.get('ring')!.bytes;
}

/** Tells one ring of a node from the next. */
function idOf(ring: Segment): number {
  return Math.imul((ring.createdMs % 0x1_0000_0000) | 0, 0x9e37_79b1) | 1;
}
