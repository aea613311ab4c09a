/** What the compiler says about own messages, requests to other services, and what others may say. */
import { command, event, int, own, pool, protocol, request, state, struct } from '@lich/schema';
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

const Bank = protocol({ charge: request({ amount: int }, { left: int }), note: command({}) });
const bank = { name: 'bank', protocol: Bank };
service('asks', {
  state: State,
  protocol: P,
  on: {
    ...on,
    walk(ctx, { dx }) {
      const handle: number = ctx.ask(bank, 'charge', { amount: dx }, { withinMs: 100, answer: 'charged', note: 7 });
      void handle;
      // @ts-expect-error a field is missing
      ctx.ask(bank, 'charge', {}, { answer: 'charged' });
      // @ts-expect-error a command is not answered
      ctx.ask(bank, 'note', {}, { answer: 'charged' });
      // @ts-expect-error who is told is to be said
      ctx.ask(bank, 'charge', { amount: 1 }, {});
      // @ts-expect-error a request is asked, not sent
      ctx.send(bank, 'charge', { amount: 1 });
    },
  },
  answers: {
    charged(ctx, answer, note) {
      ctx.state.n = answer.of(bank, 'charge').left + note;
      const code: string | undefined = answer.failed?.code;
      void code;
      // @ts-expect-error no such field
      void answer.of(bank, 'charge').right;
      // @ts-expect-error no request
      answer.of(bank, 'note');
    },
  },
});
service('answers', {
  state: State,
  protocol: P,
  on,
  // @ts-expect-error handlers are synchronous, those of answers too
  answers: { async charged() {} },
});

class Player extends struct({ gold: int }) {}
const Land = protocol({
  walk: command({ dx: int }),
  grant: command({ gold: int }, { from: 'services' }),
  count: request({}, { n: int }, { from: 'both' }),
  seen: event({}),
});
service('land', {
  state: state({ players: pool(Player) }),
  protocol: Land,
  me: 'players',
  on: {
    walk({ me }) {
      me.gold++;
    },
    grant(ctx, { gold }) {
      for (const player of ctx.state.players) player.gold += gold;
      // @ts-expect-error a service says it: there is no player
      void ctx.me;
    },
    count({ me }) {
      // @ts-expect-error a service may have asked
      void me.gold;
      return { n: me?.gold ?? 0 };
    },
  },
});
