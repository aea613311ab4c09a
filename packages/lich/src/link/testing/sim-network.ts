/** A network for model hosts, with a clock of its own: connections come about and break, and what is on its way may be late,
 * lost, doubled or overtaken. All that happens is drawn from one seed. */
import { LinkError } from '../errors.ts';
import { FRAME_BYTES_MAX, HELLO_BYTES_MAX } from '../frames.ts';
import type { Connection } from '../transport.ts';
import type { ModelHost } from './model-host.ts';

/** Numbers from a seed: mulberry32. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 0 up to, not including, `below`; whole. */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000) * below);
  }

  chance(p: number): boolean {
    return this.below(1_000_000) < p * 1_000_000;
  }
}

/** How bad it is; all chances 0..1 a frame. */
export interface Weather {
  readonly loss: number;
  readonly doubled: number;
  /** Ms on the way, at most. */
  readonly delayMs: number;
  /** May frames of one connection overtake each other? */
  readonly reorder: boolean;
  /** A connection breaks, a ms. */
  readonly cuts: number;
}

export const CALM: Weather = { loss: 0, doubled: 0, delayMs: 1, reorder: false, cuts: 0 };

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** One end of a connection. */
class End implements Connection {
  maxFrameBytes = HELLO_BYTES_MAX;
  readonly mostFrameBytes = FRAME_BYTES_MAX;
  onFrame: (frame: Uint8Array) => void = () => {};
  onDrain: () => void = () => {};
  onClosed: (why: LinkError) => void = () => {};
  other!: End;
  open = true;
  /** When the last frame arrives: those that follow do not overtake it. */
  lastAtMs = 0;
  readonly #network: SimNetwork;
  readonly owner: ModelHost;
  readonly dialled: boolean;
  /** Life of the owner's link that has it. */
  readonly epoch: number;

  constructor(network: SimNetwork, owner: ModelHost, dialled: boolean) {
    this.#network = network;
    this.owner = owner;
    this.dialled = dialled;
    this.epoch = owner.epoch;
  }

  get host(): string {
    return this.other.owner.name;
  }

  /** Is whoever has this end still there? */
  get isMine(): boolean {
    return this.open && !this.owner.killed && this.owner.epoch === this.epoch;
  }

  send(frame: Uint8Array): boolean {
    if (this.isMine) this.#network.carry(this, frame);
    return true;
  }

  close(why: LinkError): void {
    this.#network.end(this, why);
  }
}

export class SimNetwork {
  nowMs = 0;
  weather: Weather = CALM;
  /** Frames that arrived. */
  arrived = 0;
  readonly dice: Dice;
  readonly hosts: ModelHost[];
  readonly #events: Event[] = [];
  #order = 0;
  readonly #connections = new Set<End>();

  constructor(dice: Dice, hosts: ModelHost[]) {
    this.dice = dice;
    this.hosts = hosts;
  }

  #later(delayMs: number, run: () => void): void {
    this.#events.push({ atMs: this.nowMs + delayMs, order: this.#order++, run });
  }

  carry(from: End, frame: Uint8Array): void {
    const { weather, dice } = this;
    const copies = 1 + (dice.chance(weather.doubled) ? 1 : 0);
    for (let k = 0; k < copies; k++) {
      if (dice.chance(weather.loss)) continue;
      let atMs = this.nowMs + dice.below(weather.delayMs + 1);
      if (!weather.reorder) atMs = from.lastAtMs = Math.max(from.lastAtMs, atMs);
      const to = from.other;
      this.#later(atMs - this.nowMs, () => {
        if (!to.isMine) return;
        this.arrived++;
        to.owner.nowMs = this.nowMs;
        if (frame.length > to.maxFrameBytes) throw new Error(`a frame of ${frame.length} bytes before it may come`);
        to.owner.run(() => to.onFrame(frame.slice()));
      });
    }
  }

  /** One side closes; the other learns of it when all that is on its way has come. */
  end(end: End, why: LinkError): void {
    if (!end.open) return;
    end.open = false;
    this.#connections.delete(end);
    this.#later(0, () => {
      if (end.owner.epoch === end.epoch) end.owner.run(() => end.onClosed(why));
    });
    const { other } = end;
    this.#later(Math.max(0, end.lastAtMs - this.nowMs) + 1, () =>
      this.end(other, new LinkError('LINK_CLOSED', 'the other side closed it')),
    );
  }

  /** Connect all pairs that have no connection. */
  #dial(): void {
    for (const a of this.hosts) {
      for (const b of this.hosts) {
        if (a.name >= b.name || a.killed || b.killed) continue;
        const has = [...this.#connections].some(end => end.dialled && end.owner === a && end.host === b.name);
        if (!has) this.#connect(a, b);
      }
    }
  }

  #connect(a: ModelHost, b: ModelHost): void {
    const near = new End(this, a, true);
    const far = new End(this, b, false);
    near.other = far;
    far.other = near;
    for (const end of [near, far]) {
      this.#connections.add(end);
      end.owner.nowMs = this.nowMs;
      end.owner.run(() => end.owner.link.connected(end));
    }
  }

  /** One ms passes: what is due arrives, connections break and come about, links turn.
   * @param ended told of each link that was killed in it */
  step(ended: (host: ModelHost) => void): void {
    this.nowMs++;
    const due = this.#events
      .filter(event => event.atMs <= this.nowMs)
      .sort((x, y) => x.atMs - y.atMs || x.order - y.order);
    for (const event of due) this.#events.splice(this.#events.indexOf(event), 1);
    for (const event of due) event.run();
    for (const end of this.#connections) {
      if (!end.isMine) this.#drop(end);
      else if (this.dice.chance(this.weather.cuts)) end.close(new LinkError('LINK_CLOSED', 'cut'));
    }
    if (this.nowMs % 10 === 0) this.#dial();
    for (const host of this.hosts) host.turn(this.nowMs);
    for (const host of this.hosts) if (host.killed) ended(host);
  }

  /** Whoever had it was killed: the kernel closes it. */
  #drop(end: End): void {
    end.open = false;
    this.#connections.delete(end);
    this.#later(1, () => this.end(end.other, new LinkError('LINK_CLOSED', 'the other side was killed')));
  }
}
