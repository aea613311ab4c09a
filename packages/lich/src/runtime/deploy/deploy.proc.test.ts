/** `lich deploy` under load: one service counts up and sends each number, the other one must get each once, in order,
 * whatever is deployed meanwhile, and however that ends. */
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import { processesOf, until } from '../../testing/lich-up.ts';
import { beyond, deploy, pong, pongNow, running, up, type Version, whole } from '../../testing/ping-pong.test-bed.ts';

const FAST = ['--probation', '300'];

describe('a deploy', () => {
  it('goes from one code to the other and back, under load, without a lost or doubled message', async () => {
    const { write } = await running({}, 'standby: 1');
    const before = up!.ownerOf('pong-1');
    for (const by of [2, 3, 4]) {
      write({ note: `state.by = ${by};` });
      const { code, out, errors } = await deploy(...FAST);
      expect({ code, errors }).toEqual({ code: 0, errors: '' });
      expect(out).toMatch(/pong-1 +new code +pid \d+, after a pause of \d+ ms/);
      expect(out).toMatch(/ping: its code is the same|deployed pong/);
      await whole();
      expect(pongNow().by).toBe(by);
    }
    expect(up!.ownerOf('pong-1')).not.toBe(before);
    const lives = up!.log('pong-1').filter(line => line.msg === 'serving');
    expect(lives.map(({ reason }) => reason)).toEqual(['created', 'deploy', 'deploy', 'deploy']);
    // One that serves, one that stands by, and ping.
    await until(() => processesOf(up!.dir).length === 4);
    // What is started from now on is the code of the deploy.
    up!.kill('pong-1');
    await beyond(200);
    up!.kill('pong-1');
    await whole();
    expect(pongNow().by).toBe(4);
  });

  it('--dry-run says what would be, and changes nothing', async () => {
    const { write } = await running();
    const epoch = () => up!.reader('pong-1').segment.epoch;
    write({ note: 'state.by = 2;' });
    const same = await deploy('--dry-run');
    expect(same.code).toBe(0);
    expect(same.out).toContain('pong-1: the layout is the same');
    expect(same.out).toContain('the way back: before the first commit');
    write({ own: 'other: own({})', on: 'other() {},' });
    const vanished = await deploy('--dry-run');
    expect(vanished.code).toBe(1);
    expect(vanished.out).toMatch(/refused: 1 own message `later` waits that the new code does not have/);
    expect(epoch()).toBe(1);
    await whole();
    expect(pongNow().by).toBe(1);
  });

  it('the same code is no deploy, unless it is asked for by name', async () => {
    const { file } = await running();
    fs.appendFileSync(file, '\n');
    fs.writeFileSync(file, pong());
    const same = await deploy();
    expect(same.out).toMatch(/pong: its code is the same/);
    const named = await deploy('pong', ...FAST);
    expect(named.out).toContain('deployed pong');
    await whole();
  });
});

const BAD: readonly (readonly [what: string, version: Version | string, why: RegExp])[] = [
  ['a syntax error', 'export const a = ;', /RUNTIME_COMPILE: .*pong\.ts:1/],
  [
    'a module that throws',
    { top: "throw new Error('at load');" },
    /pong-1: at load \(.*pong\.ts:3:7\); the old code runs on/,
  ],
  ['no service', 'export default 5;', /RUNTIME_BAD_TOPOLOGY: .*no service as its default export/],
  [
    'a resume that throws',
    { resumed: "throw new Error('no map');" },
    /pong-1: no map \(.*pong\.ts:\d+:\d+\); the old code runs on/,
  ],
  ['a resume that kills', { resumed: 'process.abort();' }, /pong-1: the new code ended by SIGABRT/],
  [
    'a crash after its first commits',
    { note: 'state.by = 2; if (state.lives > 0 && n % 97 === 0) process.abort();' },
    /pong-1: in its probation, the new code ended by SIGABRT/,
  ],
  [
    'an exit in its probation',
    { note: 'state.by = 2; if (n % 97 === 0) process.exit(3);' },
    /pong-1: in its probation, the new code ended by code 3/,
  ],
  [
    'own messages that wait and have no handler',
    { own: 'other: own({})', on: 'other() {},' },
    /1 own message `later` waits that the new code does not have/,
  ],
  [
    'own messages with other fields',
    { own: 'later: own({ n: int, m: int })' },
    /1 own message `later` waits that the new code does not have, or has with other fields/,
  ],
  [
    'a command that is gone',
    { commands: 'another: command({})', on: 'another() {}, later() {},', note: '} , ...{' },
    /RUNTIME_/,
  ],
];

it('a bad deploy goes back by itself, whatever is bad about it, and the next one is as good as the first', async () => {
  const { write, file } = await running();
  for (const [what, version, why] of BAD) {
    if (typeof version === 'string') fs.writeFileSync(file, version);
    else write(version);
    const { code, errors } = await deploy('pong', '--probation', '1500');
    expect(errors, what).toMatch(why);
    expect(code, what).toBe(1);
    await beyond(100);
    expect(pongNow(), what).toMatchObject({ by: 1, wrong: 0 });
  }
  await whole();
  // The old code is what is started from now on.
  up!.kill('pong-1');
  await whole();
  expect(pongNow().by).toBe(1);
  await until(() => processesOf(up!.dir).length === 3);
  // Those who say what they were called get what waits; what nobody gets is set aside.
  write({
    own: "again: own({ n: int }, { was: 'later' }), soon: own({})",
    on: 'again({ state }, { n }) { state.fired += n; }, soon() {},',
  });
  expect(await deploy(...FAST)).toMatchObject({ code: 0, errors: '' });
  write({ own: 'other: own({})', on: 'other() {},' });
  expect((await deploy('--dry-run')).code).toBe(1);
  expect(await deploy(...FAST, '--set-aside', 'again')).toMatchObject({ code: 0, errors: '' });
  await whole();
});

it('several nodes of a service go one after the other, or not at all', async () => {
  const { write } = await running({}, 'count: 2');
  write({ note: 'state.by = 2;' });
  const good = await deploy('pong', ...FAST);
  expect(good.errors).toBe('');
  expect(good.out.match(/new code/g)?.length).toBe(2);
  await whole();
  expect(pongNow().by).toBe(2);
  write({
    note: 'state.by = 3;',
    resumed: "if (process.argv[2]!.includes('\"instance\":2')) throw new Error('not here');",
  });
  const bad = await deploy('pong', ...FAST);
  expect(bad.errors).toMatch(/pong-2: not here \(/);
  expect(bad.out).toMatch(/pong-1 +old code/);
  await whole();
  expect(pongNow().by).toBe(2);
});
