/** A node's recorded inputs, done again over a dump of it: on scratch copies, by the code that the node runs.
 *
 *   dump at input j ─ restore ─► scratch state ─ input j+1 … k ─► S_k        forwards: through the handlers
 *                                              ◄─ input k … ────             backwards: undone from the log
 *
 * The copies have a directory of their own, with the names and indexes of the cluster's nodes; nothing leaves it: lanes
 * are written and never published, timers fire when the recording says so, functions given to `onCommit` do not run.
 * Backwards the ring of the undo log is enough for the last some thousand inputs; beyond it the replay begins anew. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOLD, lanesRegions } from '../../bus/index.ts';
import { attachSegment, createSegment, type Segment } from '../../shm/index.ts';
import { dumpInfo, restoreSegment, WORDS } from '../../state/index.ts';
import { Blame } from '../blame.ts';
import type { Core } from '../core.ts';
import { RuntimeError } from '../errors.ts';
import { lanesHash } from '../node-layout.ts';
import { NOW } from '../node-words.ts';
import type { Life } from '../service.ts';
import type { ServiceLogic } from '../service-logic.ts';
import { nameOfType } from '../system-messages.ts';
import { isRun, KIND_NAMES, LIFE, MESSAGE, OWN, PATCH, REASONS, SHOW, TICK } from './format.ts';
import type { Input, Inputs } from './inputs.ts';
import { InputCounter, type InputWords, inputWords } from './recorder.ts';

const { COM_POS, COMMIT_NO, LOG_POS, RANGE, STAMP_HI, STAMP_LO } = WORDS;

/** What `Replay.open` takes. */
export interface ReplayOptions {
  /** Directory of the cluster, or a copy of its `nodes/`. */
  readonly dir: string;
  readonly node: string;
  /** A dump of the node, taken while it was recorded. */
  readonly dump: string;
  readonly inputs: Inputs;
  /** The node as its process makes it: `serviceCore` of its service and config.
   * @param dir the scratch directory; @param name the node */
  readonly core: (dir: string, name: string) => Core;
}

/** Words of the log that a step back may need, less than the ring. */
const BACK_MARGIN = 4_096;

/** Who there is, and what versions of protocols mean. */
const FOLDERS = ['nodes', 'protocols'];

/** One replay, over scratch copies that `close` removes. */
export class Replay {
  readonly inputs: Inputs;
  readonly #o: ReplayOptions;
  readonly #dir: string;
  #core!: Core;
  #logic!: ServiceLogic;
  #counter!: InputCounter;
  #words!: InputWords;
  #memory: Segment;
  /** Input of the dump. */
  readonly firstK: number;
  /** Where the log was before each input that can be undone, the last one last. */
  #marks: { k: number; position: number; life: Life }[] = [];
  #commits = 0;
  /** Input that did something else. */
  #astray = -1;
  #input: Input | undefined;
  #refused: (readonly [number, number])[] = [];

