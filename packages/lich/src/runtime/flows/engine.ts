/** Flows: what waits. Their records are in table.ts, how one runs is in run.ts; this is what moves them.
 *
 *   a message starts one       record made, wake-up posted                              one commit, that of the message
 *   wake-up                    the generator goes on to its next steps, no transaction open; then, in one:
 *                                what nobody waits for any more is taken back (timers, requests)
 *                                new waits: timer set, request sent, effect noted (and begun after the commit)
 *                                or the first `do`: fn runs, its result goes into the record, wake-up posted
 *                                or the end: whoever asked is answered, the record is gone
 *   timer, answer, effect      its result goes into the record, its wait is taken out, wake-up posted
 *   the lane is full           a `send` or `call` waits by a timer, and is tried again; nothing else waits for it
 *
 * Wake-ups are timers of own messages that are due at once, so they outlive kills, are blamed when they end the process,
 * and come in order with all other own messages. Generators live in this process alone: the next life makes them again from
 * the record, skips what is recorded, and goes on. */
import type { Protocol } from '@lich/schema';
import type { Key } from '../../bus/index.ts';
import type { Pool, Store, TimerWheel } from '../../state/index.ts';
import type { Config } from '../config.ts';
import type { Core } from '../core.ts';
import { RuntimeError } from '../errors.ts';
import { errorData } from '../log.ts';
import type { Outages } from '../outages.ts';
import { refusePromise } from '../promise.ts';
import { type Answer, type Asks, RequestError, type Waiter, type Waiting, WAITER } from '../requests.ts';
import { FLOW, FLOW_LATE, type RuntimeTimer } from '../runtime-timers.ts';
import type { Sends } from '../sends.ts';
import type { Target } from '../service.ts';
import { type FlowAnswers, Started, tellAsker } from './answers.ts';
import type { FlowCode, FlowCodes } from './code.ts';
import { guarded } from './context.ts';
import { errorValue } from './errors.ts';
import { GONE } from './gone.ts';
import { Life, Lives, type Stuck } from './lives.ts';
import { type Raw, recordRead, recordStep, tooLong } from './record.ts';
import { isCancelled, type Pending } from './run.ts';
import { Again, Kind, type Outcome, type StepWhat } from './steps.ts';
import { CANCEL, type $Flow, type $FlowWake, idOfFlow, NO_OP, slotOfFlow } from './table.ts';
import { encode } from './values.ts';

export interface FlowsOptions {
  readonly core: Core;
  readonly name: string;
  readonly protocol: Protocol;
  readonly codes: FlowCodes;
  readonly config: Config;
  readonly wheel: TimerWheel;
  readonly outages: Outages;
  readonly asks: Asks;
  readonly sends: Pick<Sends, 'send'>;
  readonly answers: FlowAnswers;
  /** What handlers are given. */
  readonly context: object;
  readonly withMe: (me: object | undefined, fn: () => unknown) => unknown;
  /** The pool of players. */
  readonly players: Pool<object> | undefined;
  readonly random: () => number;
  /** Flows that may wait at once. */
  readonly limit: number;
}

/** One for which there is no memory is tried again so much later. */
const AGAIN_MS = 1_000;
/** A lane that was full is; later where many wait, so that they do not take all the time there is. */
const FULL_MS = 5;
const FULL_FLOWS_PER_MS = 20;

export class Flows implements Waiting {
  readonly #o: FlowsOptions;
  readonly #store: Store<unknown>;
  readonly #pool: Pool<$Flow>;
  readonly #wakes: Pool<$FlowWake>;
  readonly #lives: Lives;
  readonly #inDo: object;
  #inside = false;
  #closed = false;
  /** The `do` that this transaction is for: if it fails, that is what has failed. */
  #doing: { readonly op: number; readonly label: string } | undefined;
  readonly counts = { started: 0, ended: 0, failed: 0, stuck: 0 };
  /** Of those that have not ended. */
  #stuck = 0;
  /** Slots of those that found a lane full, as far as this life knows. */
  readonly #full = new Set<number>();

  constructor(o: FlowsOptions) {
    this.#o = o;
    this.#store = o.core.store;
    this.#pool = this.#store.pools.get('$flows') as unknown as Pool<$Flow>;
    this.#wakes = this.#store.pools.get('$flowWakes') as unknown as Pool<$FlowWake>;
    this.#lives = new Lives(o);
    this.#inDo = guarded(o.context, () => this.#inside);
    o.asks.register(WAITER.flow, this);
  }

