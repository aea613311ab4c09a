/** Players while their scene is deployed: to other code, to another layout, and back from one that crashes. No socket is
 * closed, and each thing that they say is done once. LICH_SOAK=1 begins with other code of the same layout. */
import { connect } from '@lich/client';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { Land, LandProtocol } from '../../testing/fixtures/land/game.ts';
import { LichUp, until } from '../../testing/lich-up.ts';

const FIXTURE = fileURLToPath(new URL('../../testing/fixtures/land', import.meta.url));
const MODULES = fileURLToPath(new URL('../../../../../node_modules', import.meta.url));
const LICH = fileURLToPath(new URL('../../../bin/lich.js', import.meta.url));
const CLIENTS = 3;

let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

async function deploy(): Promise<{ code: number; errors: string }> {
  const child = spawn(process.execPath, [LICH, 'deploy', 'land', '--probation', '500', '--dir', up!.dir]);
  let errors = '';
  child.stderr.on('data', chunk => (errors += String(chunk)));
  const [code] = (await once(child, 'close')) as [number];
  return { code, errors };
}

it('they stay connected, and nothing of theirs is lost or doubled', async () => {
  const at = testDir();
  fs.cpSync(FIXTURE, at, { recursive: true });
  fs.writeFileSync(`${at}/package.json`, '{ "type": "module" }');
  fs.symlinkSync(MODULES, `${at}/node_modules`);
  up = await LichUp.up(`${at}/topology.ts`, `${at}/cluster`, { LAND_WS: '0' });
  const address = /gateway-1 +(ws:\S+)\s/;
  await until(() => address.test(up!.output));
  const url = address.exec(up.output)![1]!;
  const lost: string[] = [];
  let isEnding = false;
  let answered = 0;
  const wrong: string[] = [];
  const walk = async (): Promise<void> => {
    const game = await connect(url, {
      protocol: LandProtocol,
      state: Land,
      WebSocket,
      onStatus: (status, reason) => {
        if (reason !== undefined) lost.push(`${status} ${reason.code}`);
      },
    });
    for (let n = 0; !isEnding; ) {
      for (let k = 0; k < 3; k++) game.send('step', { n: ++n });
      const said = await game.ask('count', { n: ++n });
      if (said.steps !== n || said.wrong !== 0) wrong.push(`asked as ${n}: ${said.steps} steps, ${said.wrong} wrong`);
      answered++;
    }
    game.close();
  };
  const walking = Promise.all(Array.from({ length: CLIENTS }, walk));
  const goesOn = async (): Promise<void> => {
    const before = answered;
    await until(() => answered > before + 50);
    expect({ lost, wrong }).toEqual({ lost: [], wrong: [] });
  };
  const edit = (file: string, from: string, to: string): void => {
    const text = fs.readFileSync(`${at}/${file}`, 'utf8');
    expect(text).toContain(from);
    fs.writeFileSync(`${at}/${file}`, text.replace(from, to));
  };
  await goesOn();
  if (process.env.LICH_SOAK) {
    edit('land.ts', 'me.wrong++;', 'me.wrong += 2;');
    expect(await deploy()).toEqual({ code: 0, errors: '' });
    await goesOn();
    edit('land.ts', 'me.wrong += 2;', 'me.wrong++;');
  }
  edit('game.ts', 'wrong: int,', 'weight: int.init(5), wrong: int,');
  expect(await deploy()).toEqual({ code: 0, errors: '' });
  await goesOn();
  edit('game.ts', 'weight: int.init(5), ', '');
  edit('land.ts', 'me.wrong++;', 'me.wrong++; if (n % 64 === 0) process.abort();');
  expect(await deploy()).toMatchObject({ code: 1 });
  await goesOn();
  const reader = up.reader('land-1');
  expect(reader.snapshot(s => [...s.pool('walkers').values()])).toMatchObject(Array(CLIENTS).fill({ weight: 5 }));
  expect(reader.check()).toEqual([]);
  reader.segment.close();
  isEnding = true;
  await walking;
});