  /** @throws StateError as `restoreSegment`; ShmError `SHM_LAYOUT` when the code has another layout; RuntimeError
   * `RUNTIME_NOT_RECORDED` when the inputs do not go on from the dump */
  static open(o: ReplayOptions): Replay {
    const room = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    const dir = fs.mkdtempSync(join(room, 'lich-replay-'));
    try {
      return new Replay(o, dir);
    } catch (error) {
      fs.rmSync(dir, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(o: ReplayOptions, dir: string) {
    this.#o = o;
    this.#dir = dir;
    this.inputs = o.inputs;
    this.#memory = o.inputs.memory;
    for (const folder of FOLDERS)
      if (fs.existsSync(join(o.dir, folder))) fs.cpSync(join(o.dir, folder), join(dir, folder), { recursive: true });
    this.#load();
    this.firstK = this.k;
    const { firstK, lastK } = o.inputs;
    if (this.firstK >= firstK && this.firstK <= lastK) return;
    this.#release();
    throw new RuntimeError(
      'RUNTIME_NOT_RECORDED',
      `${o.dump} is the state after input ${this.firstK}; the ring of ${o.node} has inputs ${firstK + 1} to ${lastK}: take a dump of a recorded node, and a larger ring (lich record --mib)`,
    );
  }

  /** The state, as a segment: readers take it. */
  get segment(): Segment {
    return this.#core.store.segment;
  }

  /** Input after which the state is. */
  get k(): number {
    return this.#counter.k;
  }

  /** The core that the inputs run on. @internal */
  get core(): Core {
    return this.#core;
  }

  #load(): void {
    const { dump, node, core: make } = this.#o;
    restoreSegment(dump, { dir: this.#dir, name: node });
    const core = make(this.#dir, node);
    this.#core = core;
    const { lock, limits } = core;
    if (lock.tryAcquire() === 'busy') throw new Error(`${this.#dir}: the scratch copy has an owner`);
    const lanes = { dir: this.#dir, name: node, kind: 'lanes' as const, layoutHash: lanesHash(limits) };
    const state = attachSegment({ dir: this.#dir, name: node, kind: 'state' });
    core.build(state, createSegment({ ...lanes, regions: lanesRegions(limits) }));
    state.makeWritable();
    state.i32[WORDS.RESTORED] = 0;
    core.store.recover();
    core.bus.outbox.reload();
    core.bus.outbox.roomOf = (stream, claim) => this.#hasRoom(stream, claim);
    core.life = { epoch: dumpInfo(dump).epoch, reason: 'restart' };
    core.blame = new Blame(undefined, lock, 0, 0);
    this.#logic = core.logic as ServiceLogic;
    const words = inputWords(core);
    if (words === undefined) throw new RuntimeError('RUNTIME_NOT_RECORDED', `${node} is no service`);
    this.#words = words;
    this.#counter = new InputCounter(core, words);
    const { log } = core.store;
    const commit = log.commit;
    log.commit = () => {
      if (this.#input !== undefined) this.#counted(this.#input);
      commit();
    };
    this.#bind();
    this.#marks = [];
  }

  /** What the process knows of its state is made anew. Writes nothing that stays. */
  #bind(): void {
    const { log } = this.#core.store;
    log.begin();
    this.#logic.again('bind');
    log.rollback();
  }

  #counted(input: Input): void {
    this.#commits++;
    if (this.#commits > 1) {
      this.#astray = input.k;
      return;
    }
    // Words of the open transaction, before its numbers are added.
    if (isRun(input.kind) && this.#counter.sum() !== input.sum) this.#astray = input.k;
    if (isRun(input.kind) && this.segment.f64[this.#words.lines >> 1] !== input.lines)
      this.#core.store.log.writeF64(this.#words.lines, input.lines);
    this.#counter.store(input.k, input.at);
  }

  /** Do the next input. @returns it; undefined after the last one
   * @throws RuntimeError `RUNTIME_DIVERGED` */
  forward(): Input | undefined {
    const input = this.inputs.at(this.k + 1);
    if (input === undefined) return undefined;
    const core = this.#core;
    const { i32, f64 } = this.segment;
    this.#marks.push({ k: this.k, position: i32[COM_POS], life: core.life });
    if (this.#marks.length > 100_000) this.#marks.splice(0, 50_000);
    f64[NOW] = input.now;
    const no = COMMIT_NO >> 1;
    f64[no] = Math.floor(f64[no] / 0x1_0000_0000) * 0x1_0000_0000 + input.commitNo;
    if (i32[STAMP_LO] !== input.stampLo || i32[STAMP_HI] !== input.stampHi) {
      // Views know the stamp that their record had: they have to look again.
      core.store.log.nextStamp();
      i32[STAMP_LO] = input.stampLo;
      i32[STAMP_HI] = input.stampHi;
    }
    core.bus.outbox.claims = 0;
    this.#refused = [...input.refused];
    this.#input = input;
    this.#commits = 0;
    try {
      this.#do(input);
    } finally {
      this.#input = undefined;
      core.dropHooks(0);
    }
    if (this.#commits === 0) this.#diverged(input, 'changed nothing');
    if (this.#astray === input.k) this.#diverged(input, 'changed something else than when it was recorded');
    return input;
  }

  #do(input: Input): void {
    const core = this.#core;
    const { log } = core.store;
    switch (input.kind) {
      case MESSAGE: {
        const { stream, type, a, b, word, words } = input;
        const sender = stream % core.limits.nodes;
        core.bus.inbox.stream = stream;
        log.begin();
        if (this.#logic.deliver(sender, type, a, b, this.#memory, word, words) === HOLD) {
          log.rollback();
          this.#diverged(input, 'waits for a lane');
        }
        log.write(this.#words.heads + stream, input.next);
        log.commit();
        return;
      }
      case OWN:
        if (!this.#logic.again('own') && this.#commits === 0) this.#diverged(input, 'is not due, or has to wait');
        return;
      case TICK:
        this.#logic.again('tick');
        return;
      case SHOW:
        this.#logic.again('show', input.next);
        return;
      case LIFE:
        log.begin();
        log.commit();
        core.life = { epoch: input.next, reason: REASONS[input.type] ?? 'restart' };
        this.#bind();
        return;
      default:
        this.#patch(input);
    }
  }

  #patch(input: Input): void {
    const { log } = this.#core.store;
    const W = this.inputs.words;
    const end = input.word + input.words;
    log.begin();
    for (let p = input.word; p < end; ) {
      const index = W[p++];
      if (index >= 0) {
        log.write(index, W[p++]);
        continue;
      }
      const count = W[p++];
      for (let n = 0; n < count; n++) log.write((index & ~RANGE) + n, W[p++]);
    }
    log.commit();
    this.#input = undefined;
    this.#forget();
  }

  /** The words changed without the process: nothing that it derived from them holds any more. */
  #forget(): void {
    const { store, bus } = this.#core;
    const { log } = store;
    log.begin();
    log.rollback();
    store.recover();
    bus.outbox.reload();
    this.#bind();
  }

  #hasRoom(stream: number, claim: number): boolean {
    const next = this.#refused[0];
    if (next === undefined || next[0] !== claim || next[1] !== stream) return true;
    this.#refused.shift();
    return false;
  }

  /** Undo the last input. @returns the input that was undone; undefined at the dump
   * @remarks beyond what the log holds: everything from the dump on is done again */
  back(): Input | undefined {
    const { k } = this;
    if (k <= this.firstK) return undefined;
    const undone = this.inputs.at(k);
    const mark = this.#marks.pop();
    const { i32 } = this.segment;
    const depth = mark === undefined ? 0 : (i32[LOG_POS] - mark.position) | 0;
    if (mark === undefined || mark.k !== k - 1 || depth > this.#counter.logMask - BACK_MARGIN) {
      this.#reload();
      this.to(k - 1);
      return undone;
    }
    const { store } = this.#core;
    store.log.begin();
    i32[COM_POS] = mark.position;
    store.log.rollback();
    i32[LOG_POS] = mark.position;
    i32[COM_POS] = mark.position;
    this.#core.life = mark.life;
    this.#forget();
    return undone;
  }

  /** What the last input changed, by word, without `$lines`, `$k` and `$at`. Only words that have another value now.
   * @remarks after a `forward` */
  changes(): { after: Map<number, number>; before: Map<number, number> } {
    const { i32 } = this.segment;
    const L = this.#counter.logRing;
    const M = this.#counter.logMask;
    const { lines, k, at } = this.#words;
    const before = new Map<number, number>();
    const from = this.#marks.at(-1)?.position ?? i32[LOG_POS];
    for (let q = (i32[LOG_POS] - 2) | 0; ((q - from) | 0) >= 0; q = (q - 2) | 0) {
      const index = L[q & M];
      if (index >= 0) {
        before.set(index, L[(q & M) + 1]);
        continue;
      }
      const count = L[(q & M) + 1];
      q = (q - ((count + 1) & -2)) | 0;
      for (let n = 0; n < count; n++) before.set((index & ~RANGE) + n, L[(q + n) & M]);
    }
    for (const word of [lines, lines + 1, k, k + 1, at]) before.delete(word);
    const after = new Map<number, number>();
    for (const [word, was] of before) if (i32[word] !== was) after.set(word, i32[word]);
    return { after, before };
  }

  /** Go to S_k, forwards or backwards.
   * @throws RuntimeError `RUNTIME_DIVERGED`, `RUNTIME_NOT_RECORDED` when k is not between the dump and the last input */
  to(k: number): void {
    if (!(k >= this.firstK && k <= this.inputs.lastK)) {
      throw new RuntimeError(
        'RUNTIME_NOT_RECORDED',
        `input ${k}: between the dump and the end of the ring are ${this.firstK} to ${this.inputs.lastK}`,
      );
    }
    const steps = this.k - k;
    if (steps > this.#marks.length) this.#reload();
    while (this.k > k) this.back();
    while (this.k < k) this.forward();
  }

  #reload(): void {
    this.#release();
    for (const file of fs.readdirSync(this.#dir))
      if (!FOLDERS.includes(file)) fs.rmSync(join(this.#dir, file), { recursive: true, force: true });
    this.#load();
  }

  #diverged(input: Input, what: string): never {
    throw new RuntimeError('RUNTIME_DIVERGED', `input ${input.k} (${this.describe(input)}) ${what}`);
  }

  /** For people: `message hit from gateway-1`. */
  describe(input: Input): string {
    const name = KIND_NAMES[input.kind] ?? `kind ${input.kind}`;
    if (input.kind === MESSAGE) {
      const index = input.stream % this.#core.limits.nodes;
      const sender = this.#core.directory.byIndex(index)?.name ?? `node ${index}`;
      return `${name} ${nameOfType(this.#logic.protocol, input.type)} from ${sender}`;
    }
    if (input.kind === LIFE) return `life ${input.next}, ${REASONS[input.type] ?? '?'}`;
    if (input.kind === PATCH) return `${name} of ${input.words} words`;
    return name;
  }

  #release(): void {
    const core = this.#core;
    core.bus.close();
    core.lanes.close();
    core.store.segment.close();
    core.bells.close();
    core.lock.release();
  }

  /** Remove the copies. */
  close(): void {
    this.#release();
    fs.rmSync(this.#dir, { recursive: true, force: true });
  }
}
