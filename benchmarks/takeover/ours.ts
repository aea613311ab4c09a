/** Kills the owner of a world of records again and again, and takes the time to the first message that the next owner
 * handles: from before the kill to inside the handler, on the clock that all processes share. Under load it also takes the
 * time of that owner's first 1,000 messages, beside those of the owner before. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SupervisorEvent } from 'lich/runtime';
import { nowNs } from 'lich/shm';
import { type Measured, median } from '../lib/bench.ts';
import { Helper, scratchDir } from '../lib/tools.ts';
import { Killer } from './killer.ts';
import { calm } from './proc.ts';
import { figuresOf, RECORDS_VARIABLE, recordsOf, type TakeoverInput } from './world.ts';

/** What goes on at the kill: nothing, as many messages as can be handled, or both cores busy with something else too. */
export type At = 'rest' | 'load' | 'hogs';

export interface OursInput extends TakeoverInput {
  /** Which topology. */
  readonly kind: 'warm' | 'unrehearsed' | 'cold';
  readonly at: At;
}

/** A rehearsal without a message is repeated after 2 s, 4 s, 8 s…: so many in a row are a fault. */
const PATIENCE_MS = 60_000;
/** Messages of a life that are held against the steady state. */
const COUNTED = 1_000;

/** The processes of the world, as the supervisor tells of them. */
class World {
  readonly helper: Helper;
  readonly #log: string;
  readonly #alive = new Set<number>();
  #changed: (() => void) | undefined;
  owner = 0;

  constructor(dir: string, file: string) {
    this.#log = join(dir, 'logs/world-1.log');
    this.helper = new Helper(join(import.meta.dirname, 'cluster.js'), { dir, file });
    this.helper.process.on('message', said => this.#hear(said as SupervisorEvent));
    // What it starts must not outlive us, however we end.
    process.once('exit', () => {
      for (const pid of this.#alive) kill(pid);
    });
  }

  #hear(event: SupervisorEvent): void {
    if (event.type === 'started') this.#alive.add(event.pid);
    else if (event.type === 'exited') this.#alive.delete(event.pid);
    else if (event.type === 'ready' || event.type === 'takeover') this.owner = event.pid;
    else if (event.type === 'gaveUp') throw new Error(`${event.node} gave up, see ${event.logFile}`);
    this.#changed?.();
  }

  /** SIGKILL the owner. Who dies is known before it is told: what is asked next is about those that are left. */
  killOwner(): void {
    this.#alive.delete(this.owner);
    kill(this.owner);
    this.owner = 0;
  }

  /** Wait until somebody serves. */
  async ready(): Promise<void> {
    while (this.owner === 0) await new Promise<void>(resolve => (this.#changed = resolve));
  }

  /** Wait until so many processes live, one of them the owner, and the standby is as ready as it will be. */
  async settled({ kind, size }: OursInput, isCalm: boolean): Promise<void> {
    const processes = kind === 'cold' ? 1 : 2;
    while (this.#alive.size !== processes || !this.#alive.has(this.owner)) {
      await new Promise<void>(resolve => (this.#changed = resolve));
    }
    for (const pid of this.#alive) {
      if (pid !== this.owner) await this.#says(pid, kind === 'warm' ? 'rehearsed' : 'standing by', size === 'full');
      if (isCalm) await calm(pid);
    }
  }

  /** On a busy machine a process may be quiet because it has not got so far. */
  async #says(pid: number, words: string, withMessages: boolean): Promise<void> {
    const said = (line: string): boolean =>
      line.includes(`"pid":${pid},`) &&
      line.includes(`"msg":"${words}"`) &&
      !(withMessages && line.includes('"messages":0,'));
    const untilMs = performance.now() + PATIENCE_MS;
    while (this.#alive.has(pid) && !readFileSync(this.#log, 'utf8').split('\n').some(said)) {
      if (performance.now() > untilMs)
        throw new Error(`process ${pid} was not \`${words}\`:\n${readFileSync(this.#log, 'utf8').slice(-2_000)}`);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended already
  }
}

async function withHogs<T>(
  busy: boolean,
  fn: (let_: (signal: 'SIGCONT' | 'SIGSTOP') => void) => Promise<T>,
): Promise<T> {
  const hogs = busy ? ([0, 1] as const).map(cpu => new Helper(join(import.meta.dirname, 'hog.js'), { cpu })) : [];
  for (const hog of hogs) await hog.next();
  const tell = (signal: 'SIGCONT' | 'SIGSTOP'): void => hogs.forEach(hog => void hog.process.kill(signal));
  tell('SIGSTOP');
  try {
    return await fn(tell);
  } finally {
    for (const hog of hogs) await hog.end('SIGKILL');
  }
}

export default async function takeover(input: OursInput): Promise<Measured> {
  const { mib, kills, kind, at } = input;
  const dir = scratchDir();
  const records = recordsOf(mib);
  process.env[RECORDS_VARIABLE] = String(records);
  const world = new World(dir, join(import.meta.dirname, `${kind}.topology.js`));
  const killer = new Killer(dir);
  const { ended } = await killer.start();
  await world.ready();
  while ((await killer.ask()).records < records) await new Promise(resolve => setTimeout(resolve, 100));
  const gaps: number[] = [];
  const firsts: number[] = [];
  const steady: number[] = [];
  await withHogs(at === 'hogs', async tell => {
    for (let k = 0; k < kills; k++) {
      killer.load(true);
      await world.settled(input, false);
      if (at === 'load') await killer.handled(20 * COUNTED);
      else {
        killer.load(false);
        await world.settled(input, true);
      }
      const before = await killer.ask();
      tell('SIGCONT');
      if (at === 'hogs') await new Promise(resolve => setTimeout(resolve, 100 + (k % 10) * 7));
      const from = nowNs();
      world.killOwner();
      let answer = await killer.ask();
      // The old owner may have taken it before it died: then it was not the first message of the next one.
      while (answer.epoch === before.epoch) answer = await killer.ask();
      tell('SIGSTOP');
      if (at === 'load' && killer.times.length < COUNTED) await killer.more(COUNTED);
      if (answer.records !== records) throw new Error(`${answer.records} of ${records} records are left`);
      gaps.push((killer.times[0] - from) / 1e6);
      if (at !== 'load') continue;
      firsts.push((killer.times[COUNTED - 1] - killer.times[0]) / COUNTED / 1e3);
      const last = killer.timesBefore;
      for (let end = last.length - 1; end >= COUNTED; end -= COUNTED)
        steady.push((last[end] - last[end - COUNTED]) / COUNTED / 1e3);
    }
  });
  killer.load(false);
  await world.helper.end();
  killer.core.stop();
  await ended;
  const figures = figuresOf(gaps);
  if (at !== 'load') return { figures };
  return { figures: { ...figures, firstUs: median(firsts), steadyUs: median(steady) } };
}
