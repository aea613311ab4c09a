/** The service that is measured and the one that feeds it. Both sides and the model import it. */
import { command, i32, own, pool, protocol, state, struct, u32 } from '@lich/schema';
import { type Core, createLog, type Service, serviceCore, service } from 'lich/runtime';
import type { Size } from '../lib/bench.ts';
import { digest, numbers } from '../lib/tools.ts';

export const ACCOUNTS = 4_096;
export const START = 1_000_000;

export class Account extends struct({ gold: i32, moves: u32 }) {}

export const BankState = state({ accounts: pool(Account, { capacity: ACCOUNTS }) });
export const BankProtocol = protocol({ transfer: command({ from: u32, to: u32, amount: u32 }) });
export const FeederProtocol = protocol({
  done: command({ from: u32, to: u32, amount: u32 }),
  go: own({ count: u32 }),
});

export interface Transfer {
  from: number;
  to: number;
  amount: number;
}

/** The transfers that every contender does, one after the other. */
export function transfers(): (into: Transfer) => void {
  const next = numbers();
  return into => {
    into.from = next() % ACCOUNTS;
    into.to = next() % ACCOUNTS;
    into.amount = next() & 15;
  };
}

/** Every contender ends with what a model in plain arrays ends with, or has measured something else.
 * @param counted whether the contender counts moves
 * @returns a digest of all accounts
 * @throws Error when they differ */
export function verify(accounts: Iterable<Holding>, count: number, counted: boolean): string {
  const found = digestOf(accounts);
  if (found !== expected(count, counted)) throw new Error(`after ${count} transfers the accounts hold something else`);
  return found;
}

interface Holding {
  readonly gold: number;
  readonly moves: number;
}

function expected(count: number, counted: boolean): string {
  const gold = new Int32Array(ACCOUNTS).fill(START);
  const moves = new Uint32Array(ACCOUNTS);
  const next = transfers();
  const t: Transfer = { from: 0, to: 0, amount: 0 };
  for (let k = 0; k < count; k++) {
    next(t);
    gold[t.from] -= t.amount;
    gold[t.to] += t.amount;
    if (!counted) continue;
    moves[t.from]++;
    moves[t.to]++;
  }
  return digestOf(Array.from(gold, (value, k) => ({ gold: value, moves: moves[k] })));
}

function digestOf(accounts: Iterable<Holding>): string {
  return digest(
    (function* () {
      for (const { gold, moves } of accounts) yield* [gold, moves];
    })(),
  );
}

/** Messages whose time is taken together. */
export const MESSAGE_BLOCK = 1_000;

export interface Sizes {
  /** Messages under way, there and back. */
  readonly window: number;
  readonly total: number;
}

export const sizes: Record<Size, Sizes> = {
  small: { window: 64, total: 10_000 },
  full: { window: 8_192, total: 6_000_000 },
};

/** Whom the bank answers. */
const feederTarget = { name: 'feeder', protocol: FeederProtocol };

/** Take a transfer from a lane, 4 logged writes, 1 send.
 * @param onHandled told of each message, inside its transaction */
export function bank(onHandled: () => void) {
  return service('bank', {
    state: BankState,
    protocol: BankProtocol,
    start({ state: { accounts } }) {
      for (let k = 0; k < ACCOUNTS; k++) accounts.create({ gold: START });
    },
    on: {
      transfer(ctx, t) {
        const { accounts } = ctx.state;
        const from = accounts.get(t.from);
        const to = accounts.get(t.to);
        if (!from || !to) return;
        from.gold -= t.amount;
        to.gold += t.amount;
        from.moves++;
        to.moves++;
        ctx.send(feederTarget, 'done', t);
        onHandled();
      },
    },
  });
}

/** A service's node in this process, as `lich up` would run it.
 * @param instance of node ids; each service of a trial has its own */
export function coreOf(made: Service, dir: string, instance: number): Core {
  const log = createLog(made.name, line => process.stderr.write(line));
  return serviceCore(made, {}, { dir, name: `${made.name}-1`, id: instance, log });
}
