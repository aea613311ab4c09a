/** The other process: a service that sends transfers to the bank and is told of each one that is done. */
import { state, u32 } from '@lich/schema';
import { service } from 'lich/runtime';
import { Blocks, helperInput, pin } from '../lib/tools.ts';
import { BankProtocol, coreOf, FeederProtocol, type Transfer, transfers } from './game.ts';

export interface FeederInput {
  readonly dir: string;
  /** Sent at once, each time all of the last ones are done. */
  readonly burst: number;
  /** Transfers in total. */
  readonly total: number;
  /** `burst`: all of a burst in one transaction. `window`: `burst` are under way at any time, each answer sends the next. */
  readonly mode: 'burst' | 'window';
}

export interface FeederResult {
  /** Transfers a second, as the answers come. */
  readonly perSecond: number;
}

const { dir, burst, total, mode } = helperInput<FeederInput>();
const bank = { name: 'bank', protocol: BankProtocol };
const next = transfers();
const t: Transfer = { from: 0, to: 0, amount: 0 };
// Of many windows each: a shorter block may be a backlog that is worked off.
const blocks = new Blocks(Math.floor(total / 50));
let sent = 0;
let done = 0;

const feeder = service('feeder', {
  state: state({ round: u32 }),
  protocol: FeederProtocol,
  start(ctx) {
    ctx.post('go', { count: burst });
  },
  on: {
    go(ctx, { count }) {
      for (let k = 0; k < count; k++) {
        next(t);
        if (!ctx.send(bank, 'transfer', t)) throw new Error('the lane to the bank is full: the burst is too large');
      }
      sent += count;
    },
    done(ctx) {
      done++;
      blocks.add();
      if (done === total) ctx.onCommit(() => process.send!({ perSecond: 1e9 / blocks.medianNs }));
      if (sent === total) return;
      if (mode === 'window') {
        next(t);
        if (!ctx.send(bank, 'transfer', t)) throw new Error('the lane to the bank is full: the window is too large');
        sent++;
      } else if (done === sent) ctx.post('go', { count: Math.min(burst, total - sent) });
    },
  },
});

pin(0);
const core = coreOf(feeder, dir, 2);
process.on('SIGTERM', () => core.stop());
await core.run();
process.disconnect();
