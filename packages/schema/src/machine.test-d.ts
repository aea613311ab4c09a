// State machines.
import * as S from './index.ts';
import type { Init, Machine, MachineStep, Mirror, Plain } from './index.ts';
import { expectType } from './testing/types.ts';
import type { Equal } from './testing/types.ts';

class Npc extends S.struct({
  hp: S.i32,
  target: S.ref<Npc>('npcs'),
  mode: S.machine({
    initial: 'idle',
    states: {
      idle: { to: ['chase'], on: { hurt: 'chase', died: 'dead' } },
      chase: {
        to: ['idle', 'dead'],
        after: [5_000, 'idle'],
        enter(npc: Npc, { from, nowMs }: MachineStep): void {
          npc.hp -= 1;
          npc.target = undefined;
          npc.mode.to('idle');
          if (from === 'idle') npc.hp = nowMs;
        },
        exit(npc: Npc): void {
          npc.roar();
        },
      },
      dead: {},
    },
  }).sync,
}) {
  roar() {
    return this.mode.state;
  }
  get resting() {
    return this.mode.is('idle');
  }
}
declare const npc: Npc;
expectType<Equal<typeof npc.mode.state, 'idle' | 'chase' | 'dead'>>();
expectType<Equal<ReturnType<typeof npc.roar>, 'idle' | 'chase' | 'dead'>>();
npc.mode.to('chase');
npc.mode.to('dead');
npc.mode.to('chase').to('idle').to('chase').to('dead');
npc.mode.send('hurt');
if (npc.mode.is('idle')) {
  npc.mode.to('chase');
  expectType<Equal<typeof npc.mode.state, 'idle'>>();
  // @ts-expect-error nothing leads from idle to idle
  npc.mode.to('idle');
}
if (npc.mode.is('chase', 'dead')) npc.mode.to('idle');
const since: number = npc.mode.since;
void since;
// @ts-expect-error no such state
npc.mode.to('sleep');
// @ts-expect-error nothing leads out of there
npc.mode.to('dead').to('idle');
// @ts-expect-error chase does not lead to itself
npc.mode.to('chase').to('chase');
// @ts-expect-error no such event
npc.mode.send('bored');
// @ts-expect-error no such state
npc.mode.is('sleep');
// @ts-expect-error switched, not assigned
npc.mode = 'idle';
// @ts-expect-error switched, not assigned
npc.mode.state = 'idle';

const init: Init<Npc> = { mode: 'chase' };
void init;
// @ts-expect-error no such state
const wrong: Init<Npc> = { mode: 'sleep' };
void wrong;
expectType<Equal<Plain<Npc>['mode'], 'idle' | 'chase' | 'dead'>>();
declare const mirror: Mirror<Npc>;
expectType<Equal<typeof mirror.mode, 'idle' | 'chase' | 'dead'>>();

const State = S.state({ npcs: S.pool(Npc) });
declare const state: S.StateOf<typeof State>;
for (const each of state.npcs) if (each.mode.state === 'idle') each.mode.to('chase');

const quiet = S.machine({ initial: 'a', states: { a: {} } });
expectType<Equal<S.OutOf<typeof quiet>, Machine<{ readonly a: never }, never>>>();
// @ts-expect-error starts nowhere
S.machine({ initial: 'b', states: { a: {} } });
// @ts-expect-error leads nowhere
S.machine({ initial: 'a', states: { a: { to: ['b'] } } });
// @ts-expect-error leads nowhere
S.machine({ initial: 'a', states: { a: { after: [1, 'b'] } } });
// @ts-expect-error leads nowhere
S.machine({ initial: 'a', states: { a: { on: { go: 'b' } } } });
// @ts-expect-error no machine in a message
S.command({ mode: quiet });