  /** Flows that have not ended. */
  get size(): number {
    return this.#pool.size;
  }

  /** That wait for other code. */
  get stuck(): number {
    return this.#stuck;
  }

  // Beginning and end of a life.

  /** What nothing else wakes. In a transaction. */
  resumed(): void {
    this.#stuck = 0;
    this.#wakes.forEach(({ slot, generation }) => {
      this.#wake(slot, generation);
      if ((this.#pool.resolve(slot, generation)?.stuck ?? 0) !== 0) this.#stuck++;
    });
  }

  /** Nothing is written any more. */
  close(): void {
    this.#closed = true;
    this.#lives.forgetAll();
  }

  // What handlers do.

  /** In a transaction: `payload` may have records, of which their refs are kept. */
  start(name: string, payload: unknown, me: object | undefined): Started {
    const { codes, core, random, players, limit } = this.#o;
    const code = codes.find(name)!;
    if (this.#pool.size >= limit)
      throw new RuntimeError('RUNTIME_FLOWS_FULL', `${this.#pool.size} flows have not ended: raise limits.flows`);
    const params = encode(payload, `the payload of flow ${name}`, true);
    this.#mustFit(code, params.length);
    const flow = this.#pool.create() as $Flow;
    flow.name = name;
    flow.version = code.version;
    flow.startedMs = core.now;
    flow.seed.set(0, random());
    flow.seed.set(1, random());
    flow.params = params;
    flow.usedBytes = params.length;
    if (me !== undefined && players !== undefined) {
      const ref = players.refOf(me);
      flow.meSlot = ref.slot;
      flow.meGeneration = ref.generation;
    }
    const { slot, generation } = this.#pool.refOf(flow);
    this.#wake(slot, generation);
    this.counts.started++;
    return new Started(flow, idOfFlow(slot, generation));
  }

  /** In a transaction. @returns false when it has ended, or was cancelled before */
  cancel(id: number): boolean {
    const flow = this.#byId(id);
    if (flow === undefined || flow.cancelled === 1) return false;
    flow.cancelled = 1;
    flow.steps.push({ op: NO_OP, kind: CANCEL, failed: 0, atMs: this.#o.core.now, label: '', value: NOTHING });
    const { slot, generation } = this.#pool.refOf(flow);
    this.#wake(slot, generation);
    return true;
  }

  #byId(id: number): $Flow | undefined {
    const slot = slotOfFlow(id, at => {
      const flow = this.#pool.get(at);
      return flow && this.#pool.refOf(flow).generation;
    });
    return slot < 0 ? undefined : this.#pool.get(slot);
  }

  /** End one as it stands: nothing of it runs any more, and nothing is undone. Who asked is refused. In a transaction.
   * @returns false when it has ended
   * @throws MustWait */
  drop(id: number): boolean {
    const flow = this.#byId(id);
    if (flow === undefined) return false;
    const { slot, generation } = this.#pool.refOf(flow);
    const life = this.#lives.peek(slot, generation);
    const error = new RuntimeError('RUNTIME_FLOW_CANCELLED', `flow ${flow.name} was dropped`, { severity: 'warn' });
    tellAsker(this.#o, flow, this.#o.codes.find(flow.name)?.name ?? flow.name, { ok: false, error });
    for (let k = flow.waits.length - 1; k >= 0; k--) this.#giveUp(flow, k, life);
    this.#gone(flow, life);
    return true;
  }

  #mustFit(code: FlowCode, bytes: number): void {
    if (bytes > code.maxBytes)
      throw new RuntimeError(
        'RUNTIME_FLOW_TOO_LONG',
        `flow ${code.name} is given ${bytes} bytes, its record holds ${code.maxBytes}: raise maxBytes`,
      );
  }

  // Timers.

  #wake(slot: number, generation: number): void {
    const { now } = this.#o.core;
    this.#timer(FLOW, now, slot, generation, NO_OP);
  }

  /** @returns the handle of its timer */
  #tryLater(slot: number, generation: number, op: number): number {
    this.#full.add(slot);
    const ms = Math.max(FULL_MS, Math.ceil(this.#full.size / FULL_FLOWS_PER_MS));
    return this.#timer(FLOW, this.#o.core.now + ms, slot, generation, op);
  }

  /** @returns its handle */
  #timer(number: number, dueMs: number, slot: number, generation: number, op: number): number {
    const { core, wheel, outages } = this.#o;
    const timer = wheel.add(core.now, Math.max(core.now, dueMs), number, 3, outages.totalMs);
    const at = wheel.payloadAt(timer) / 4;
    const I = this.#store.segment.i32;
    [I[at], I[at + 1], I[at + 2]] = [slot, generation, op];
    return wheel.handleOf(timer);
  }

  #read(timer: number): { slot: number; generation: number; op: number } {
    const at = this.#o.wheel.payloadAt(timer) / 4;
    const U = this.#store.segment.u32;
    return { slot: U[at], generation: U[at + 1], op: U[at + 2] };
  }

