/** Own messages: posted by handlers, handled one transaction each, in the order in which they are due.
 *
 *   $events, $timers   what waits: `EventQueue` and `TimerWheel` of the state room draw them
 *   $outages           when no process ran
 *   $own               what the numbers mean under which they are stored, see own-table.ts
 *   $skipped           f64, own messages that were skipped so far
 *
 * Order: due time; of one due time what was posted for later comes before what was posted at once; of those by the order
 * of posting. `post` and `after(0)` are due when they are posted.
 *
 * A message is taken in the transaction of its handler, and one with a period is due again from that very commit on. With
 * `onCrash: 'skip'` it is marked as started in a commit of its own before: whoever finds the mark at the head of the line
 * knows that a handler was cut off, and tells `onSkipped`, in one transaction with the taking. */
import { f64, type Fields, type MessageSpec } from '@lich/schema';
import { type PayloadCodec, rootWord, sizeOf, typeOf } from '../bus/index.ts';
import {
  EARLY,
  EventQueue,
  NONE,
  SORT,
  STARTED,
  THREW,
  timerFields,
  timerPlaces,
  TimerWheel,
  TYPE_MASK,
} from '../state/index.ts';
import { setAside } from './quarantine.ts';
import { CUR, CUR_MORE, CUR_POS, OWN, QUEUED } from './blame.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import { hasMachines, MachineTimeouts } from './machine-timeouts.ts';
import { Outages, outageFields } from './outages.ts';
import { MustWait } from './outgoing.ts';
import { OwnTable } from './own-table.ts';
import { refusePromise } from './promise.ts';
import { type RuntimeTimer, TIMEOUT } from './runtime-timers.ts';
import type { Service, SkipReason } from './service.ts';

type Payload = Readonly<Record<string, unknown>>;

/** What handles them; the service's logic is one. */
export interface OwnHost {
  readonly core: Core;
  readonly service: Service;
  readonly tag: number;
  /** By message id. */
  readonly codecs: readonly (PayloadCodec | undefined)[];
  /** What handlers are given. */
  readonly context: unknown;
  /** Most that may wait. */
  readonly limit: number;
  readonly counts: { handled: number; failed: number; skipped: number };
  /** A transaction begins. */
  begun(): void;
  /** Undo the open transaction, say so, and open another one. */
  undo(error: unknown, name: string): void;
}

/** The head of the line is in the event queue, not in the wheel. */
const AT_ONCE = -3;
/** Handled in one turn of the loop before lanes get their turn again. */
const BATCH = 32;
/** Timers moved in one transaction while a bucket is sorted. */
const SORT_MOST = 128;
/** How long one that cannot be handled now waits before it is tried again. */
const WAIT_MS = 5;
/** Timers live in the state and may wait for years. */
const MAX_DELAY_MS = 100 * 365 * 86_400_000;

/** Root fields of a service that has own messages, or machines, whose timeouts wait among them, or that asks or answers. */
export function ownFields(service: Service): Fields {
  // Requests, those that are asked too, wait among them.
  const waits = service.protocol.messages.some(({ role }) => role === 'own' || role === 'request');
  const asks = service.spec.answers !== undefined || service.spec.flows !== undefined;
  if (!waits && !asks && !hasMachines(service.state)) return {} as Fields;
  return { ...timerFields(), ...outageFields(), $skipped: f64 } as unknown as Fields;
}

export class OwnMessages {
  readonly #host: OwnHost;
  readonly #core: Core;
  readonly wheel: TimerWheel;
  readonly #queue: EventQueue;
  readonly outages: Outages;
  readonly #skippedWord: number;
  readonly #table: OwnTable;
  /** The runtime's own, by number. */
  readonly #runtimeTimers = new Map<number, RuntimeTimer>();
  /** Nothing is handled until then: a lane was full, or a suspect waits for its exit note. */
  #waitMs = 0;

