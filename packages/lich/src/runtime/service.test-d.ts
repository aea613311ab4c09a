/** What the compiler says about own messages. */
import { command, int, own, protocol, state } from '@lich/schema';
import { service, type SkipReason } from './service.ts';

const State = state({ n: int, timer: int });
const P = protocol({
  walk: command({ dx: int }),
  later: own({ n: int }),
  risky: own({ n: int }, { onCrash: 'skip', onOutage: 'shift' }),
});
// @ts-expect-error no such policy
own({}, { onCrash: 'never' });
// @ts-expect-error no such option
own({}, { late: 'fire' });
// @ts-expect-error only own messages have policies
command({}, { onCrash: 'skip' });

const on = { walk() {}, later() {}, risky() {} };
service('right', {
  state: State,
  protocol: P,
  on: {
    ...on,
    later(ctx, { n }) {
      ctx.state.timer = ctx.after(5, 'risky', { n });
      const again: number = ctx.every(5, 'later', { n: 1 });
      const did: boolean = ctx.cancel(again);
      void did;
      // @ts-expect-error a field of the wrong type
      ctx.every(5, 'later', { n: '1' });
      // @ts-expect-error a field is missing
      ctx.after(5, 'later', {});
      // @ts-expect-error a command comes from others
      ctx.after(5, 'walk', { dx: 1 });
      // @ts-expect-error what is posted at once cannot be cancelled
      const posted: number = ctx.post('later', { n: 1 });
      void posted;
    },
  },
  onSkipped: {
    risky(ctx, { n }, why) {
      const reason: SkipReason = why;
      ctx.state.n = reason === 'crash' ? n : 0;
      // @ts-expect-error no such field
      void ctx.state.m;
    },
  },
});
service('skipped', {
  state: State,
  protocol: P,
  on,
  // @ts-expect-error handlers are synchronous, those of skipped messages too
  onSkipped: { async risky() {} },
});
service('other', {
  state: State,
  protocol: P,
  on,
  // @ts-expect-error a command is not skipped
  onSkipped: { walk() {} },
});
