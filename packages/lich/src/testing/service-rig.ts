/** Services as they run, over real segments, and peers that say whatever a test wants and write down what they hear; all
 * in one process. */
import { state, u32 } from '@lich/schema';
import { DEFAULT_LIMITS, Directory, FULL, HANDLED, HOLD } from '../bus/index.ts';
import { Core, coreLimits, type Log, type Logic, type Service, serviceLayout } from '../runtime/index.ts';
import { ServiceLogic } from '../runtime/service-logic.ts';
import type { NodeLimits } from '../runtime/topology.ts';

export interface Line {
  readonly level: string;
  readonly message: string;
  readonly data?: any;
}

function logInto(lines: Line[]): Log {
  const at = (level: string) => (message: string, data?: Readonly<Record<string, unknown>>) =>
    void lines.push({ level, message, ...(data && { data }) });
  return { info: at('info'), warn: at('warn'), error: at('error') };
}

export async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise(resolve => setImmediate(resolve));
}

export interface Running {
  readonly core: Core;
  readonly logic: ServiceLogic;
  readonly state: any;
  readonly lines: Line[];
  /** End in order. */
  stop(): Promise<void>;
}

/** @returns when it serves */
export async function startService(
  service: Service<any, any>,
  o: { dir: string; name?: string; config?: object; limits?: NodeLimits },
): Promise<Running> {
  const lines: Line[] = [];
  const name = o.name ?? `${service.name}-1`;
  const limits = o.limits ?? {};
  let logic!: ServiceLogic;
  const core = new Core(
    {
      dir: o.dir,
      name,
      id: idOf(o.dir, name),
      log: logInto(lines),
      state: service.state,
      ...serviceLayout(service, DEFAULT_LIMITS.nodes),
      ...coreLimits(limits),
    },
    of => (logic = new ServiceLogic(of, service, (o.config ?? service.spec.config ?? {}) as never, limits)),
  );
  const { promise, stop } = run(core);
  try {
    await promise;
  } catch (error) {
    // As its process would end.
    if (core.lock.held) core.lock.release();
    throw error;
  }
  return { core, logic, state: core.store.state, lines, stop };
}

function run(core: Core): { promise: Promise<void>; stop: () => Promise<void> } {
  let ended: Promise<void> = Promise.resolve();
  const promise = new Promise<void>((resolve, reject) => {
    ended = core.run(role => role === 'owner' && resolve());
    ended.catch(reject);
  });
  return {
    promise,
    stop: async () => {
      core.stop();
      await ended;
    },
  };
}

/** One that was entered by others keeps its id. */
function idOf(dir: string, name: string): number {
  const known = new Directory(dir, DEFAULT_LIMITS.nodes).all().find(node => node.name === name);
  if (known !== undefined) return known.id;
  return [...name].reduce((sum, c) => (Math.imul(sum, 31) + c.charCodeAt(0)) >>> 0, 7);
}

export interface Heard {
  readonly sender: number;
  readonly type: number;
  readonly a: number;
  readonly b: number;
  readonly bytes: Uint8Array;
}

/** A node that has no handlers. */
export class Peer {
  readonly heard: Heard[] = [];
  readonly lines: Line[] = [];
  /** Takes nothing while this is so. */
  paused = false;
  readonly core: Core;
  #stop: () => Promise<void> = async () => {};

  private constructor(
    dir: string,
    name: string,
    limits: { dataBytes?: number; maxLaneBytes?: number },
    talksTo: readonly string[] | undefined,
  ) {
    const logic: Logic = {
      deliver: (sender, type, a, b, lanes, word, words) => {
        if (this.paused) return HOLD;
        this.heard.push({ sender, type, a, b, bytes: lanes.u8.slice(word * 4, (word + words) * 4) });
        return HANDLED;
      },
      created() {},
      resumed() {},
      step: () => 0,
      nextMs: () => Number.POSITIVE_INFINITY,
      isWaiting: () => false,
      open() {},
      close() {},
    };
    this.core = new Core(
      {
        dir,
        name,
        id: idOf(dir, name),
        state: state({ n: u32 }),
        log: logInto(this.lines),
        logBytes: 65_536,
        bus: limits,
        talksTo,
      },
      () => logic,
    );
  }

  static async start(
    dir: string,
    name: string,
    limits: { dataBytes?: number; maxLaneBytes?: number } = {},
    talksTo?: readonly string[],
  ): Promise<Peer> {
    const peer = new Peer(dir, name, limits, talksTo);
    const { promise, stop } = run(peer.core);
    await promise;
    peer.#stop = stop;
    return peer;
  }

  get index(): number {
    return this.core.self.index;
  }

  /** One transaction with one message.
   * @param to node index, for data; or the number of a stream */
  say(to: number, type: number, a: number, b: number, bytes: Uint8Array = new Uint8Array(0)): void {
    this.core.transact(() => {
      const at = this.core.bus.outbox.claim(to, type, a, b, bytes.length);
      if (at === FULL) throw new Error('the lane is full');
      this.core.lanes.u8.set(bytes, at * 4);
      this.core.bus.outbox.commitClaim();
    });
  }

  async stop(): Promise<void> {
    await this.#stop();
  }
}

/** End what a test has started, the last first. @throws Error where a state is not sound */
export async function stopAll(running: (Running | Peer)[]): Promise<void> {
  for (const each of running.splice(0).reverse()) {
    const wrong = each instanceof Peer ? [] : each.core.store.check();
    await each.stop();
    if (wrong.length > 0) throw new Error(JSON.stringify(wrong));
  }
}
