/** The asker's side of requests over plain memory, with a clock that the test sets and lanes that are arrays. A kill is a
 * copy of the bytes, taken where the test wants: what `next` opens is what the next life finds. */
import { int, protocol, request, state } from '@lich/schema';
import { FULL, payloadCodec, typeOf } from '../bus/index.ts';
import { OwnMessages, ownFields } from '../runtime/own-messages.ts';
import type { Presence } from '../runtime/presence.ts';
import { type Answer, Requests } from '../runtime/requests.ts';
import { ASK } from '../runtime/runtime-timers.ts';
import { Sends } from '../runtime/sends.ts';
import { service } from '../runtime/service.ts';
import { ANSWER, ANSWER_WORDS, REFUSAL, tagOfProtocol } from '../runtime/system-messages.ts';
import { openStore, type Store, storePlan } from '../state/index.ts';
import { memorySegment } from './memory-segment.ts';

const State = state({ asked: int, told: int });
const BankProtocol = protocol({ charge: request({ n: int }, { left: int }) });
export const bank = { name: 'bank', protocol: BankProtocol };
const shop = service('shop', { state: State, protocol: protocol({}), on: {}, answers: { charged() {} } });
const plan = storePlan(State, { logWords: 1 << 13, heapBytes: 1 << 17, system: ownFields(shop as never) });
const replyCodec = payloadCodec(BankProtocol.byName.get('charge')!.reply!, { resolve: () => undefined });
const chargeType = typeOf(tagOfProtocol(BankProtocol), 0);

export interface Sent {
  readonly node: number;
  readonly type: number;
  readonly a: number;
  readonly b: number;
  readonly n: number;
}
/** What a waiter was told: 'ok <left>', or the code of the refusal. */
export type Outcome = string;

export class RequestWorld {
  readonly segment: ReturnType<typeof memorySegment>;
  readonly store: Store<any>;
  readonly own: OwnMessages;
  readonly requests: Requests;
  /** What committed transactions sent. */
  readonly sent: Sent[];
  now: number;
  full = false;
  presence: Presence = 'in';
  /** Creation of the servers' lanes. */
  met = 5;
  /** What the waiter does, in its transaction. */
  work: (n: number, outcome: Outcome) => void = () => {};
  readonly #lanes = memorySegment({ regions: [{ name: 'data', bytes: 4096 }], name: 'lanes' });
  #claimed: Omit<Sent, 'n'>[] = [];
  #open: Sent[] = [];

  constructor(o: {
    now: number;
    bytes?: Uint8Array;
    sent?: Sent[];
    full?: boolean;
    presence?: Presence;
    met?: number;
  }) {
    this.now = o.now;
    this.sent = o.sent ?? [];
    this.full = o.full ?? false;
    this.presence = o.presence ?? 'in';
    this.met = o.met ?? 5;
    this.segment = memorySegment({ regions: plan.regions, catalog: plan.catalog, ...(o.bytes && { bytes: o.bytes }) });
    this.store = openStore(this.segment, plan) as Store<any>;
    if (o.bytes !== undefined) this.store.recover();
    const { log } = this.store;
    const now = (): number => this.now;
    const at = this.#lanes.regions.get('data')!.offset / 4;
    const core = {
      store: this.store,
      lanes: this.#lanes,
      get now() {
        return now();
      },
      name: 'shop-1',
      life: { epoch: 1 },
      blame: { over: true, suspect: undefined },
      recording: { recorder: undefined },
      log: { info() {}, warn() {}, error() {} },
      directory: {
        byName: (name: string) => ({ name, index: Number(name.split('-')[1]) }),
        byIndex: (index: number) => ({ name: `bank-${index}`, index }),
      },
      bus: {
        inbox: { metId: () => this.met },
        streamOf: (node: number) => node,
        outbox: {
          claim: (node: number, type: number, a: number, b: number) => {
            if (this.full) return FULL;
            this.#claimed = [{ node, type, a, b }];
            return at;
          },
          commitClaim: () => void this.#open.push({ ...this.#claimed[0]!, n: this.#lanes.f64[at / 2]! }),
        },
      },
      beginHooks() {},
      dropHooks() {},
      acquit() {},
      transact: (fn: () => void) => this.transact(fn),
    } as never;
    const undo = (error: unknown): void => {
      // A test that fails in a handler is not a handler that throws.
      if ((error as Error).name === 'AssertionError') throw error;
      log.rollback();
      this.#open = [];
      log.begin();
    };
    this.own = OwnMessages.of({
      core,
      service: shop as never,
      tag: 1,
      codecs: [],
      context: {},
      limit: Number.POSITIVE_INFINITY,
      counts: { handled: 0, failed: 0, skipped: 0 },
      begun() {},
      undo,
    } as never)!;
    this.requests = new Requests({
      core,
      sends: new Sends(core),
      wheel: this.own.wheel,
      outages: this.own.outages,
      refuseFull: () => this.own.refuseFull(),
      presenceOf: () => this.presence,
      undo,
    });
    this.own.register(ASK, this.requests);
    this.requests.register(7, {
      answered: ({ a, b, c }, answer) => {
        if (b !== (a ^ 0xffff_ffff) >>> 0 || c !== 0xffff_fff0) throw new Error(`waiter ${a} came back as ${b}, ${c}`);
        this.store.state.told++;
        this.work(a, outcomeOf(answer));
      },
    });
    this.transact(() => this.own.bind());
  }

  /** One transaction, outside of handlers. What `fn` throws undoes it. */
  transact<T>(fn: () => T): T {
    const { log } = this.store;
    log.begin();
    this.#open = [];
    try {
      const result = fn();
      log.commit();
      this.sent.push(...this.#open);
      return result;
    } catch (error) {
      log.rollback();
      throw error;
    } finally {
      this.#open = [];
    }
  }

  /** In a transaction. @returns the handle */
  ask(n: number, withinMs: number | undefined, instance: number): number {
    this.store.state.asked++;
    const waiter = { kind: 7, a: n, b: (n ^ 0xffff_ffff) >>> 0, c: 0xffff_fff0 };
    return this.requests.ask(bank, 'charge', { n }, { ...(withinMs && { withinMs }), instance }, waiter);
  }

  /** One message. */
  deliver(from: number, a: number, b: number, reply: number | 'refused'): void {
    const at = this.#lanes.regions.get('data')!.offset / 4 + 512;
    if (reply === 'refused') this.#lanes.i32.fill(0, at, at + 4);
    else {
      this.#lanes.i32[at] = chargeType;
      replyCodec.write(this.#lanes, (at + ANSWER_WORDS) * 4, { left: reply });
    }
    const type = reply === 'refused' ? REFUSAL : ANSWER;
    this.transact(() => this.requests.deliver(from, type, a, b, this.#lanes, at, 4));
  }

  /** Handle all that is due, at this time. */
  run(now: number): void {
    this.now = now;
    while (this.own.step(now) > 0);
    const wrong = this.store.check();
    if (wrong.length > 0) throw new Error(JSON.stringify(wrong));
  }

  /** What the next life finds, `outMs` later. */
  next(outMs: number, bytes = this.segment.u8.slice(0)): RequestWorld {
    const { now, sent, full, presence, met } = this;
    const next = new RequestWorld({ now, bytes, sent, full, presence, met });
    if (outMs > 0) next.own.outage(now, now + outMs);
    next.now = now + outMs;
    return next;
  }
}

function outcomeOf(answer: Answer): Outcome {
  return answer.failed?.code ?? `ok ${answer.of(bank, 'charge').left}`;
}