  /** For the own messages: wake-ups and sleeps; and deadlines, whose time stands still while no process runs. */
  timers(): readonly (readonly [number: number, timer: RuntimeTimer])[] {
    const timer = (shifts: boolean): RuntimeTimer => ({
      what: 'of a flow',
      shifts,
      prepare: slot => this.#prepare(slot),
      fire: slot => this.#fire(slot),
      threw: (slot, error) => this.#thrown(slot, error),
      suspend: slot => this.#suspend(slot),
    });
    return [
      [FLOW, timer(false)],
      [FLOW_LATE, timer(true)],
    ];
  }

  /** The generator goes on, outside of transactions: what it writes to state that it kept is refused there. */
  #prepare(timer: number): void {
    const { slot, generation, op } = this.#read(timer);
    const flow = this.#pool.resolve(slot, generation);
    if (flow === undefined || (op !== NO_OP && this.#noRoomAt(flow, op) < 0)) return;
    if (!this.#isOut(flow)) this.#find(slot, generation, flow);
  }

  /** It ended processes, and this one is as they were: it is not run until a life begins in order, or with other code. */
  #isOut(flow: $Flow): boolean {
    return flow.stuck === SET_ASIDE && this.#o.core.life.reason === 'crash';
  }

  #find(slot: number, generation: number, flow: $Flow): Life | Stuck {
    try {
      return this.#lives.find(slot, generation, flow);
    } catch (error) {
      return { code: 'RUNTIME_FLOW_FAILED', why: `its record cannot be read: ${errorValue(error).message}` };
    }
  }

