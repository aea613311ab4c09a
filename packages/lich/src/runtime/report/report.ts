/** The report segment of a node, `<node>.report`: what it says and counts, for the host's collector and whoever looks. No
 * truth is in it: where it is missing, or cannot be used, it is made again.
 *
 *   [lines: 64 + ring][counters]        line-ring.ts, counters.ts
 *
 * Written by the holder of the node's lock alone. */
import * as fs from 'node:fs';
import { f64, type Fields } from '@lich/schema';
import { rootWord } from '../../bus/index.ts';
import { attachSegment, createSegment, type RegionSpec, type Segment, ShmError } from '../../shm/index.ts';
import { type Store, WORDS } from '../../state/index.ts';
import { COUNTERS_BYTES, Counters, MirroredCounts } from './counters.ts';
import { type CommittedEnd, LINES_HEAD_BYTES, LineWriter } from './line-ring.ts';

/** Of the ring: some thousand lines. */
export const RING_BYTES = 524_288;

/** Counters follow what they count by so much at most, while there is something to count. */
const COPY_MS = 10;

const LAYOUT = 'report 1';
const REGIONS: readonly RegionSpec[] = [
  { name: 'lines', bytes: LINES_HEAD_BYTES + RING_BYTES, reserve: true },
  { name: 'counters', bytes: COUNTERS_BYTES, reserve: true },
];

/** Root fields of every node: how far its lines are committed. */
export const reportFields = { $lines: f64 } as const satisfies Fields;

/** Where lines go.
 * @returns false when it cannot take the line now */
export type LineSink = (text: string, flags: number) => boolean;

/** A node's report, in one of its processes: mapped by those that wait, written by the one that owns. */
export class Report {
  readonly #dir: string;
  readonly #name: string;
  #segment: Segment | undefined;
  #writer: LineWriter | undefined;
  #counters: Counters | undefined;
  #mirrors: MirroredCounts[] = [];
  #sources: (() => MirroredCounts)[] = [];
  #copiedMs = Number.NEGATIVE_INFINITY;

  constructor(dir: string, name: string) {
    this.#dir = dir;
    this.#name = name;
  }

