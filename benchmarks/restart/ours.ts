/** Kills the owner of a world of records again and again, and takes the time to the first message that the next owner
 * handles: from before the kill to inside the handler, on the clock that all processes share. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { state, u32 } from '@lich/schema';
import { FULL, HANDLED, idOf, nodeId, payloadCodec, typeOf } from 'lich/bus';
import { Core, createLog, type Logic, type SupervisorEvent, tagOfProtocol } from 'lich/runtime';
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { Helper, scratchDir } from '../lib/tools.ts';
import { calm } from './proc.ts';
import { figuresOf, KillerProtocol, RECORDS_VARIABLE, recordsOf, type RestartInput, WorldProtocol } from './world.ts';

export interface OursInput extends RestartInput {
  readonly standby: boolean;
  /** Both cores busy with something else. */
  readonly busy: boolean;
}

interface Handled {
  readonly n: number;
  readonly atNs: number;
  readonly epoch: number;
  readonly records: number;
}

const door = { resolve: () => undefined };
const probe = payloadCodec(WorldProtocol.byName.get('probe')!.layout, door);
const handled = payloadCodec(KillerProtocol.byName.get('handled')!.layout, door);
const PROBE = typeOf(tagOfProtocol(WorldProtocol), WorldProtocol.byName.get('probe')!.id);
const HANDLED_ID = KillerProtocol.byName.get('handled')!.id;

/** The killer's node: sends probes, waits for answers. */
class Killer {
  readonly core: Core;
  #answered: ((answer: Handled) => void) | undefined;
  #n = 0;

  constructor(dir: string) {
    const log = createLog('killer', line => process.stderr.write(line));
    const logic: Logic = {
      deliver: (_sender, type, _a, _b, lanes, word) => {
        const answer = handled.read(lanes, word * 4) as unknown as Handled;
        if (idOf(type) === HANDLED_ID && answer.n === this.#n) this.#answered?.(answer);
        return HANDLED;
      },
      created() {},
      resumed() {},
      step: () => 0,
      nextMs: () => Number.POSITIVE_INFINITY,
      isWaiting: () => false,
      open() {},
      close() {},
    };
    this.core = new Core(
      { dir, name: 'killer-1', id: nodeId(1, 1, 200, 1), state: state({ unused: u32 }), log },
      () => logic,
    );
  }

  /** Begin, and go on until `core.stop()`.
   * @returns once it serves, with the promise of its end */
  async start(): Promise<{ ended: Promise<void> }> {
    let serves = (): void => {};
    const serving = new Promise<void>(resolve => (serves = resolve));
    const ended = this.core.run(() => serves());
    await serving;
    return { ended };
  }

  ask(): Promise<Handled> {
    const { core } = this;
    const world = core.directory.byName('world-1').index;
    const n = ++this.#n;
    const answer = new Promise<Handled>(resolve => (this.#answered = resolve));
    core.transact(() => {
      const at = core.bus.outbox.claim(world, PROBE, 0, 0, probe.bytes);
      if (at === FULL) throw new Error('the lane to the world is full');
      probe.write(core.lanes, at * 4, { n });
      core.bus.outbox.commitClaim();
    });
    core.bus.publish();
    return answer;
  }
}

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

  /** Wait until so many processes live, one of them the owner, and all have done what they had to do. */
  async settled(processes: number): Promise<void> {
    while (this.#alive.size !== processes || !this.#alive.has(this.owner)) {
      await new Promise<void>(resolve => (this.#changed = resolve));
    }
    for (const pid of this.#alive) {
      if (pid !== this.owner) await this.#standsBy(pid);
      await calm(pid);
    }
  }

  /** On a busy machine a process may be quiet because it has not got so far. */
  async #standsBy(pid: number): Promise<void> {
    const said = (line: string): boolean => line.includes(`"pid":${pid},`) && line.includes('"standing by"');
    while (this.#alive.has(pid) && !readFileSync(this.#log, 'utf8').split('\n').some(said)) {
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

export default async function restart({ mib, kills, standby, busy }: OursInput): Promise<Measured> {
  const dir = scratchDir();
  const records = recordsOf(mib);
  process.env[RECORDS_VARIABLE] = String(records);
  const world = new World(dir, join(import.meta.dirname, standby ? 'warm.topology.js' : 'cold.topology.js'));
  const processes = standby ? 2 : 1;
  const killer = new Killer(dir);
  const { ended } = await killer.start();
  await world.settled(processes);
  while ((await killer.ask()).records < records) await new Promise(resolve => setTimeout(resolve, 100));
  const gaps: number[] = [];
  await withHogs(busy, async tell => {
    for (let k = 0; k < kills; k++) {
      await world.settled(processes);
      const before = await killer.ask();
      tell('SIGCONT');
      if (busy) await new Promise(resolve => setTimeout(resolve, 100 + (k % 10) * 7));
      const from = nowNs();
      kill(world.owner);
      let answer = await killer.ask();
      // The old owner may have taken it before it died: then it was not the first message of the next one.
      while (answer.epoch === before.epoch) answer = await killer.ask();
      tell('SIGSTOP');
      if (answer.records !== records) throw new Error(`${answer.records} of ${records} records are left`);
      gaps.push((answer.atNs - from) / 1e6);
    }
  });
  await world.settled(processes);
  await world.helper.end();
  killer.core.stop();
  await ended;
  return { figures: figuresOf(gaps) };
}
