/** `lich trace <node>`: messages to and from a node, as they pass. Read from the rings of its lanes, where they stay for a
 * while after they were handled; nobody is slowed down, so what passes faster than it is shown is counted and left out. */
import { parseArgs } from 'node:util';
import { BusLook, type FoundRecord, type NodeEntry, walkLane, type WholeLane, wholeLanes } from '../bus/index.ts';
import { MessageNames } from '../runtime/index.ts';
import { runtimeDir, type Segment, ShmError } from '../shm/index.ts';
import { styled } from './events.ts';
import { columns, count, cut, print, size } from './text.ts';
import { UsageError } from './usage.ts';

const LOOK_MS = 50;

/** A message that passed. */
export interface Traced {
  readonly atMs: number;
  readonly from: string;
  readonly to: string;
  /** `move`, `ANSWER`, or `3 of protocol tag 4711` */
  readonly what: string;
  /** Of the payload, padded to whole records. */
  readonly bytes: number;
  /** Undefined where nobody here knows how it is laid out. */
  readonly fields: unknown;
}

/** Follows the lanes of one node. */
export class LaneTrace {
  readonly #look: BusLook;
  readonly #node: NodeEntry;
  readonly #names: MessageNames;
  /** By sender and lane: the position up to which was seen. */
  readonly #seen = new Map<string, number>();
  #isFirst = true;
  /** Messages that passed without being shown; -1 for a lane that went round meanwhile counts as one. */
  skipped = 0;

  /** @throws ShmError `SHM_NOT_FOUND` */
  constructor(dir: string, name: string) {
    this.#look = new BusLook(dir);
    const nodes = this.#look.nodes();
    const found = nodes.find(node => node.name === name);
    if (found === undefined) {
      const names = nodes.map(node => node.name).join(', ');
      throw new ShmError('SHM_NOT_FOUND', `there is no node ${name} in ${dir}; there are ${names || 'none'}`);
    }
    this.#node = found;
    this.#names = new MessageNames(dir);
  }

  /** What has passed since the last look; the first one only notes where everything is.
   * @param most messages */
  next(most: number): Traced[] {
    const found: Traced[] = [];
    const nodes = this.#look.nodes();
    for (const { name } of nodes) {
      const segment = this.#look.lanesOf(name);
      if (segment === undefined) continue;
      for (const lane of wholeLanes(segment)) {
        if (lane.source !== this.#node.index && lane.receiver !== this.#node.index) continue;
        const from = nodes.find(({ index }) => index === lane.source);
        const to = nodes.find(({ index }) => index === lane.receiver);
        if (from !== undefined && to !== undefined) this.#follow(segment, from, to, lane, found, most);
      }
    }
    this.#isFirst = false;
    return found;
  }

  #follow(segment: Segment, from: NodeEntry, to: NodeEntry, lane: WholeLane, found: Traced[], most: number): void {
    const key = `${segment.name} ${segment.createdMs} ${lane.laneId}`;
    const seen = this.#seen.get(key) ?? (this.#isFirst ? lane.tail : lane.base);
    this.#seen.set(key, lane.tail);
    const began = found.length;
    const end = walkLane(segment, lane, seen, record => {
      if (found.length < most) found.push(this.#traced(segment, from, to, record));
      else this.skipped++;
    });
    // Written over while it was read, or before.
    const now = wholeLanes(segment).find(each => each.laneId === lane.laneId);
    const isWhole = end === lane.tail && now !== undefined && ((now.tail - seen) | 0) <= lane.size;
    if (isWhole) return;
    this.skipped += Math.max(1, found.length - began);
    found.length = began;
  }

  #traced(segment: Segment, from: NodeEntry, to: NodeEntry, record: FoundRecord): Traced {
    const { what, fields } = this.#names.read(segment, from.name, to.name, record);
    return { atMs: Date.now(), from: from.name, to: to.name, what, bytes: record.payloadWords * 4, fields };
  }

  close(): void {
    this.#look.close();
  }
}

/** Until Ctrl-C, or as long as it is told. */
export async function trace(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      rate: { type: 'string', default: '20' },
      for: { type: 'string' },
      count: { type: 'string', short: 'n' },
      json: { type: 'boolean', default: false },
    },
  });
  const [name] = positionals;
  if (name === undefined || positionals.length > 1) throw new UsageError('want one node: lich trace arena-1');
  const perSecond = numberOf('--rate', values.rate, 20);
  const seconds = numberOf('--for', values.for, Number.POSITIVE_INFINITY);
  const least = numberOf('--count', values.count, Number.POSITIVE_INFINITY);
  if (values.dir !== undefined) process.env.LICH_DIR = values.dir;
  const lanes = new LaneTrace(runtimeDir(), name);
  let over = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => (over = true));
  process.stdout.once('error', () => (over = true));
  const beganMs = performance.now();
  let shown = 0;
  let owed = 1;
  lanes.next(0);
  while (!over && shown < least && performance.now() - beganMs < seconds * 1_000) {
    await new Promise(resolve => setTimeout(resolve, LOOK_MS));
    // What was not used of a second's share is not saved for a burst.
    owed = Math.min(owed + (perSecond * LOOK_MS) / 1_000, Math.max(1, perSecond));
    const found = lanes.next(Math.min(Math.floor(owed), least - shown));
    owed -= found.length;
    shown += found.length;
    for (const message of found) print(values.json ? JSON.stringify(message, bigints) : lineOf(message, name));
  }
  if (!values.json)
    print(styled('dim', `${count(shown, 'message')} shown, ${count(lanes.skipped, 'more', 'more')} passed`));
  lanes.close();
  return 0;
}

function numberOf(option: string, text: string | undefined, standard: number): number {
  if (text === undefined) return standard;
  const value = Number(text);
  if (!(value > 0)) throw new UsageError(`${option} wants a number above 0, not ${text}`);
  return value;
}

const bigints = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

function lineOf({ atMs, from, to, what, bytes, fields }: Traced, name: string): string {
  const at = new Date(atMs).toISOString().slice(11, 23);
  const pair = from === name ? `→ ${to}` : `← ${from}`;
  const said = fields === undefined ? '' : JSON.stringify(fields, bigints);
  return cut(`${at}  ${pair.padEnd(16)}  ${what.padEnd(12)} ${size(bytes).padStart(9)}  ${said}`, columns());
}