  /** @returns undefined for a service without own messages */
  static of(host: OwnHost): OwnMessages | undefined {
    const { store } = host.core;
    const rootOffset = store.segment.regions.get('root')!.offset;
    const places = timerPlaces(store.layouts.root, rootOffset / 4);
    return places && new OwnMessages(host, places, name => rootWord(store.layouts.root, rootOffset, name));
  }

  private constructor(host: OwnHost, places: { wheel: number; queue: number }, word: (field: string) => number) {
    this.#host = host;
    this.#core = host.core;
    const { store } = host.core;
    const { segment: mem, log, heap } = store;
    const context = { mem, log, heap, fail: (error: Error) => log.fail(error) };
    this.wheel = new TimerWheel(context, places.wheel);
    this.#queue = new EventQueue(context, places.queue);
    this.outages = new Outages(mem.f64, log, word('$outages'));
    this.#skippedWord = word('$skipped');
    this.register(TIMEOUT, new MachineTimeouts(store, this.wheel, this.outages, () => host.core.now));
    this.#table = new OwnTable(store, word('$own'), host.service.protocol.messages);
  }

  /** Timers under that number are handled so. */
  register(number: number, timer: RuntimeTimer): void {
    this.#runtimeTimers.set(number, timer);
  }

  /** That wait. */
  get size(): number {
    return this.wheel.size + this.#queue.size;
  }

  /** @throws RuntimeError `RUNTIME_TIMERS_FULL` */
  refuseFull(): void {
    const { size } = this;
    if (size >= this.#host.limit)
      throw new RuntimeError('RUNTIME_TIMERS_FULL', `${size} own messages and requests wait: raise limits.timers`);
  }

  /** A life begins: what it knows of the messages that wait. In a transaction. */
  bind(): void {
    this.#table.bind();
  }

  // What handlers say.

  post(name: string, payload: Payload): void {
    const { log } = this.#core.store;
    const { number, codec } = this.#message(name);
    // The place is taken first, then filled: a payload that does not fit leaves nothing, even where the handler catches
    // the error.
    const before = log.savepoint();
    this.#fill(codec, this.#queue.post(this.#core.now, number, wordsOf(codec, payload)), payload, before);
  }

  /** @returns the handle */
  after(ms: number, name: string, payload: Payload): number {
    if (!(ms >= 0 && ms <= MAX_DELAY_MS)) throw new RangeError(`after(${ms}, '${name}'): want 0..${MAX_DELAY_MS} ms`);
    return this.#later(Math.ceil(ms), 0, name, payload);
  }

  /** @returns the handle */
  every(ms: number, name: string, payload: Payload): number {
    if (!(Number.isInteger(ms) && ms >= 1 && ms <= MAX_DELAY_MS))
      throw new RangeError(`every(${ms}, '${name}'): want whole ms, 1..${MAX_DELAY_MS}`);
    return this.#later(ms, ms, name, payload);
  }

  #later(ms: number, periodMs: number, name: string, payload: Payload): number {
    const { log } = this.#core.store;
    const { number, codec } = this.#message(name);
    const wheel = this.wheel;
    const before = log.savepoint();
    const { now } = this.#core;
    const slot = wheel.add(now, now + ms, number, wordsOf(codec, payload), this.outages.totalMs);
    if (periodMs > 0) wheel.setPeriod(slot, periodMs);
    if (ms === 0) wheel.setEarly(slot, this.#queue.posted);
    this.#fill(codec, wheel.payloadAt(slot), payload, before);
    return wheel.handleOf(slot);
  }

  #fill(codec: PayloadCodec, at: number, payload: Payload, before: number): void {
    const { log, segment } = this.#core.store;
    try {
      codec.write(segment, at, payload);
    } catch (error) {
      log.rollbackTo(before);
      throw error;
    }
  }

  #message(name: string): { number: number; codec: PayloadCodec } {
    const { service, codecs } = this.#host;
    const message = service.protocol.byName.get(name);
    if (message?.role !== 'own')
      throw new RuntimeError('RUNTIME_UNKNOWN_MESSAGE', `${name} is no own of service ${service.name}`);
    this.refuseFull();
    return { number: this.#table.numberOf(message.id), codec: codecs[message.id]! };
  }

