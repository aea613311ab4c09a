import { command, event, int, own, pool, protocol, request, state, struct } from '@lich/schema';
import { describe, expect, it } from 'vitest';
import { isService, service } from './service.ts';

class Player extends struct({ hp: int }) {}
const State = state({ players: pool(Player) });
const P = protocol({
  walk: command({ x: int }),
  buy: request({ n: int }, { ok: int }),
  later: own({}),
  seen: event({ n: int }),
});
const on = { walk() {}, buy: () => ({ ok: 1 }), later() {} };
const good = { state: State, protocol: P, on } as const;

const risky = { protocol: protocol({ ...P.declared, later: own({}, { onCrash: 'skip' }) }) };

const refusal = (name: string, spec: object) => {
  try {
    service(name, spec as never);
  } catch (error) {
    return { code: (error as { code?: string }).code, message: (error as Error).message };
  }
  return undefined;
};

describe('service()', () => {
  it.each<[string, object, string]>([
    ['Arena', good, 'the name'],
    ['a-1', good, 'the name'],
    ['', good, 'the name'],
    ['arena', { ...good, tik: () => {} }, 'field `tik`'],
    ['arena', { ...good, state: undefined }, 'state'],
    ['arena', { ...good, state: {} }, 'state'],
    ['arena', { ...good, protocol: undefined }, 'protocol'],
    ['arena', { ...good, on: undefined }, 'on'],
    ['arena', { ...good, me: 'player' }, "me: 'player'"],
    ['arena', { ...good, tickHz: 0 }, 'tickHz: 0'],
    ['arena', { ...good, tickHz: 1001 }, 'tickHz: 1001'],
    ['arena', { ...good, tickHz: NaN }, 'tickHz: NaN'],
    ['arena', { ...good, tickHz: '60' }, 'tickHz: 60'],
    ['arena', { ...good, tick() {} }, '`tick` without tickHz'],
    ['arena', { ...good, tickHz: 20, tick: 5 }, '`tick`'],
    ['arena', { ...good, start: {} }, '`start`'],
    ['arena', { ...good, overrun: 'drop' }, 'overrun'],
    ['arena', { ...good, config: 5 }, 'config'],
    ['arena', { ...good, on: { ...on, walk: undefined } }, 'on.walk'],
    ['arena', { ...good, on: { buy: on.buy, later: on.later } }, 'on.walk'],
    ['arena', { ...good, on: { ...on, seen() {} } }, 'on.seen'],
    ['arena', { ...good, on: { ...on, run() {} } }, 'on.run'],
    ['arena', { ...good, on: { ...on, walk: async () => {} } }, 'on.walk'],
    ['arena', { ...good, tickHz: 20, tick: async () => {} }, 'tick'],
    ['arena', { ...good, async start() {} }, 'start'],
    ['arena', { ...good, answers: 5 }, 'answers'],
    ['arena', { ...good, answers: { bought: 5 } }, 'answers.bought'],
    ['arena', { ...good, answers: { async bought() {} } }, 'answers.bought'],
    ['arena', { ...good, onSkipped: 5 }, 'onSkipped'],
    ['arena', { ...good, onSkipped: null }, 'onSkipped'],
    ['arena', { ...good, onSkipped: { later() {} } }, 'onSkipped.later'],
    ['arena', { ...good, onSkipped: { walk() {} } }, 'onSkipped.walk'],
    ['arena', { ...good, onSkipped: { nothing() {} } }, 'onSkipped.nothing'],
    ['arena', { ...good, ...risky, onSkipped: { later: 5 } }, 'onSkipped.later'],
    ['arena', { ...good, ...risky, onSkipped: { async later() {} } }, 'onSkipped.later'],
  ])('%s %o is refused by name', (name, spec, why) => {
    const found = refusal(name, spec);
    expect(found?.code).toBe('RUNTIME_BAD_SERVICE');
    expect(found?.message).toContain(why);
    expect(found?.message).toContain('; want ');
  });

  it('takes what is right', () => {
    expect(refusal('arena', good)).toBeUndefined();
    expect(refusal('arena', { ...good, ...risky, onSkipped: { later() {} } })).toBeUndefined();
    const found = service('arena', {
      ...good,
      me: 'players',
      tickHz: 20,
      overrun: 'catchUp',
      config: { speed: 1 },
      start() {},
      tick() {},
      join() {},
      leave() {},
      resumed() {},
    } as never);
    expect(isService(found)).toBe(true);
    expect([isService({}), isService(null), isService(good)]).toEqual([false, false, false]);
  });
});
