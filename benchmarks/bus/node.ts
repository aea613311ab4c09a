/** A node with nothing but its end of the bus. */
import { i32, state } from '@lich/schema';
import { type Deliver, FULL, HANDLED, typeOf } from 'lich/bus';
import { Core, createLog, type Logic } from 'lich/runtime';
import type { Segment } from 'lich/shm';

const TYPE = typeOf(1, 0);

export interface OtherOursInput {
  readonly dir: string;
  readonly role: 'send' | 'answer';
  readonly messages: number;
  readonly bytes: number;
}

export interface NodeOptions {
  readonly onMessage: (lanes: Segment, word: number) => void;
  /** Runs before the loop begins; the node ends after it unless `stay`. */
  readonly open: (node: BusNode) => Promise<void>;
  readonly stay?: boolean;
}

export class BusNode implements Logic {
  readonly core: Core;
  readonly deliver: Deliver;
  readonly #options: NodeOptions;

  constructor(core: Core, options: NodeOptions) {
    this.core = core;
    this.#options = options;
    this.deliver = (_sender, _type, _a, _b, lanes, word) => {
      options.onMessage(lanes, word);
      return HANDLED;
    };
  }

  /** One message in the open transaction, all of its words written. @returns false when the lane is full */
  send(peer: number, n: number, bytes: number): boolean {
    const { bus, lanes } = this.core;
    const at = bus.outbox.claim(peer, TYPE, 0, 0, bytes);
    if (at === FULL) return false;
    lanes.i32.fill(n, at, at + bytes / 4);
    bus.outbox.commitClaim();
    return true;
  }

  /** Of a node that may not have begun yet. */
  async indexOf(name: string): Promise<number> {
    const { directory } = this.core;
    for (;;) {
      directory.refresh();
      const found = directory.all().find(node => node.name === name);
      if (found !== undefined) return found.index;
      await new Promise(resolve => setTimeout(resolve, 5));
    }
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
    await this.#options.open(this);
    if (!this.#options.stay) this.core.stop();
  }
}

/** Run a node in this process until it ends. */
export async function runNode(dir: string, name: 'ours' | 'other', options: NodeOptions): Promise<void> {
  const log = createLog(name, line => process.stderr.write(line));
  const id = name === 'ours' ? 1 : 2;
  const core = new Core({ dir, name, id, state: state({ unused: i32 }), log }, made => new BusNode(made, options));
  process.on('SIGTERM', () => core.stop());
  await core.run();
}
