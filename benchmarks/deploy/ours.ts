/** A world of records under full load is deployed again and again. A sender keeps messages on their way all the time, and
 * hears when each was handled: the longest time between two of them is the pause. */
import { spawn } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Measured } from '../lib/bench.ts';
import { percentile, scratchDir, type TrialInput } from '../lib/tools.ts';
import { Killer } from '../takeover/killer.ts';

export interface DeployInput extends TrialInput {
  readonly records: number;
  readonly deploys: number;
  /** Of the code that is deployed, beside that before it. */
  readonly layout: 'same' | 'other';
}

const TOPOLOGY = `
import { topology } from 'lich';
export const zone = topology({ world: { run: './world.ts', standby: 1 } });
`;

/** The world of the bench takeover, as a project has it.
 * @param fields fields more than it had at first */
const worldOf = (version: number, records: number, fields: number): string => `
import { array, command, f32, f64, i32, int, own, pool, protocol, service, state, struct, text, u32 } from 'lich';
import { nowNs } from 'lich/shm';

export const version = ${version};

export class Unit extends struct({
  id: u32, name: text(24), x: f32, y: f32, z: f32, hp: i32, mp: i32, level: i32, gold: int, bag: array(u32, 224),
  ${Array.from({ length: fields }, (_, k) => `extra${k}: i32`).join(', ')}
}) {}

const killer = {
  name: 'killer',
  protocol: protocol({ handled: command({ n: u32, atNs: f64, epoch: u32, records: u32 }) }),
};

export default service('world', {
  state: state({ units: pool(Unit, { capacity: ${records} }) }),
  protocol: protocol({ probe: command({ n: u32 }), fill: own({ from: u32 }) }),
  start(ctx) {
    ctx.post('fill', { from: 0 });
  },
  on: {
    fill(ctx, { from }) {
      const { units } = ctx.state;
      const end = Math.min(from + 500, units.capacity);
      for (let id = from; id < end; id++) units.create({ id, name: \`unit \${id}\`, hp: 100, level: id % 60, gold: id * 3 });
      if (end < units.capacity) ctx.post('fill', { from: end });
    },
    probe(ctx, { n }) {
      const { units } = ctx.state;
      const unit = units.get(n % units.capacity);
      if (unit) unit.hp++;
      ctx.send(killer, 'handled', { n, atNs: nowNs(), epoch: ctx.life.epoch, records: units.size });
    },
  },
});
`;

const bin = (): string => fileURLToPath(new URL('../../bin/lich.js', import.meta.resolve('lich')));

export default async function ours({ records, deploys, layout }: DeployInput): Promise<Measured> {
  const at = scratchDir();
  const dir = join(at, 'cluster');
  mkdirSync(dir, { mode: 0o700 });
  symlinkSync(join(import.meta.dirname, '../../../node_modules'), join(at, 'node_modules')); // from dist/deploy
  const save = (name: string, text: string): void => writeFileSync(join(at, name), text);
  const edit = (version: number): void => save('world.ts', worldOf(version, records, layout === 'same' ? 0 : version));
  save('package.json', '{ "type": "module" }');
  save('topology.ts', TOPOLOGY);
  edit(0);
  const up = new Command(['up', join(at, 'topology.ts'), '--dir', dir]);
  try {
    await up.said('ready after');
    const killer = new Killer(dir);
    const { ended } = await killer.start();
    while ((await killer.ask()).records < records) await new Promise(resolve => setTimeout(resolve, 100));
    killer.load(true);
    const pauses: number[] = [];
    let said = 0;
    for (let k = 1; k <= deploys; k++) {
      await killer.handled(20_000);
      edit(k);
      killer.longestNs = 0;
      const deploy = new Command(['deploy', '--dir', dir, '--probation', '200']);
      await deploy.ended;
      const pause = /the longest pause was ([\d.]+) ms/.exec(deploy.output);
      if (pause === null) throw new Error(`the deploy was not done:\n${deploy.output}`);
      await killer.handled(20_000);
      pauses.push(killer.longestNs / 1e6);
      said = Math.max(said, Number(pause[1]));
    }
    killer.load(false);
    const { records: left } = await killer.ask();
    if (left !== records) throw new Error(`${left} of ${records} records are left`);
    killer.core.stop();
    await ended;
    pauses.sort((a, b) => a - b);
    return { figures: { min: pauses[0], p50: percentile(pauses, 0.5), max: pauses.at(-1)!, said }, work: left };
  } finally {
    up.process.kill('SIGINT');
    await up.ended;
  }
}

/** One `lich` command. */
class Command {
  readonly process;
  readonly ended: Promise<unknown>;
  output = '';

  constructor(args: readonly string[]) {
    this.process = spawn(process.execPath, [bin(), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.process.stdout.on('data', chunk => (this.output += String(chunk)));
    this.ended = new Promise(resolve => this.process.once('close', resolve));
  }

  /** Wait until it has said something. */
  async said(what: string): Promise<void> {
    while (!this.output.includes(what)) {
      if (this.process.exitCode !== null) throw new Error(`${what} was not said:\n${this.output}`);
      await new Promise(resolve => setTimeout(resolve, 10));
    }
  }
}
