/** A project under `lich dev`: the damage of a fight that goes on is edited again and again; somebody outside looks at the
 * state until a hit was done with the new figure. */
import { spawn } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nowNs } from 'lich/shm';
import { attach } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { percentile, scratchDir, type TrialInput } from '../lib/tools.ts';

export interface DevInput extends TrialInput {
  readonly edits: number;
  /** Between two edits: somebody reads what the last one did. */
  readonly pauseMs: number;
}

const FILES: Readonly<Record<string, string>> = {
  'package.json': '{ "type": "module" }',
  'tsconfig.json': JSON.stringify({
    compilerOptions: {
      strict: true,
      module: 'nodenext',
      target: 'es2023',
      allowImportingTsExtensions: true,
      noEmit: true,
      types: [],
      skipLibCheck: true,
    },
    include: ['*.ts'],
  }),
  'fight.ts': `
import { int, own, pool, protocol, ref, service, state, struct, text } from 'lich';
import { damage } from './figures.ts';
export class Fighter extends struct({ name: text(16), hp: int.init(1000), foe: ref('fighters') }) {}
export default service('fight', {
  state: state({ hits: int, last: int, fighters: pool(Fighter) }),
  protocol: protocol({ hit: own({}) }),
  start(ctx) {
    for (let k = 0; k < 1000; k++) ctx.state.fighters.create();
    ctx.every(1, 'hit', {});
  },
  on: {
    hit({ state }) {
      const foe = state.fighters.get(state.hits++ % 1000)!;
      foe.hp = foe.hp > damage ? foe.hp - damage : 1000;
      state.last = damage;
    },
  },
});
`,
  'topology.ts': `
import { topology } from 'lich';
export const zone = topology({ fight: { run: './fight.ts', limits: { logBytes: 1 << 20 } } });
`,
};

export default async function ours({ edits, pauseMs }: DevInput): Promise<Measured> {
  const at = scratchDir();
  const lich = fileURLToPath(new URL('../../bin/lich.js', import.meta.resolve('lich')));
  symlinkSync(join(import.meta.dirname, '../../../node_modules'), join(at, 'node_modules')); // from dist/dev
  const save = (name: string, text: string): void => writeFileSync(join(at, name), text);
  const edit = (damage: number): void => save('figures.ts', `export const damage: number = ${damage};\n`);
  for (const [name, text] of Object.entries(FILES)) save(name, text);
  edit(1);
  const dir = join(at, 'cluster');
  mkdirSync(dir, { mode: 0o700 });
  const dev = spawn(process.execPath, [lich, 'dev', join(at, 'topology.ts'), '--dir', dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  dev.stdout.on('data', chunk => (output += String(chunk)));
  const ended = new Promise(resolve => dev.once('close', resolve));
  const said = async (what: string, times: number): Promise<void> => {
    while (output.split(what).length <= times) {
      if (dev.exitCode !== null) throw new Error(`lich dev ended:\n${output}`);
      await sleep(1);
    }
  };
  try {
    await said('watching', 1);
    const reader = attach(dir, { as: 'tool', node: 'fight-1' });
    const last = (): number => reader.snapshot(s => (s.root() as { last: number }).last);
    const ms: number[] = [];
    for (let k = 0; k < edits; k++) {
      await sleep(pauseMs);
      const from = nowNs();
      edit(k + 2);
      while (last() !== k + 2) await sleep(1);
      ms.push((nowNs() - from) / 1e6);
      await said('deployed    ', k + 1);
    }
    ms.sort((a, b) => a - b);
    return { figures: { min: ms[0], p50: percentile(ms, 0.5), max: ms[ms.length - 1] }, work: last() };
  } finally {
    dev.kill('SIGINT');
    await ended;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
