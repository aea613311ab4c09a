/** The owner of a state, which changes it as fast as it can until it is told to stop, and says how long its blocks took. */
import { nowNs } from 'lich/shm';
import { attach } from 'lich/state';
import { helperInput, orphaned, pin } from '../lib/tools.ts';
import { BLOCK, moves, RECORDS, schema } from './work.ts';

export interface WriterInput {
  readonly dir: string;
}

/** Ends of blocks and what a transaction took in them, ns. */
export interface Written {
  readonly ends: number[];
  readonly ns: number[];
}

const { dir } = helperInput<WriterInput>();
pin(1);
const { log, state } = attach(dir, { as: 'owner', node: 'writer', schema }).store;
log.begin();
for (let k = 0; k < RECORDS; k++) state.units.create({ name: `unit ${k}`, hp: 100 });
log.commit();
const all = [...state.units];

const move = moves();
function block(): void {
  for (let k = 0; k < BLOCK; k++) {
    move.next();
    const a = all[move.a];
    const b = all[move.b];
    log.begin();
    a.gold -= move.by;
    b.gold += move.by;
    a.x += 0.5;
    b.x -= 0.5;
    if (move.undone) log.rollback();
    else log.commit();
  }
}

const ends: number[] = [];
const ns: number[] = [];
let stopped = false;
process.on('message', () => (stopped = true));
for (let k = 0; k < 300; k++) block();
process.send!('ready');
function turn(): void {
  for (let k = 0; k < 16; k++) {
    const from = nowNs();
    block();
    const end = nowNs();
    ends.push(end);
    ns.push((end - from) / BLOCK);
  }
  if (stopped) process.send!({ ends, ns } satisfies Written);
  else if (orphaned()) process.exit();
  else setImmediate(turn);
}
setImmediate(turn);
