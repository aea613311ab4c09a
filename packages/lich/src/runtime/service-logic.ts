/** Runs a user's service: messages to handlers, own messages when they are due, ticks at a fixed step, deltas to players.
 * Each of these is one transaction; a throw undoes it, is answered, and the loop goes on. */
import {
  type Codec,
  checkProtocol,
  CloseCode,
  type MessageSpec,
  OutKind,
  payloadCodecOf,
  type Protocol,
  Writer,
  writeEpoch,
} from '@lich/schema';
import { HANDLED, HOLD, type PayloadCodec, payloadCodec, rootWord, tagOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import type { Pool } from '../state/index.ts';
import { CUR, REQUEUED, TICK } from './blame.ts';
import type { Config } from './config.ts';
import type { Core, Logic } from './core.ts';
import { RuntimeError } from './errors.ts';
import { type ContextHost, ServiceContext } from './context.ts';
import { FromServices } from './from-services.ts';
import type { HandlerAskOptions } from './handler-asks.ts';
import { ServiceFlows } from './flows/of-service.ts';
import { errorData, type Log } from './log.ts';
import { Door } from './door.ts';
import { handleAgain } from './handle-again.ts';
import { Orders } from './orders.ts';
import { MustWait, Outgoing } from './outgoing.ts';
import { OwnMessages } from './own-messages.ts';
import { ILL_FORMED, type PlayerRecord, Players } from './players.ts';
import { refusePromise } from './promise.ts';
import { isRun, type MessageEntry } from './quarantine.ts';
import { type Random, StateRandom } from './random.ts';
import { resolveRefs } from './refs.ts';
import type { Where } from './sends.ts';
import { ServiceBus } from './service-bus.ts';
import { setMessageAside } from './set-aside.ts';
import { Ticker } from './ticker.ts';
import type { AnySpec, Life, Service, Target } from './service.ts';
import { Suspects } from './suspects.ts';
import { SyncScan } from './sync-scan.ts';
import { SYSTEM_TAG, tagOfProtocol } from './system-messages.ts';
import type { Report } from './report/report.ts';
import type { NodeLimits } from './topology.ts';

/** Records that one delta tells of at most: what is more goes with the next tick, so that no transaction grows with what
 * changed while nobody could be shown anything. */
const DELTA_OPS = 8_192;

/** Without ticks, players are shown what changed so often. */
const SHOW_HZ = 20;

type Payload = Readonly<Record<string, unknown>>;

export class ServiceLogic implements Logic, ContextHost {
  readonly deliver = (
    sender: number,
    type: number,
    a: number,
    b: number,
    lanes: Segment,
    word: number,
    words: number,
  ): number => this.#deliver(sender, type, a, b, lanes, word, words);
  readonly #core: Core;
  readonly #spec: AnySpec;
  readonly #service: Service;
  readonly #config: Config;
  readonly #tag: number;
  readonly #door: Door;
  /** Undefined in a service whose protocol has none. */
  readonly #own: OwnMessages | undefined;
  readonly #random: StateRandom;
  readonly #ticker: Ticker | undefined;
  /** When players are shown what changed, in a service without ticks. */
  readonly #shows: Ticker | undefined;
  readonly #writer = new Writer(65_536);
  readonly #outgoing: Outgoing;
  readonly #scan: SyncScan | undefined;
  readonly #players: Players | undefined;
  readonly #codecs: (PayloadCodec | undefined)[];
  readonly #eventCodecs: (Codec | undefined)[];
  readonly #bus: ServiceBus;
  readonly #fromServices: FromServices;
  readonly #suspects: Suspects;
  readonly #orders: Orders;
  readonly #flows: ServiceFlows;
  readonly #tickWord: number;
  readonly #syncedWord: number;
  readonly #context: ServiceContext;
  /** Records in one delta; less once that was too much. */
  #mostOps = DELTA_OPS;
  /** Since the process began, for `figures`. */
  readonly counts = {
    handled: 0,
    failed: 0,
    skipped: 0,
    ignored: 0,
    unknown: 0,
    illFormed: 0,
    refused: 0,
    ticks: 0,
    skippedTicks: 0,
  };

  constructor(core: Core, service: Service, config: Config, limits: Pick<NodeLimits, 'timers' | 'flows'> = {}) {
    this.#core = core;
    this.#flows = new ServiceFlows(service);
    service = this.#flows.service;
    this.#service = service;
    this.#spec = service.spec;
    this.#config = config;
    this.#tag = tagOfProtocol(service.protocol);
    checkProtocol(service.protocol, service.state);
    const { store, bus } = core;
    const { i32 } = store.segment;
    const rootOffset = store.segment.regions.get('root')!.offset;
    const word = (name: string): number => rootWord(store.layouts.root, rootOffset, name);
    this.#tickWord = word('$tick');
    this.#syncedWord = word('$synced');
    this.#random = new StateRandom(i32, store.log, word('$random'));
    const words = { sessions: word('$sessions'), stale: word('$stale') };
    this.#outgoing = new Outgoing(bus, core.lanes, store.log, i32, words, core.limits.nodes);
    store.onRollback(() => {
      this.#outgoing.reload();
      this.#random.rolledBack();
    });
    const door = {
      resolve: (pool: string, slot: number, generation: number) => store.pools.get(pool)?.resolve(slot, generation),
    };
    this.#codecs = service.protocol.messages.map(message =>
      message.role === 'event' || message.role === 'topic'
        ? undefined
        : payloadCodec(message.layout, door, message.name),
    );
    this.#eventCodecs = service.protocol.messages.map(message =>
      message.role === 'event' ? payloadCodecOf(message) : undefined,
    );
    if (this.#spec.tickHz !== undefined) this.#ticker = new Ticker(this.#spec.tickHz, this.#spec.overrun ?? 'skip');
    else if (this.#spec.me !== undefined) this.#shows = new Ticker(SHOW_HZ, 'skip');
    this.#suspects = new Suspects(core);
    this.#orders = new Orders(core, this.#suspects, entry => this.handleAgain(entry), this.#flows.order);
    isRun(core, service, config);
    this.#context = new ServiceContext(this);
    this.#own = OwnMessages.of({
      core,
      service,
      tag: this.#tag,
      codecs: this.#codecs,
      context: this.#context,
      limit: limits.timers ?? Number.POSITIVE_INFINITY,
      counts: this.counts,
      begun: () => this.#random.restart(),
      undo: (error, name) => this.#undo(error, name),
    });
    this.#bus = new ServiceBus(service, {
      core,
      context: this.#context,
      counts: this.counts,
      undo: (error, name) => this.#undo(error, name),
      refuse: (sender, type, a, b, why) => this.#fromServices.refuse(sender, type, a, b, why),
    });
    this.#fromServices = new FromServices({
      core,
      service,
      tag: this.#tag,
      codecs: this.#codecs,
      context: this.#context,
      sends: this.#bus.sends,
      former: this.#bus.former,
      outgoing: this.#outgoing,
      own: this.#own,
      handlerOf: ({ name }) => this.#spec.on[name]!,
      counts: this.counts,
      undo: (error, name) => this.#undo(error, name),
    });
    this.#door = new Door({
      core,
      service,
      former: this.#bus.former,
      askedOf: (sender, a, b) => this.#fromServices.requests?.askedOf(sender, a, b),
      heardAt: place => this.#bus.hearing.heardAt(place),
    });
    if (this.#spec.me !== undefined) {
      this.#scan = new SyncScan(service.state, store, this.#writer);
      this.#players = new Players({
        core,
        spec: this.#spec,
        pool: store.pools.get(this.#spec.me)! as Pool<object>,
        outgoing: this.#outgoing,
        scan: this.#scan,
        writer: this.#writer,
        context: this.#context,
        withMe: (me, fn) => this.#withMe(me, fn),
        show: () => this.#show(),
        resolveRefs: (layout, payload) => resolveRefs(layout, payload, door),
        tick: () => this.tick,
        count: what => void this.counts[what]++,
      });
    }
    this.#flows.begin({
      core,
      config,
      own: this.#own,
      sends: this.#bus.sends,
      from: this.#fromServices,
      players: this.#players,
      pool: this.#spec.me === undefined ? undefined : (store.pools.get(this.#spec.me)! as Pool<object>),
      context: this.#context,
      withMe: (me, fn) => this.#withMe(me, fn),
      random: this.#random,
      limit: limits.flows,
    });
  }

  readonly #others: Pick<Logic, 'deliver'> = { deliver: (...message) => this.#take(...message) };
  readonly mirror = (report: Report): void => {
    this.#flows.report(report);
    this.#bus.report(report);
  };

  // What the context shows.

  get core(): Core {
    return this.#core;
  }
  get state(): unknown {
    return this.#core.store.state;
  }
  get now(): number {
    return this.#core.now;
  }
  get life(): Life {
    return this.#core.life;
  }
  get log(): Log {
    return this.#core.log;
  }
  get config(): Config {
    return this.#config;
  }
  get random(): Random {
    return this.#random;
  }
  get tick(): number {
    return this.#core.store.segment.f64[this.#tickWord >> 1];
  }

  // Life.

  created(): void {
    const seed = crypto.getRandomValues(new Int32Array(2));
    const { log } = this.#core.store;
    const at = this.#randomWord();
    log.write(at, seed[0]!);
    log.write(at + 1, seed[1]!);
    this.#outgoing.reload();
    this.#bus.begin();
    this.#own?.bind();
    this.#random.restart();
    refusePromise('start', this.#spec.start?.(this.#context));
  }

  #randomWord(): number {
    const { segment, layouts } = this.#core.store;
    return rootWord(layouts.root, segment.regions.get('root')!.offset, '$random');
  }

  resumed(): void {
    const { life } = this.#core;
    this.#outgoing.reload();
    this.#suspects.begin(life.reason);
    this.#core.transact(() => {
      this.#bus.begin();
      this.#own?.bind();
      this.#flows.resumed();
    });
    // In the first turns after this one, between messages, and at first use.
    this.#core.store.beginLife(life.reason, (error, pool, slot) =>
      this.#core.log.warn(
        `onResume of ${pool}[${slot}] threw and is undone; the record is used as it is`,
        errorData(error),
      ),
    );
    if (life.reason === 'restore') this.#players?.endAll();
    this.#core.transact(() => {
      this.#random.restart();
      this.#writer.reset();
      this.#writer.u8(OutKind.EPOCH);
      writeEpoch(this.#writer, life.epoch, life.reason);
      this.#outgoing.toEverybody(this.#writer.view());
      refusePromise('resumed', this.#spec.resumed?.(this.#context));
    });
  }

  rehearse(): void {
    if (this.#spec.tick !== undefined) this.#tick();
    this.#showPlayers();
  }

  open(): void {
    this.#ticker?.start();
    this.#shows?.start();
  }

  close(): void {
    this.#flows.close();
  }

  isWaiting(code: number, pos: number, more: number): boolean {
    if (code === REQUEUED) return this.#orders.isWaiting(pos >>> 0);
    return this.#own?.isWaiting(code, pos, more) ?? false;
  }

  outage(fromMs: number, toMs: number): void {
    this.#own?.outage(fromMs, toMs);
  }

  // Messages.

  #deliver(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): number {
    const core = this.#core;
    let why: string | undefined;
    if (tagOf(type) !== this.#tag && this.#door.open(sender, type, a, b, lanes, word, words))
      ({ type, a, lanes, word, words, why } = this.#door);
    core.beginHooks();
    this.#random.restart();
    const { blame, bus } = core;
    const { stream } = bus.inbox;
    const isSuspect = !blame.over && blame.isSuspect(stream + 1, bus.inbox.headOf(stream));
    const blamed = isSuspect ? blame.verdict(performance.now()) : 'run';
    if (blamed === 'wait') return HOLD;
    let verdict = HANDLED;
    // What is refused for its version is kept as what that leaves: a replay has no other versions.
    if (blamed === 'run' && why === undefined) core.recording.recorder?.message(stream, type, a, b, lanes, word, words);
    try {
      if (why !== undefined) this.#fromServices.refuse(sender, type, a, b, 'version', why);
      else if (blamed === 'set aside') verdict = this.#setAside(sender, type, a, b, lanes, word, words);
      else verdict = this.#take(sender, type, a, b, lanes, word, words);
    } catch (error) {
      // What the runtime itself cannot do for a message must not end the process: it waits where a lane is full, and is
      // given up, with a line in the log, where anything else is wrong.
      if (error instanceof MustWait) {
        core.dropHooks();
        core.recording.recorder?.drop();
        return HOLD;
      }
      this.#undo(error, `of the runtime (type ${type >>> 0} from node ${sender})`);
    }
    if (isSuspect && verdict === HANDLED) core.acquit();
    return verdict;
  }

  #take(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): number {
    if (tagOf(type) !== SYSTEM_TAG) return this.#fromServices.deliver(sender, type, a, b, lanes, word, words);
    const verdict =
      this.#players?.deliver(sender, type, a, b, lanes, word, words) ??
      this.#bus.deliver(sender, type, a, b, lanes, word, words) ??
      this.#fromServices.deliver(sender, type, a, b, lanes, word, words);
    return verdict === ILL_FORMED ? this.#fromServices.refuse(sender, type, a, b, 'illFormed') : verdict;
  }

  /** The open transaction is undone; a new one is open for what has to happen all the same. */
  #undo(error: unknown, name: string): void {
    const { log } = this.#core.store;
    log.rollback();
    this.#core.dropHooks();
    this.counts.failed++;
    this.#core.log.warn(`handler ${name} threw and is undone`, errorData(error));
    log.begin();
  }

  #setAside(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): number {
    const { me } = this.#spec;
    setMessageAside(this.#core, this.#players, me, this.#fromServices, sender, type, a, b, lanes, word, words);
    return HANDLED;
  }

  #withMe(me: object | undefined, fn: () => unknown): unknown {
    const context = this.#context;
    const before = context.me;
    context.me = me;
    try {
      return fn();
    } finally {
      context.me = before;
    }
  }

  /** A message of the quarantine. In a transaction. */
  handleAgain(entry: MessageEntry): void {
    this.#random.restart();
    handleAgain(this.#core, this.#service, this.#codecs, this.#context, this.#players, this.#others, entry);
  }

  // Own messages and ticks.

  step(nowMs: number): number {
    if (this.#suspects.busy) this.#suspects.step(performance.now());
    this.#orders.step(nowMs);
    const done = this.#bus.step(nowMs) + (this.#own?.step(nowMs) ?? 0);
    const steps = this.#ticker?.due() ?? 0;
    for (let k = 0; k < steps; k++) this.#tick();
    if (this.#ticker) this.counts.skippedTicks = this.#ticker.skipped;
    if (steps > 0 || (this.#shows?.due() ?? 0) > 0) this.#showPlayers();
    const { store } = this.#core;
    if (!store.resuming) return done + steps;
    this.#random.restart();
    return done + steps + store.resumeSome();
  }

  nextMs(): number {
    if (this.#core.store.resuming) return this.#core.now;
    return Math.min(
      this.#own?.nextMs() ?? Number.POSITIVE_INFINITY,
      this.#bus.nextMs(),
      this.#inMs(this.#ticker),
      this.#outgoing.anybody ? this.#inMs(this.#shows) : Number.POSITIVE_INFINITY,
    );
  }

  #inMs(ticker: Ticker | undefined): number {
    return ticker === undefined ? Number.POSITIVE_INFINITY : this.#core.now + ticker.inMs();
  }

  get protocol(): Protocol {
    return this.#service.protocol;
  }
  get bus(): ServiceBus {
    return this.#bus;
  }

  // What a recording says is done again: one input, over the state before it.

  /** `bind`: the state is another one than this process knows, and so may be its messages. */
  again(what: 'bind' | 'tick' | 'own' | 'show', mostOps = 0): boolean {
    if (what === 'tick') this.#tick();
    else if (what === 'own') return this.#own?.again() ?? false;
    else if (what === 'show') {
      this.#mostOps = mostOps;
      this.#showPlayers();
    } else {
      this.#outgoing.reload();
      this.#bus.topics.reload();
      this.#random.restart();
      this.#own?.bind();
    }
    return true;
  }

  #tick(): void {
    const core = this.#core;
    const { log, segment } = core.store;
    const S = segment.i32;
    const { visits } = core.store;
    S[CUR] = (TICK << 8) | (S[CUR] & 0xff);
    core.recording.recorder?.tick();
    log.begin();
    core.beginHooks();
    this.#random.restart();
    visits.walks = true;
    try {
      log.writeF64(this.#tickWord, this.tick + 1);
      refusePromise('tick', this.#spec.tick?.(this.#context));
      log.mustHaveRoom(0);
    } catch (error) {
      this.#undo(error, 'tick');
      log.writeF64(this.#tickWord, this.tick + 1);
    }
    visits.walks = false;
    visits.clear();
    log.commit();
    S[CUR] = S[CUR] & 0xff;
    this.counts.ticks++;
  }

  /** Send what the commits since the last time changed. */
  #showPlayers(): void {
    if (this.#scan === undefined) return;
    const core = this.#core;
    const { log } = core.store;
    core.recording.recorder?.show(this.#mostOps);
    const line = log.nextStamp();
    try {
      core.transact(() => {
        if (this.#outgoing.anyStale) this.#outgoing.catchUp(CloseCode.OUTPUT_LOST);
        this.#show(this.#mostOps);
        if (this.#scan!.isWhole) log.writeF64(this.#syncedWord, line);
      });
    } catch (error) {
      // More than fits the log, or a lane: the rest goes with the next ticks.
      this.#mostOps = Math.max(1, this.#mostOps >> 2);
      core.recording.recorder?.drop();
      core.log.warn('players are shown what changed in smaller parts', { mostOps: this.#mostOps, ...errorData(error) });
    }
  }

  /** Tell everybody what changed since the last time, in the open transaction. What is told stays told: the next delta
   * looks at the same records and finds them as shown. */
  #show(most = Number.POSITIVE_INFINITY): void {
    const { life, store } = this.#core;
    const ops = this.#scan!.delta(store.segment.f64[this.#syncedWord >> 1], life.epoch, this.tick, most);
    if (ops > 0) this.#outgoing.toEverybody(this.#writer.view());
  }

  // What handlers send.

  publish(name: string, payload: object): boolean {
    const topic = this.#service.protocol.byName.get(name);
    if (topic?.role === 'topic') return this.#bus.publish(topic, payload);
    const message = this.#message(name, 'event');
    if (this.#players === undefined || !this.#outgoing.anybody) return true;
    this.#players.writeEvent(message, this.#eventCodecs[message.id]!, payload);
    this.#outgoing.toEverybody(this.#writer.view());
    return true;
  }

  tell(player: object, name: string, payload: object): void {
    const message = this.#message(name, 'event');
    this.#players!.tell(player as PlayerRecord, message, this.#eventCodecs[message.id]!, payload);
  }

  post(name: string, payload: Payload): void {
    this.#ownMessages(name).post(name, payload);
  }

  after(ms: number, name: string, payload: Payload): number {
    return this.#ownMessages(name).after(ms, name, payload);
  }

  every(ms: number, name: string, payload: Payload): number {
    return this.#ownMessages(name).every(ms, name, payload);
  }

  cancel(handle: number): boolean {
    return this.#own?.cancel(handle) ?? false;
  }

  #ownMessages(name: string): OwnMessages {
    if (this.#own === undefined) this.#message(name, 'own');
    return this.#own!;
  }

  send(to: Target<Protocol>, name: string, payload: Payload, where: Where | 'all'): boolean {
    return this.#bus.sends.send(to, name, payload, where);
  }

  ask(to: Target<Protocol>, name: string, payload: Payload, options: HandlerAskOptions): number {
    const { asks } = this.#fromServices;
    if (asks === undefined)
      throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', `${this.#service.name} has no answers, and so asks nothing`);
    return asks.ask(to, name, payload, options);
  }

  startFlow(name: string, payload: Payload): number {
    return this.#flows.start(name, payload);
  }

  cancelFlow(id: number): boolean {
    return this.#flows.cancel(id);
  }

  onCommit(fn: () => void): void {
    this.#core.onCommit(fn);
  }

  #message(name: string, role: string): MessageSpec {
    const message = this.#service.protocol.byName.get(name);
    if (message?.role === role) return message;
    throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', `${name} is no ${role} of service ${this.#service.name}`);
  }

  attempt(record: object | undefined, fn: () => unknown): unknown {
    const core = this.#core;
    const { log } = core.store;
    const savepoint = log.savepoint();
    const hooks = core.hookMark;
    try {
      const result = this.#suspects.attempt(record, fn);
      refusePromise('of an attempt', result);
      return result;
    } catch (error) {
      log.rollbackTo(savepoint);
      core.dropHooks(hooks);
      // Not a fault of what was attempted: the whole message waits.
      if (error instanceof MustWait) throw error;
      this.counts.failed++;
      if (record !== undefined && '$faults' in record) (record as { $faults: number }).$faults++;
      core.log.warn('an attempt threw and is undone', errorData(error));
      return undefined;
    }
  }
}
