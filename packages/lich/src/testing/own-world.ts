/** Own messages over plain memory, with a clock that the test sets. A kill is a copy of the bytes, taken inside a handler:
 * what `next` opens is what the next life finds. */
import { int, own, protocol, type Protocol, state, u8 } from '@lich/schema';
import { payloadCodec } from '../bus/index.ts';
import { OwnMessages, ownFields } from '../runtime/own-messages.ts';
import { service, type SkipReason } from '../runtime/service.ts';
import { openStore, type Store, storePlan } from '../state/index.ts';
import { memorySegment } from './memory-segment.ts';

const State = state({ sum: int, done: int, handle: int });
const P = protocol({
  plain: own({ n: int }),
  careful: own({ n: int }, { onCrash: 'skip' }),
  dropped: own({ n: int }, { onOutage: 'skip' }),
  paused: own({ n: int }, { onOutage: 'shift' }),
  both: own({ n: int }, { onCrash: 'skip', onOutage: 'skip' }),
  big: own({ n: int, a: int, b: int, c: int, d: int, level: u8 }),
});
export type Name = 'plain' | 'careful' | 'dropped' | 'paused' | 'both';

type Work = (n: number, world: World, name: string) => void;
export const nothing: Work = () => {};

export class World {
  readonly segment: ReturnType<typeof memorySegment>;
  readonly store: Store<any>;
  readonly own: OwnMessages;
  readonly said: string[] = [];
  readonly counts = { handled: 0, failed: 0, skipped: 0 };
  now: number;
  /** What handlers do. */
  work: Work;
  skipped: (n: number, why: SkipReason) => void = () => {};

  constructor(
    o: { now?: number; bytes?: Uint8Array; work?: Work; limit?: number; protocol?: Protocol; dir?: string } = {},
  ) {
    const messages = (o.protocol ?? P).messages;
    const mayBeSkipped = messages.filter(({ onCrash, onOutage }) => onCrash === 'skip' || onOutage === 'skip');
    this.now = o.now ?? 1_000_000;
    this.work = o.work ?? nothing;
    const handle =
      (name: string) =>
      (_: unknown, { n }: { n: number }) => {
        this.said.push(`${name} ${n}`);
        this.store.state.sum += n;
        this.work(n, this, name);
      };
    const tell =
      (name: string) =>
      (_: unknown, { n }: { n: number }, why: SkipReason) => {
        this.said.push(`${name} ${n} skipped: ${why}`);
        this.store.state.done++;
        this.skipped(n, why);
      };
    const scene = service('scene', {
      state: State,
      protocol: o.protocol ?? P,
      on: Object.fromEntries(messages.map(({ name }) => [name, handle(name)])) as never,
      onSkipped: Object.fromEntries(mayBeSkipped.map(({ name }) => [name, tell(name)])) as never,
    });
    const plan = storePlan(State, { logWords: 1 << 15, heapBytes: 1 << 20, system: ownFields(scene as never) });
    this.segment = memorySegment({ regions: plan.regions, catalog: plan.catalog, ...(o.bytes && { bytes: o.bytes }) });
    this.store = openStore(this.segment, plan) as Store<any>;
    if (o.bytes !== undefined) this.store.recover();
    const { log } = this.store;
    const now = (): number => this.now;
    const core = {
      store: this.store,
      get now() {
        return now();
      },
      name: 'scene-1',
      dir: o.dir,
      life: { epoch: 1 },
      blame: { over: true, suspect: undefined },
      log: { info() {}, warn() {}, error() {} },
      beginHooks() {},
      dropHooks() {},
      recording: {},
      self: { index: 0 },
      acquit() {},
      transact(fn: () => void) {
        log.begin();
        fn();
        log.commit();
      },
    };
    this.own = OwnMessages.of({
      core: core as never,
      service: scene as never,
      tag: 1,
      codecs: messages.map(({ layout, name }) => payloadCodec(layout, { resolve: () => undefined }, name)),
      context: {},
      limit: o.limit ?? Number.POSITIVE_INFINITY,
      counts: this.counts,
      begun() {},
      undo: error => {
        // A test that fails in a handler is not a handler that throws.
        if ((error as Error).name === 'AssertionError') throw error;
        log.rollback();
        this.counts.failed++;
        log.begin();
      },
    })!;
    this.transact(own => own.bind());
  }

  /** One transaction, outside of handlers. */
  transact<T>(fn: (own: OwnMessages) => T): T {
    this.store.log.begin();
    const result = fn(this.own);
    this.store.log.commit();
    return result;
  }

  /** Handle all that is due, at this time. */
  run(now = this.now): string[] {
    this.now = now;
    this.said.length = 0;
    while (this.own.step(now) > 0);
    const wrong = this.store.check();
    if (wrong.length > 0) throw new Error(JSON.stringify(wrong));
    return [...this.said];
  }

  /** What the next life finds: as this life stands now, or as these bytes say. */
  next(o: { now?: number; bytes?: Uint8Array } = {}): World {
    const now = o.now ?? this.now;
    const next = new World({ now: this.now, bytes: o.bytes ?? this.segment.u8.slice(0), work: this.work });
    if (now > this.now) next.own.outage(this.now, now);
    next.now = now;
    return next;
  }
}