  #fire(timer: number): void {
    const { slot, generation, op } = this.#read(timer);
    this.#doing = undefined;
    this.#o.wheel.remove(timer);
    const flow = this.#pool.resolve(slot, generation);
    if (flow === undefined) return;
    const full = op === NO_OP ? -1 : this.#noRoomAt(flow, op);
    this.#full.delete(slot);
    // Not waited for any more, it is asked for again.
    if (full >= 0) flow.waits.splice(full, 1);
    if (op === NO_OP || full >= 0) this.#turn(flow, slot, generation);
    else this.#settle(flow, slot, generation, op, DONE);
  }

  /** Is that a step for which there was no room in a lane? @returns its place among the waits, -1 when it is not */
  #noRoomAt({ waits }: $Flow, op: number): number {
    return waits.findIndex(wait => wait.op === op && (wait.kind === Kind.send || wait.kind === Kind.call));
  }

  /** What `fire` did is undone; a new transaction is open. */
  #thrown(timer: number, error: unknown): void {
    const { core, wheel } = this.#o;
    const { slot, generation } = this.#read(timer);
    const flow = this.#pool.resolve(slot, generation);
    const { log } = this.#store;
    const before = log.savepoint();
    try {
      wheel.remove(timer);
      if (flow === undefined) return;
      if (this.#doing === undefined)
        return this.#stick(flow, slot, generation, {
          code: 'RUNTIME_FLOW_FAILED',
          why: `it could not go on: ${errorValue(error).message}`,
        });
      this.#record(flow, this.#doing.op, Kind.do, this.#doing.label, { ok: false, error });
      this.#wake(slot, generation);
    } catch (again) {
      // Not even that has room: nothing is lost, and later there may be.
      log.rollbackTo(before);
      core.log.error(`flow ${flow?.name} cannot go on`, errorData(again));
      wheel.move(timer, core.now + AGAIN_MS);
    }
  }

  /** Its wake-up ended the process again and again. */
  #suspend(timer: number): void {
    const { slot, generation } = this.#read(timer);
    const flow = this.#pool.resolve(slot, generation);
    if (flow === undefined) return;
    this.#stick(flow, slot, generation, { code: 'RUNTIME_SET_ASIDE', why: 'it ended the process again and again' });
  }

  // One turn, in a transaction.

  #turn(flow: $Flow, slot: number, generation: number): void {
    if (this.#isOut(flow)) return;
    const life = this.#find(slot, generation, flow);
    const stuck = life instanceof Life ? life.stuck : life;
    if (stuck !== undefined || !(life instanceof Life)) return this.#stick(flow, slot, generation, stuck!);
    if (flow.stuck !== 0) {
      flow.stuck = 0;
      flow.why = '';
      this.#o.core.onCommit(() => void this.#stuck--);
    }
    const { run } = life;
    recordRead(flow, life.read);
    if (life.read.length > 0) this.#o.core.onCommit(() => void (life.read.length = 0));
    this.#takeBack(flow, life);
    if (run.outcome !== undefined) return this.#end(flow, life, run.outcome);
    let again = false;
    let first: Pending | undefined;
    const waiting = new Set(flow.waits.map(({ op }) => op));
    for (const pending of run.pending.values()) {
      const { kind } = pending.step.what;
      if (kind === Kind.do) first ??= pending;
      else if (!waiting.has(pending.op)) again = !this.#await(flow, life, pending) || again;
      else if (kind === Kind.effect && !life.effects.has(pending.op)) this.#launch(life, pending);
    }
    flow.asked = run.asked;
    flow.askedAt = life.fed;
    this.#keepAwake(flow, life);
    if (first !== undefined) this.#do(flow, life, first);
    if (first !== undefined || again) this.#wake(slot, generation);
  }

  #do(flow: $Flow, life: Life, { op, step }: Pending): void {
    const { withMe, players } = this.#o;
    const { fn } = step.what as Extract<StepWhat, { kind: typeof Kind.do }>;
    const what = `ctx.do${step.label && ` '${step.label}'`} of flow ${flow.name}`;
    this.#doing = { op, label: step.label };
    try {
      let me: object | undefined;
      if (flow.meGeneration !== 0) me = players?.resolve(flow.meSlot, flow.meGeneration) ?? GONE;
      this.#inside = true;
      const result = withMe(me, () => fn(this.#inDo));
      refusePromise(what, result);
      if (!this.#record(flow, op, Kind.do, step.label, { ok: true, value: result }, what)) throw tooLong(life.code);
    } finally {
      this.#inside = false;
    }
  }

  /** @returns false when it came to nothing, which is recorded */
  #await(flow: $Flow, life: Life, pending: Pending): boolean {
    const { op, step } = pending;
    const { what, label } = step;
    const { slot, generation } = life;
    const { nowMs } = life.run;
    let handle = 0;
    if (what.kind === Kind.sleep) handle = this.#timer(FLOW, nowMs + what.ms, slot, generation, op);
    else if (what.kind === Kind.late) handle = this.#timer(FLOW_LATE, nowMs + what.ms, slot, generation, op);
    else if (what.kind === Kind.effect) this.#launch(life, pending);
    else if (what.kind === Kind.call || what.kind === Kind.send) {
      try {
        const done = this.#say(what, { kind: WAITER.flow, a: slot, b: generation, c: op });
        if (done === SENT) {
          this.#record(flow, op, Kind.send, label, DONE);
          return false;
        }
        handle = done === NO_ROOM ? this.#tryLater(slot, generation, op) : done;
      } catch (error) {
        this.#record(flow, op, what.kind, label, { ok: false, error });
        return false;
      }
    }
    flow.waits.push({ op, kind: what.kind, label, handle });
    return true;
  }

  /** @returns the handle of a request, SENT or NO_ROOM */
  #say(what: Extract<StepWhat, { kind: typeof Kind.call | typeof Kind.send }>, waiter: Waiter): number {
    const { asks, sends } = this.#o;
    const { to, name, payload, where } = what;
    if (what.kind === Kind.send) return sends.send(to, name, payload, where) ? SENT : NO_ROOM;
    const at = typeof where === 'number' ? { instance: where } : (where as { key: Key });
    const options = { withinMs: what.withinMs ?? 0, ...at };
    return asks.ask(to as Target<any>, name as never, payload as never, options, waiter) || NO_ROOM;
  }

  /** Waits that its code does not wait for any more. */
  #takeBack(flow: $Flow, life: Life): void {
    for (let k = flow.waits.length - 1; k >= 0; k--)
      if (!life.run.pending.has(flow.waits.get(k).op)) this.#giveUp(flow, k, life);
  }

  #giveUp({ waits }: $Flow, k: number, life: Life | undefined): void {
    const { op, kind, handle } = waits.get(k);
    // A call that found no room has a timer, not a request.
    if (kind === Kind.call) void (this.#o.asks.giveUp(handle) || this.#dropTimer(handle));
    else if (kind === Kind.effect) {
      const controller = life?.effects.get(op);
      if (controller !== undefined) {
        life!.effects.delete(op);
        this.#o.core.onCommit(() => controller.abort());
      }
    } else this.#dropTimer(handle);
    waits.splice(k, 1);
  }

  #dropTimer(handle: number): void {
    const { wheel } = this.#o;
    const timer = wheel.slotOf(handle);
    if (timer >= 0) wheel.remove(timer);
  }

  /** Is there something that the next life has to look at? */
  #keepAwake(flow: $Flow, life: Life): void {
    const must = flow.waits.some(({ kind }) => kind === Kind.effect);
    if (must) this.#noteWake(flow, life.slot, life.generation);
    else this.#dropWake(flow);
  }

  #noteWake(flow: $Flow, slot: number, generation: number): void {
    if (flow.wake !== 0) return;
    const wake = this.#wakes.create({ slot, generation }) as $FlowWake;
    flow.wake = this.#wakes.refOf(wake).slot + 1;
  }

  #dropWake(flow: $Flow): void {
    if (flow.wake === 0) return;
    const wake = this.#wakes.get(flow.wake - 1);
    if (wake !== undefined) this.#wakes.destroy(wake);
    flow.wake = 0;
  }

  // What comes of steps.

  #record(flow: $Flow, op: number, kind: number, label: string, outcome: Outcome | Raw, what?: string): boolean {
    const code = this.#o.codes.find(flow.name);
    return recordStep(flow, code, { op, kind, label, outcome, atMs: this.#o.core.now, what });
  }

  /** What came of a step that was waited for. */
  #settle(flow: $Flow, slot: number, generation: number, op: number, outcome: Outcome | Raw): void {
    const { waits } = flow;
    const k = waits.findIndex(wait => wait.op === op);
    if (k < 0) return;
    const { kind, label } = waits.get(k);
    waits.splice(k, 1);
    this.#record(flow, op, kind, label, outcome);
    this.#wake(slot, generation);
  }

  /** An answer came, or none in time. It is kept as it came: a generator does not run in a transaction, and what is recorded
   * must not depend on which flows are in memory, or whether this code can go on with it. */
  answered({ a: slot, b: generation, c: op }: Required<Waiter>, answer: Answer): void {
    const flow = this.#pool.resolve(slot, generation);
    if (flow === undefined) return;
    const { failed } = answer;
    const outcome =
      failed === undefined
        ? { raw: answer.raw() }
        : { ok: false as const, error: new RequestError(failed.code, failed.message) };
    this.#settle(flow, slot, generation, op, outcome);
  }

  // Effects.

  #launch(life: Life, { op, step }: Pending): void {
    const { core, name } = this.#o;
    const { slot, generation, turn } = life;
    const { fn } = step.what as Extract<StepWhat, { kind: typeof Kind.effect }>;
    core.onCommit(() => {
      if (this.#closed || life.effects.has(op) || !life.run.pending.has(op)) return;
      const controller = new AbortController();
      life.effects.set(op, controller);
      const flow = this.#pool.resolve(slot, generation)!;
      const seed = `${flow.seed.get(0).toString(16)}${flow.seed.get(1).toString(16)}`;
      const key = `${core.name}/${name}.${flow.name}/${idOfFlow(slot, generation)}.${turn}.${op}/${seed}`;
      const settled = (outcome: Outcome): void => this.#settled(life, op, controller, outcome);
      // In its own turn: what it does before its first `await` is no part of the loop's.
      void (async () => fn(key, controller.signal))().then(
        value => settled({ ok: true, value }),
        (error: unknown) => settled({ ok: false, error }),
      );
    });
  }

  #settled(life: Life, op: number, controller: AbortController, outcome: Outcome): void {
    if (this.#closed || life.effects.get(op) !== controller) return;
    const { core } = this.#o;
    const { slot, generation, turn } = life;
    life.effects.delete(op);
    try {
      core.transact(() => {
        const flow = this.#pool.resolve(slot, generation);
        if (flow?.turn === turn) this.#settle(flow, slot, generation, op, outcome);
      });
    } catch (error) {
      core.log.error('what came of an effect could not be recorded: it runs again in the next life', errorData(error));
    }
  }

  // The end.

  #end(flow: $Flow, life: Life, outcome: Outcome): void {
    const { core } = this.#o;
    const { slot, generation } = life;
    for (const lost of life.run.lost)
      core.onCommit(() =>
        core.log.error(`flow ${life.code.name}: what should undo it, or clean up, failed`, errorData(lost)),
      );
    if (outcome.ok && outcome.value instanceof Again) return this.#again(flow, life, outcome.value.payload);
    tellAsker(this.#o, flow, life.code.name, outcome);
    const wasCancelled = !outcome.ok && isCancelled(outcome.error);
    if (!outcome.ok) {
      this.counts.failed++;
      const { name } = flow;
      const data = { flow: idOfFlow(slot, generation), ...errorData(outcome.error) };
      core.onCommit(() =>
        core.log[wasCancelled ? 'info' : 'warn'](`flow ${name} ${wasCancelled ? 'was cancelled' : 'failed'}`, data),
      );
    }
    this.#gone(flow, life);
  }

  #gone(flow: $Flow, life: Life | undefined): void {
    const wasStuck = flow.stuck !== 0;
    this.#dropWake(flow);
    this.#pool.destroy(flow);
    this.#o.core.onCommit(() => {
      this.counts.ended++;
      if (wasStuck) this.#stuck--;
      if (life !== undefined) this.#lives.forget(life);
    });
  }

  #again(flow: $Flow, life: Life, payload: unknown): void {
    const { core } = this.#o;
    const { slot, generation, code } = life;
    let params: Uint8Array;
    try {
      params = encode(payload, `what flow ${code.name} gives to ctx.again`);
      this.#mustFit(code, params.length);
    } catch (error) {
      return this.#end(flow, life, { ok: false, error });
    }
    flow.name = code.name;
    flow.version = code.version;
    flow.turn++;
    flow.startedMs = core.now;
    flow.steps.clear();
    flow.params = params;
    flow.usedBytes = params.length;
    [flow.full, flow.asked, flow.askedAt] = [0, 0, 0];
    // One that was cancelled has thrown that away, and is asked again.
    flow.cancelled = 0;
    this.#dropWake(flow);
    core.onCommit(() => this.#lives.forget(life));
    this.#wake(slot, generation);
  }

  /** It cannot go on with this code: it waits, with all that is recorded, for a life that can. */
  #stick(flow: $Flow, slot: number, generation: number, { code, why }: Stuck): void {
    const { core } = this.#o;
    const wasStuck = flow.stuck !== 0;
    const known = wasStuck && flow.why === why;
    flow.stuck = code === 'RUNTIME_SET_ASIDE' ? SET_ASIDE : 1;
    flow.why = why;
    this.#noteWake(flow, slot, generation);
    if (known) return;
    const { name, version, turn } = flow;
    const error = new RuntimeError(code, `flow ${name} waits for code that can go on with it: ${why}`);
    core.onCommit(() => {
      this.counts.stuck++;
      if (!wasStuck) this.#stuck++;
      core.log.error(`flow ${name} is stuck`, { flow: idOfFlow(slot, generation), version, turn, ...errorData(error) });
    });
  }
}

/** `stuck` of a flow that ended the process again and again. */
const SET_ASIDE = 2;
/** What `#say` gives besides handles, which are above 0. */
const SENT = -1;
const NO_ROOM = 0;
const NOTHING = new Uint8Array(0);
const DONE: Outcome = { ok: true, value: undefined };
