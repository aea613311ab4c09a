/** The other process: a client that sends transfers to the bank and is told of each one that is done. A fixed number is
 * under way; each answer sends the next transfer in the transaction that handles it. */
import { state, u32 } from '@lich/schema';
import { service } from 'lich/runtime';
import { Blocks, helperInput, pin } from '../lib/tools.ts';
import { BankProtocol, coreOf, FeederProtocol, type Transfer, transfers } from './game.ts';

export interface FeederInput {
  readonly dir: string;
  readonly window: number;
  readonly total: number;
}

export interface FeederResult {
  /** Transfers a second, there and back. */
  readonly perSecond: number;
}

const { dir, window, total } = helperInput<FeederInput>();
const bank = { name: 'bank', protocol: BankProtocol };
const next = transfers();
const t: Transfer = { from: 0, to: 0, amount: 0 };
// Of many windows each: a shorter block may be a backlog that is worked off.
const blocks = new Blocks(Math.floor(total / 50));
let done = 0;

const feeder = service('feeder', {
  state: state({ unused: u32 }),
  protocol: FeederProtocol,
  start(ctx) {
    ctx.post('go', { count: window });
  },
  on: {
    go(ctx, { count }) {
      for (let k = 0; k < count; k++) {
        next(t);
        if (!ctx.send(bank, 'transfer', t)) throw new Error('the lane to the bank is full: the window is too large');
      }
    },
    done(ctx) {
      done++;
      blocks.add();
      if (done === total) ctx.onCommit(() => process.send!({ perSecond: 1e9 / blocks.medianNs }));
      if (done + window > total) return;
      next(t);
      if (!ctx.send(bank, 'transfer', t)) throw new Error('the lane to the bank is full: the window is too large');
    },
  },
});

pin(0);
const core = coreOf(feeder, dir, 2);
process.on('SIGTERM', () => core.stop());
await core.run();
process.disconnect();
