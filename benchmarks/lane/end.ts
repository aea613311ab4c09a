/** A node with nothing but its end of the bus: the lanes as the runtime uses them, without a service on top. */
import { i32, state } from '@lich/schema';
import { type Deliver, FULL, HANDLED, typeOf } from 'lich/bus';
import { Core, createLog, type Logic } from 'lich/runtime';
import type { Segment } from 'lich/shm';
import type { Size } from '../lib/bench.ts';

/** Words of a message: 64 bytes, as every contender sends. */
export const WORDS = 16;
export const BYTES = WORDS * 4;
/** Messages in one transaction of the sender. */
export const BATCH = 32;

const TYPE = typeOf(1, 0);

/** Messages and round trips whose time is taken together. */
export const MESSAGE_BLOCK = 2_000;
export const TRIP_BLOCK = 50;

export interface Sizes {
  readonly messages: number;
  /** For contenders that take a microsecond and more for each. */
  readonly slowMessages: number;
  readonly trips: number;
  readonly sleepyTrips: number;
  readonly idleMs: number;
}

export const sizes: Record<Size, Sizes> = {
  small: { messages: 20_000, slowMessages: 10_000, trips: 1_000, sleepyTrips: 300, idleMs: 500 },
  full: { messages: 10_000_000, slowMessages: 1_000_000, trips: 500_000, sleepyTrips: 30_000, idleMs: 10_000 },
};

/** Message number `k` is the words k, k + 1, …; the receiver adds all words up.
 * @throws Error when it got others */
export function verify(sum: number, messages: number): void {
  let want = 0;
  for (let k = 0; k < messages; k++) want = (want + k * WORDS + (WORDS * (WORDS - 1)) / 2) >>> 0;
  if (sum !== want) throw new Error(`the words of ${messages} messages add up to ${sum}, not ${want}`);
}

export interface EndOptions {
  /** Called for each message, inside its transaction. */
  readonly onMessage?: (lanes: Segment, word: number) => void;
  /** Runs before the loop begins; the node ends after it unless `stay`. */
  readonly open?: (end: End) => void | Promise<void>;
  readonly stay?: boolean;
}

export class End implements Logic {
  readonly deliver: Deliver;
  readonly core: Core;
  readonly #options: EndOptions;

  constructor(core: Core, options: EndOptions) {
    this.core = core;
    this.#options = options;
    this.deliver = (_sender, _type, _a, _b, lanes, word) => {
      options.onMessage?.(lanes, word);
      return HANDLED;
    };
  }

  /** One message in the open transaction: the words `k`, k + 1, …
   * @returns false when the lane is full */
  send(peer: number, k: number): boolean {
    const { bus, lanes } = this.core;
    const at = bus.outbox.claim(peer, TYPE, 0, 0, BYTES);
    if (at === FULL) return false;
    const words = lanes.i32;
    for (let w = 0; w < WORDS; w++) words[at + w] = k + w;
    bus.outbox.commitClaim();
    return true;
  }

  created(): void {}
  resumed(): void {}
  close(): void {}
  step(): number {
    return 0;
  }
  nextMs(): number {
    return Number.POSITIVE_INFINITY;
  }
  isWaiting(): boolean {
    return false;
  }
  async open(): Promise<void> {
    await this.#options.open?.(this);
    if (!this.#options.stay) this.core.stop();
  }
}

/** Run a node in this process until it ends. */
export async function runEnd(dir: string, name: string, id: number, options: EndOptions): Promise<void> {
  const log = createLog(name, line => process.stderr.write(line));
  const core = new Core({ dir, name, id, state: state({ unused: i32 }), log }, made => new End(made, options));
  process.on('SIGTERM', () => core.stop());
  await core.run();
}

/** The node index of a peer, once it has begun. */
export async function peerIndex({ core }: End, name: string): Promise<number> {
  const { directory } = core;
  for (;;) {
    directory.refresh();
    const found = directory.all().find(node => node.name === name);
    if (found) return found.index;
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