  /** Map it ahead of need. */
  prepare(): void {
    if (this.#segment !== undefined) return;
    try {
      this.#segment = this.#attach();
      this.#segment.touch();
    } catch (error) {
      // There is time to make one when the node is owned.
      if (!(error instanceof ShmError)) throw error;
    }
  }

  #attach(): Segment {
    return attachSegment({ dir: this.#dir, name: this.#name, kind: 'report', layoutHash: LAYOUT });
  }

  /** The node is owned and its state recovered: lines go into the ring from here on, as parts of transactions.
   * @throws ShmError where none can be made */
  takeOver(store: Store<unknown>): void {
    const segment = this.#own();
    this.#segment = segment;
    const end = new CommittedLines(store);
    this.#writer = new LineWriter(segment, end, Date.now());
    store.onRollback(() => this.#writer?.rolledBack());
  }

  #own(): Segment {
    try {
      const segment = this.#segment ?? this.#attach();
      segment.makeWritable();
      return segment;
    } catch (error) {
      if (!(error instanceof ShmError)) throw error;
    }
    this.#segment?.close();
    const path = `${this.#dir}/${this.#name}.report`;
    fs.rmSync(path, { force: true });
    return createSegment({ dir: this.#dir, name: this.#name, kind: 'report', layoutHash: LAYOUT, regions: REGIONS });
  }

  readonly line: LineSink = (text, flags) => {
    if (this.#writer === undefined) return false;
    this.#writer.write(text, flags);
    return true;
  };

  /** Have what a process counts from now on in an object of its own shown as counters that outlive it.
   * @param nameOf the counter of a key
   * @param kind of gauges what is the case now is shown */
  mirror(
    source: Readonly<Record<string, number>>,
    nameOf: (key: string) => string,
    kind: 'counter' | 'gauge' = 'counter',
  ): void {
    const from = { ...source };
    this.#sources.push(() => new MirroredCounts(this.#counters!, source, from, nameOf, kind));
  }

  /** A life has begun, and its first messages are handled. @param ms what each phase took */
  lifeBegan(reason: string, epoch: number, ms: Readonly<Record<string, number>>): void {
    const counters = this.#openCounters();
    if (counters === undefined) return;
    counters.add(`lich_lives_total{reason="${reason}"}`);
    for (const [phase, value] of Object.entries(ms)) {
      counters.add(`lich_takeover_ms_total{phase="${phase}"}`, value);
      counters.set(`lich_takeover_last_ms{phase="${phase}"}`, value, 'gauge');
    }
    counters.set('lich_takeover_epoch', epoch, 'gauge');
  }

  /** Found when they are first needed, which is after the first messages of a life. */
  #openCounters(): Counters | undefined {
    if (this.#writer === undefined || this.#segment === undefined) return undefined;
    return (this.#counters ??= new Counters(this.#segment));
  }

  /** Show what is committed. Outside transactions, once a turn. */
  publish(nowMs: number): void {
    if (this.#writer === undefined) return;
    this.#writer.publish();
    if (nowMs - this.#copiedMs < COPY_MS) return;
    this.#copiedMs = nowMs;
    this.#copy();
  }

  #copy(): void {
    const counters = this.#openCounters()!;
    for (const make of this.#sources) this.#mirrors.push(make());
    this.#sources = [];
    for (const mirror of this.#mirrors) mirror.copy();
    if (this.#writer!.dropped > 0) {
      counters.add('lich_lines_dropped_total', this.#writer!.dropped);
      this.#writer!.dropped = 0;
    }
  }

  /** The node is not this process's any more: nothing is written from here on. */
  letGo(): void {
    if (this.#writer === undefined) return;
    this.#writer.publish();
    this.#copy();
    this.#writer = undefined;
    this.#counters = undefined;
    this.#mirrors = [];
    this.#sources = [];
  }

  /** @param clean the node ends in order */
  close(clean: boolean): void {
    this.letGo();
    this.#segment?.close(clean && this.#segment.writable);
    this.#segment = undefined;
  }
}

/** `$lines` under the undo log. */
export class CommittedLines implements CommittedEnd {
  readonly #store: Store<unknown>;
  readonly #word: number;
  readonly #logWords: number;

  constructor(store: Store<unknown>) {
    this.#store = store;
    this.#word = linesWord(store.segment, store);
    this.#logWords = store.segment.regions.get('log')!.bytes / 4;
  }

  get(): number {
    return this.#store.segment.f64[this.#word >> 1];
  }

  set(position: number): void {
    this.#store.log.writeF64(this.#word, position);
  }

  get open(): boolean {
    return this.#store.log.open;
  }

  begin(): void {
    this.#store.log.begin();
  }

  commit(): void {
    this.#store.log.commit();
  }

  hasRoom(): boolean {
    const { i32 } = this.#store.segment;
    const used = (i32[WORDS.LOG_POS] - i32[WORDS.COM_POS]) | 0;
    if (used + ROOM_TO_FINISH > this.#logWords - WORDS.LOG_SLACK) return false;
    try {
      this.#store.log.mustHaveRoom(0);
      return true;
    } catch {
      return false;
    }
  }

  get commitNo(): number {
    return this.#store.log.commitNo;
  }
}

/** Words of the log that a line leaves to what made it. */
const ROOM_TO_FINISH = 128;

function linesWord(state: Segment, { layouts }: Pick<Store<unknown>, 'layouts'>): number {
  return rootWord(layouts.root, state.regions.get('root')!.offset, '$lines');
}

/** How far the lines of a node that nobody owns are committed: `$lines` with what was open undone, the segment as it is. */
export function committedLines(state: Segment, layouts: Store<unknown>['layouts']): number {
  const word = linesWord(state, { layouts });
  const { offset, bytes } = state.regions.get('log')!;
  const { i32 } = state;
  const mask = bytes / 4 - 1;
  const value = new Float64Array(1);
  const halves = new Int32Array(value.buffer);
  halves[0] = i32[word];
  halves[1] = i32[word + 1];
  const from = i32[WORDS.COM_POS];
  for (let q = (i32[WORDS.LOG_POS] - 2) | 0; ((q - from) | 0) >= 0; q = (q - 2) | 0) {
    const k = offset / 4 + (q & mask);
    if (i32[k] < 0) q = (q - ((i32[k + 1] + 1) & -2)) | 0;
    else if (i32[k] === word || i32[k] === word + 1) halves[i32[k] - word] = i32[k + 1];
  }
  return value[0]!;
}
