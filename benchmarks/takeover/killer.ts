/** The killer's node: it sends probes to a world of records, as many as may be on their way, and hears when each was handled. */
import { state, u32 } from '@lich/schema';
import { FULL, HANDLED, idOf, nodeId, payloadCodec, typeOf } from 'lich/bus';
import { Core, createLog, type Logic, tagOfProtocol } from 'lich/runtime';
import { KillerProtocol, WorldProtocol } from './world.ts';

/** Messages on their way at most while a load is kept up. */
const WINDOW = 256;
/** Times of one life that are kept. */
const KEPT = 1_000_000;

interface Handled {
  readonly n: number;
  readonly atNs: number;
  readonly epoch: number;
  readonly records: number;
}

const door = { resolve: () => undefined };
const probe = payloadCodec(WorldProtocol.byName.get('probe')!.layout, door);
const handled = payloadCodec(KillerProtocol.byName.get('handled')!.layout, door);
const PROBE = typeOf(tagOfProtocol(WorldProtocol), WorldProtocol.byName.get('probe')!.id);
const HANDLED_ID = KillerProtocol.byName.get('handled')!.id;

export class Killer {
  readonly core: Core;
  #asked: { n: number; tell: (answer: Handled) => void } | undefined;
  #n = 0;
  #loads = false;
  #waiting = 0;
  /** Times of the messages handled by the present owner and by the one before, ns. */
  #epoch = 0;
  times: number[] = [];
  timesBefore: number[] = [];
  /** The longest time between two messages that were handled one after the other, over lives too, ns. */
  longestNs = 0;
  #lastNs = 0;
  #reached: { count: number; tell: () => void } | undefined;

  constructor(dir: string) {
    const log = createLog('killer', line => process.stderr.write(line));
    const logic: Logic = {
      deliver: (_sender, type, _a, _b, lanes, word, words) => {
        if (idOf(type) === HANDLED_ID) this.#hear(handled.read(lanes, word * 4, words * 4) as unknown as Handled);
        return HANDLED;
      },
      created() {},
      resumed() {},
      step: () => this.#keepUp(),
      nextMs: () => Number.POSITIVE_INFINITY,
      isWaiting: () => false,
      open() {},
      close() {},
    };
    this.core = new Core(
      { dir, name: 'killer-1', id: nodeId(1, 1, 200, 1), state: state({ unused: u32 }), log },
      () => logic,
    );
  }

  /** Begin, and go on until `core.stop()`.
   * @returns once it serves, with the promise of its end */
  async start(): Promise<{ ended: Promise<void> }> {
    let serves = (): void => {};
    const serving = new Promise<void>(resolve => (serves = resolve));
    const ended = this.core.run(() => serves());
    await serving;
    return { ended };
  }

  #hear(answer: Handled): void {
    this.#waiting--;
    if (answer.epoch !== this.#epoch) {
      this.#epoch = answer.epoch;
      this.timesBefore = this.times;
      this.times = [];
    }
    if (this.#lastNs > 0) this.longestNs = Math.max(this.longestNs, answer.atNs - this.#lastNs);
    this.#lastNs = answer.atNs;
    if (this.times.length < KEPT) this.times.push(answer.atNs);
    if (this.#reached !== undefined && this.times.length >= this.#reached.count) {
      this.#reached.tell();
      this.#reached = undefined;
    }
    if (answer.n === this.#asked?.n) this.#asked.tell(answer);
  }

  /** Send as many as may be on their way. @returns how many were sent */
  #keepUp(): number {
    if (!this.#loads) return 0;
    const count = WINDOW - this.#waiting;
    for (let k = 0; k < count; k++) this.#send(++this.#n);
    return Math.max(0, count);
  }

  load(on: boolean): void {
    this.#loads = on;
    this.core.kick();
  }

  /** Wait until the present owner, or the next one, has handled so many. */
  handled(count: number): Promise<void> {
    this.times = [];
    return this.more(count);
  }

  /** The same, counted from the life's beginning. */
  more(count: number): Promise<void> {
    return new Promise(tell => (this.#reached = { count, tell }));
  }

  ask(): Promise<Handled> {
    const n = ++this.#n;
    const answer = new Promise<Handled>(tell => (this.#asked = { n, tell }));
    this.#send(n);
    this.core.bus.publish();
    return answer;
  }

  #send(n: number): void {
    const { core } = this;
    const world = core.directory.byName('world-1').index;
    this.#waiting++;
    core.transact(() => {
      const at = core.bus.outbox.claim(world, PROBE, 0, 0, probe.bytes);
      if (at === FULL) throw new Error('the lane to the world is full');
      probe.write(core.lanes, at * 4, { n });
      core.bus.outbox.commitClaim();
    });
  }
}
