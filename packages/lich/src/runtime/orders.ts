/** Orders to the owner of a node, from people: only the owner writes its state.
 *
 *   <dir>/orders/<node>/<n>.json    an order; numbers grow. Whoever gives one makes the file, the owner removes it when it is
 *                      <n>.error    done, or says here why it is not
 *   $ordered   f64, number of the last one that was done: in the commit that does it, so that it is done once
 *
 * Looked for four times a second. A message that is handled again may end the process again: it is blamed by its order's
 * number, and after as many deaths as before the order is dropped and the message stays in quarantine. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { f64, type Fields } from '@lich/schema';
import { rootWord } from '../bus/index.ts';
import { enterWhole } from '../shm/index.ts';
import { CUR, CUR_POS, REQUEUED } from './blame.ts';
import type { Core } from './core.ts';
import { errorData } from './log.ts';
import { MustWait } from './outgoing.ts';
import { dropQuarantined, findQuarantined, type MessageEntry, type Quarantined } from './quarantine.ts';
import { RuntimeError } from './errors.ts';
import { noteContained } from './supervised.ts';
import type { Suspects } from './suspects.ts';

export const orderFields: Fields = { $ordered: f64 };

/** Handle a message of the quarantine again; visit a suspended record again; or end flows. */
export type Order =
  | {
      readonly verb: 'flows';
      readonly id?: undefined;
      readonly how: 'cancel' | 'drop';
      readonly flows: readonly number[];
    }
  | { readonly verb: 'requeue'; readonly id: string }
  | {
      readonly verb: 'release';
      readonly id: string | undefined;
      readonly pool: string;
      readonly slot: number;
      readonly generation: number;
    };

const LOOK_MS = 250;

/** Give an order.
 * @param done number of the last one that the node has done, at least
 * @returns the file of it */
export function giveOrder(dir: string, node: string, order: Order, done: number): string {
  const folder = join(dir, 'orders', node);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (let n = Math.max(done, 0, ...numbersIn(folder)) + 1; ; n++) {
    const path = join(folder, `${n}.json`);
    if (enterWhole(path, JSON.stringify(order))) return path;
  }
}

function numbersIn(folder: string): number[] {
  try {
    return readdirSync(folder)
      .map(name => /^(\d+)\.json$/.exec(name)?.[1])
      .filter(number => number !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
  } catch {
    // No order was ever given.
    return [];
  }
}

/** Orders to one node, in its owner's process. */
export class Orders {
  readonly #core: Core;
  readonly #suspects: Suspects;
  readonly #handle: (entry: MessageEntry) => void;
  readonly #endFlows: (how: 'cancel' | 'drop', ids: readonly number[]) => void;
  readonly #folder: string;
  readonly #word: number;
  #nextMs = Number.NEGATIVE_INFINITY;

  /** @param handle handles a message again, in a transaction */
  constructor(
    core: Core,
    suspects: Suspects,
    handle: (entry: MessageEntry) => void,
    endFlows: (how: 'cancel' | 'drop', ids: readonly number[]) => void,
  ) {
    this.#core = core;
    this.#suspects = suspects;
    this.#handle = handle;
    this.#endFlows = endFlows;
    this.#folder = join(core.dir, 'orders', core.name);
    const { layouts, segment } = core.store;
    this.#word = rootWord(layouts.root, segment.regions.get('root')!.offset, '$ordered');
  }

  get #done(): number {
    return this.#core.store.segment.f64[this.#word >> 1];
  }

  /** Is the order with this number still to be done? */
  isWaiting(number: number): boolean {
    return number > this.#done && numbersIn(this.#folder).includes(number);
  }

  /** Between transactions. @returns how many were done */
  step(nowMs: number): number {
    if (nowMs < this.#nextMs) return 0;
    this.#nextMs = nowMs + LOOK_MS;
    let count = 0;
    for (const number of numbersIn(this.#folder)) if (this.#do(number)) count++;
    return count;
  }

  /** @returns false when it has to wait */
  #do(number: number): boolean {
    const core = this.#core;
    const { blame, store, log } = core;
    const path = join(this.#folder, `${number}.json`);
    let order: Order | undefined;
    try {
      order = JSON.parse(readFileSync(path, 'utf8')) as Order;
      const quarantined = order.id === undefined ? undefined : findQuarantined(core.dir, order.id);
      if (number > this.#done) {
        const S = store.segment.i32;
        const isSuspect = !blame.over && blame.isSuspect(REQUEUED, number);
        const verdict = isSuspect ? blame.verdict(performance.now()) : 'run';
        if (verdict === 'wait') return false;
        if (verdict === 'set aside') {
          noteContained(store.segment, blame.suspect!.tries);
          core.acquit();
          throw new RuntimeError('RUNTIME_SET_ASIDE', `it ended the process ${blame.suspect!.tries} times again`);
        }
        S[CUR_POS] = number;
        S[CUR] = (REQUEUED << 8) | (S[CUR] & 0xff);
        core.transact(() => {
          this.#obey(order!, quarantined);
          store.log.writeF64(this.#word, number);
        });
        if (isSuspect) core.acquit();
        S[CUR] = S[CUR] & 0xff;
        log.info('an order is done', { ...order });
      }
      if (quarantined !== undefined) dropQuarantined(quarantined);
    } catch (error) {
      store.segment.i32[CUR] = store.segment.i32[CUR] & 0xff;
      if (error instanceof MustWait) return false;
      log.warn('an order cannot be done', { ...order, ...errorData(error) });
      const code = (error as { code?: string }).code;
      const message = error instanceof Error ? error.message : String(error);
      writeFileSync(path.replace(/json$/, 'error'), code === undefined ? message : `${code}: ${message}`, {
        mode: 0o600,
      });
    }
    rmSync(path, { force: true });
    return true;
  }

  #obey(order: Order, quarantined: Quarantined | undefined): void {
    if (order.verb === 'flows') return this.#endFlows(order.how, order.flows);
    if (order.verb === 'release') {
      if (this.#suspects.release(order.pool, order.slot, order.generation)) return;
      throw new RangeError(`${order.pool}[${order.slot}] is not suspended`);
    }
    const { entry } = quarantined!;
    if (entry.node !== this.#core.name) throw new RangeError(`${entry.id} is of node ${entry.node}`);
    if (entry.kind === 'record') {
      // Gone by now: then there is nothing to release either.
      this.#suspects.release(entry.pool, entry.slot, entry.generation);
    } else this.#handle(entry);
  }
}
