/** What a flow's `do` is given in place of a player who has left: the first use of it says so. */
import { RECORD_REF } from '@lich/schema';
import { RuntimeError } from '../errors.ts';

export const GONE: object = new Proxy(
  {},
  {
    get(_, key) {
      if (key === RECORD_REF || typeof key === 'symbol') return undefined;
      return refuseGone();
    },
    set: () => refuseGone(),
  },
);

function refuseGone(): never {
  throw new RuntimeError('RUNTIME_PLAYER_GONE', 'the player that this flow is for has left', { severity: 'warn' });
}
