/** `lich dev`: a figure is edited while a fight goes on. LICH_SOAK=1 edits 20 times and prints how long each took. */
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { LichUp, processesOf, rootOf, until } from '../../testing/lich-up.ts';

const MODULES = fileURLToPath(new URL('../../../../../node_modules', import.meta.url));
const EDITS = process.env.LICH_SOAK ? 20 : 4;

let dev: LichUp | undefined;
afterEach(async () => {
  await dev?.stop();
  dev = undefined;
  removeTestDirs();
});

const FIGHT = `
import { int, own, protocol, service, state } from 'lich';
import { damage } from './figures.ts';
export default service('fight', {
  state: state({ hits: int, last: int, hp: int }),
  protocol: protocol({ hit: own({}) }),
  start(ctx) { ctx.every(1, 'hit', {}); },
  on: { hit({ state }) { state.hits++; state.last = damage; state.hp -= damage; } },
});`;
const figures = (damage: string): string => `export const damage: number = ${damage};\n`;

async function project(): Promise<string> {
  const at = testDir();
  const files = {
    'package.json': '{ "type": "module" }',
    'tsconfig.json':
      '{ "compilerOptions": { "strict": true, "module": "nodenext", "target": "es2023", "allowImportingTsExtensions": true, "noEmit": true, "types": [], "skipLibCheck": true }, "include": ["*.ts"] }',
    'fight.ts': FIGHT,
    'figures.ts': figures('1'),
    'topology.ts': `import { topology } from 'lich';
      export const zone = topology({ fight: { run: './fight.ts', limits: { logBytes: 1 << 20 } } });`,
  };
  fs.symlinkSync(MODULES, `${at}/node_modules`);
  for (const [name, text] of Object.entries(files)) fs.writeFileSync(`${at}/${name}`, text);
  dev = new LichUp(`${at}/topology.ts`, `${at}/cluster`, {}, ['--keep'], 'dev');
  await dev.said('watching');
  return at;
}

it('saves have their effect in the running state; what cannot be shows its error, and the old code runs on', async () => {
  const at = await project();
  const reader = dev!.reader('fight-1');
  const save = (text: string): void => fs.writeFileSync(`${at}/figures.ts`, text);
  const took: number[] = [];
  for (let damage = 2; damage < 2 + EDITS; damage++) {
    // Not in a hurry: somebody reads what the last edit did.
    await until(() => dev!.output.split('deployed    ').length === damage - 1);
    const startMs = performance.now();
    save(figures(String(damage)));
    await until(() => rootOf(reader).last === damage);
    took.push(Math.round(performance.now() - startMs));
  }
  if (process.env.LICH_SOAK) console.log(`ms from save to effect: ${took.sort((a, b) => a - b).join(' ')}`);
  const { hits } = rootOf(reader);

  save('export const damage: number = ;\n');
  await dev!.said('not deployed: RUNTIME_COMPILE');
  expect(dev!.output).toContain('figures.ts:1');
  save("throw new Error('no figures');\n" + figures('70'));
  await dev!.said('no figures (');
  expect(dev!.output).toMatch(/no figures \(.*\/figures\.ts:1:7\); the old code runs on/);
  expect(rootOf(reader).last).toBe(1 + EDITS);
  // What does not type-check runs all the same, and is told.
  save(figures("'80' as never as number; const wrong: string = 5"));
  await until(() => rootOf(reader).hits! > hits! + 20);
  await dev!.said('TS2322');
  expect(dev!.output).toMatch(/figures\.ts\(1,\d+\): error TS2322/);
  save(figures('90'));
  await until(() => rootOf(reader).last === 90);
  await dev!.said('types: all well');
  expect(rootOf(reader).hits).toBeGreaterThan(hits!);
  expect(reader.check()).toEqual([]);
  reader.segment.close();
  expect(await dev!.stop()).toEqual({ code: 0, signal: null });
  expect(processesOf(dev!.dir)).toEqual([]);
});