  /** @returns whether it still waited */
  cancel(handle: number): boolean {
    if (typeof handle !== 'number') throw new TypeError('cancel takes what after() or every() returned, a number');
    const slot = this.wheel.slotOf(handle);
    if (slot === NONE) return false;
    this.wheel.remove(slot);
    return true;
  }

  // Life.

  /** No process ran between these times. Outside transactions, before service time moves on. */
  outage(fromMs: number, toMs: number): void {
    this.#core.transact(() => this.outages.add(fromMs, toMs, this.wheel.nextDueMs()));
  }

  /** Is what the last life was at still to be handled? */
  isWaiting(code: number, pos: number, more: number): boolean {
    if (code === QUEUED) return this.#queue.size > 0 && this.#queue.taken === pos;
    return this.wheel.isWaiting(pos) && this.#identity(pos) === more;
  }

  /** Tells the times of one timer apart, and a timer from the next one in its slot. */
  #identity(slot: number): number {
    return (this.wheel.generationOf(slot) ^ (this.wheel.dueOf(slot) % 2 ** 32)) | 0;
  }

  /** @returns ms of service time when `step` has something to do */
  nextMs(): number {
    return Math.max(this.#queue.size > 0 ? this.#queue.dueMs() : this.wheel.nextDueMs(), this.#waitMs);
  }

  /** Handle the head of the line, which is due, once more. @returns false when there is none, or it has to wait */
  again(): boolean {
    const next = this.#next(this.#core.now);
    return next !== NONE && next !== SORT && this.#handle(next);
  }

  /** Handle what is due. Outside transactions. @returns how much was done */
  step(nowMs: number): number {
    const { log } = this.#core.store;
    let done = 0;
    while (done < BATCH && nowMs >= this.#waitMs) {
      const next = this.#next(nowMs);
      if (next === NONE) break;
      if (next === SORT) {
        log.begin();
        this.wheel.sort(SORT_MOST);
        log.commit();
      } else if (!this.#handle(next)) break;
      done++;
    }
    return done;
  }

  /** The head of the line. @returns a slot, AT_ONCE, SORT or NONE */
  #next(nowMs: number): number {
    const queue = this.#queue;
    const wheel = this.wheel;
    if (queue.size === 0) return wheel.next(nowMs);
    const dueMs = queue.dueMs();
    const slot = wheel.next(dueMs);
    if (slot === SORT) return SORT;
    if (slot === NONE) return AT_ONCE;
    const early = wheel.dueOf(slot) === dueMs && (wheel.typeOf(slot) & EARLY) !== 0;
    return early && ((queue.taken - wheel.markOf(slot)) | 0) < 0 ? AT_ONCE : slot;
  }

  /** @returns false when it has to wait */
  #handle(slot: number): boolean {
    const core = this.#core;
    const { blame } = core;
    const { log, segment } = core.store;
    const S = segment.i32;
    const { service, context, counts } = this.#host;
    const type = slot === AT_ONCE ? this.#queue.type() : this.wheel.typeOf(slot);
    const message = this.#table.messageOf(type & TYPE_MASK);
    const timer = message === undefined ? this.#runtimeTimers.get(type & TYPE_MASK) : undefined;
    const why = this.#whySkipped(slot, type, message?.onOutage ?? (timer?.shifts ? 'shift' : 'fire'));
    if (why === 'later') return true;

    const code = slot === AT_ONCE ? QUEUED : OWN;
    const pos = slot === AT_ONCE ? this.#queue.taken : slot;
    const more = slot === AT_ONCE ? 0 : this.#identity(slot);
    const isSuspect = !blame.over && blame.isSuspect(code, pos, more);
    const verdict = isSuspect ? blame.verdict(performance.now()) : 'run';
    if (verdict === 'wait') return this.#wait();
    if (isSuspect) core.acquit();
    const isOut = (message === undefined && timer === undefined) || verdict === 'set aside';
    const once = why === undefined && !isOut && message?.onCrash === 'skip';
    if (once) {
      log.begin();
      this.#setType(slot, type | STARTED);
      log.commit();
    } else {
      S[CUR_POS] = pos;
      S[CUR_MORE] = more;
      S[CUR] = (code << 8) | (isSuspect ? blame.suspect!.tries : S[CUR] & 0xff);
    }
    // What is skipped on a crash is two commits, kept as what they leave.
    if (!once && !isOut && (message !== undefined || (type & TYPE_MASK) === TIMEOUT)) core.recording.recorder?.own();
    if (!isOut) timer?.prepare?.(slot);
    this.#begin();
    try {
      if (isOut) this.#setAside(slot, type, message);
      else if (timer !== undefined) {
        timer.fire(slot);
        log.mustHaveRoom(0);
        counts.handled++;
      } else if (why !== undefined) this.#tell(slot, message!, why);
      else {
        const payload = this.#read(slot, message!);
        this.#over(slot);
        refusePromise(message!.name, service.spec.on[message!.name]!(context, payload));
        log.mustHaveRoom(0);
        counts.handled++;
      }
    } catch (error) {
      if (error instanceof MustWait) return this.#putBack(slot, once ? type : undefined);
      this.#host.undo(
        error,
        why === undefined ? (message?.name ?? timer?.what ?? 'of an own message') : `onSkipped.${message!.name}`,
      );
      if (isOut) this.#drop(slot);
      else if (why !== undefined) this.#overUntold(slot);
      else if (timer?.threw !== undefined) timer.threw(slot, error);
      else if (!once) this.#over(slot);
      else if (!this.#tellThrown(slot, type, message!)) return false;
    }
    log.commit();
    S[CUR] = isSuspect ? 0 : S[CUR] & 0xff;
    return true;
  }

  #begin(): void {
    this.#core.store.log.begin();
    this.#core.beginHooks();
    this.#host.begun();
  }

  /** Is this one not to be handled? @returns why, or 'later' when it is due at another time now */
  #whySkipped(slot: number, type: number, onOutage: MessageSpec['onOutage']): SkipReason | 'later' | undefined {
    if ((type & STARTED) !== 0) return (type & THREW) !== 0 ? 'threw' : 'crash';
    if (slot === AT_ONCE || onOutage === 'fire') return undefined;
    const wheel = this.wheel;
    const { log } = this.#core.store;
    const dueMs = wheel.dueOf(slot);
    if (onOutage === 'shift') {
      const { totalMs } = this.outages;
      const byMs = totalMs - wheel.baseOf(slot);
      if (byMs <= 0) return undefined;
      log.begin();
      wheel.setBase(slot, totalMs);
      wheel.move(slot, dueMs + byMs);
      log.commit();
      return 'later';
    }
    const endMs = this.outages.endOf(dueMs);
    if (endMs < 0) return undefined;
    const periodMs = wheel.periodOf(slot);
    if (periodMs === 0) return 'outage';
    const times = Math.floor((endMs - dueMs) / periodMs) + 1;
    log.begin();
    wheel.move(slot, dueMs + times * periodMs);
    this.#countSkipped(times);
    log.commit();
    this.#host.counts.skipped += times;
    return 'later';
  }

  /** Take one out that is not handled, and say so. */
  #tell(slot: number, message: MessageSpec, why: SkipReason): void {
    const { service, context } = this.#host;
    const payload = this.#read(slot, message);
    this.#over(slot);
    this.#countSkipped(1);
    if (why !== 'outage') this.#core.log.warn('an own message was skipped', { name: message.name, why });
    refusePromise(`onSkipped.${message.name}`, service.spec.onSkipped?.[message.name]?.(context, payload, why));
    this.#core.store.log.mustHaveRoom(0);
    this.#host.counts.skipped++;
  }

  /** Its handler threw, and it must not run again. A transaction is open. @returns false when it has to wait */
  #tellThrown(slot: number, type: number, message: MessageSpec): boolean {
    this.#host.begun();
    try {
      this.#tell(slot, message, 'threw');
    } catch (error) {
      if (error instanceof MustWait) return this.#putBack(slot, type | STARTED | THREW);
      this.#host.undo(error, `onSkipped.${message.name}`);
      this.#overUntold(slot);
    }
    return true;
  }

  /** Skipped, and onSkipped is undone. */
  #overUntold(slot: number): void {
    this.#over(slot);
    this.#countSkipped(1);
    this.#host.counts.skipped++;
  }

  #countSkipped(times: number): void {
    const { log, segment } = this.#core.store;
    log.writeF64(this.#skippedWord, segment.f64[this.#skippedWord >> 1] + times);
  }

  #setAside(slot: number, type: number, message: MessageSpec | undefined): void {
    const { codecs, tag } = this.#host;
    const core = this.#core;
    const at = this.#payloadAt(slot);
    const codec = message && codecs[message.id]!;
    const bytes = codec === undefined || codec.sizeOf !== undefined ? this.#payloadWords(slot) * 4 : codec.bytes;
    setAside(
      core,
      {
        type: typeOf(tag, message?.id ?? type & TYPE_MASK),
        a: slot === AT_ONCE ? this.#queue.taken : slot,
        // No generation is so: the two are told apart in the name of the file.
        b: slot === AT_ONCE ? -1 : this.wheel.generationOf(slot),
        tries: core.blame.suspect?.tries ?? 0,
      },
      core.store.segment.u8.slice(at, at + bytes),
    );
    if (message === undefined) this.#runtimeTimers.get(type & TYPE_MASK)?.suspend?.(slot);
    this.#drop(slot);
  }

  /** Undo the open transaction, and handle this one later.
   * @param type what is to be said of it from now on */
  #putBack(slot: number, type: number | undefined): false {
    const core = this.#core;
    const { log, segment } = core.store;
    log.rollback();
    core.dropHooks();
    core.recording.recorder?.drop();
    segment.i32[CUR] = segment.i32[CUR] & 0xff;
    if (type !== undefined) {
      log.begin();
      this.#setType(slot, type);
      log.commit();
    }
    return this.#wait();
  }

  #wait(): false {
    this.#waitMs = this.#core.now + WAIT_MS;
    return false;
  }

  #read(slot: number, { id, layout }: MessageSpec): unknown {
    const room = this.#payloadWords(slot) * 4;
    const payload: unknown = this.#host.codecs[id]!.read(this.#core.store.segment, this.#payloadAt(slot), room);
    // Its memory may be another message's before its handler has seen it.
    return layout.whole?.form === 'bytes' ? (payload as Uint8Array).slice() : payload;
  }

  #payloadAt(slot: number): number {
    return slot === AT_ONCE ? this.#queue.payloadAt() : this.wheel.payloadAt(slot);
  }

  #payloadWords(slot: number): number {
    return slot === AT_ONCE ? this.#queue.payloadWords() : this.wheel.payloadWordsOf(slot);
  }

  #setType(slot: number, type: number): void {
    if (slot === AT_ONCE) this.#queue.setType(type);
    else this.wheel.setType(slot, type);
  }

  #drop(slot: number): void {
    if (slot === AT_ONCE) this.#queue.take();
    else this.wheel.remove(slot);
  }

  /** Take it out; or have it wait for its next time, when it has a period. */
  #over(slot: number): void {
    const wheel = this.wheel;
    const periodMs = slot === AT_ONCE ? 0 : wheel.periodOf(slot);
    if (periodMs === 0) return this.#drop(slot);
    const type = wheel.typeOf(slot);
    if ((type & (STARTED | THREW)) !== 0) wheel.setType(slot, type & ~(STARTED | THREW));
    wheel.move(slot, wheel.dueOf(slot) + periodMs);
  }
}

function wordsOf(codec: PayloadCodec, payload: Payload): number {
  return (sizeOf(codec, payload) + 3) >> 2;
}
