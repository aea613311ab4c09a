import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { LichUp, logLines, until } from '../../testing/lich-up.ts';

const TOPOLOGY = fileURLToPath(new URL('../../testing/fixtures/noisy/topology.ts', import.meta.url));
const LIVES = process.env.LICH_SOAK ? 40 : 3;

const ups: LichUp[] = [];
afterEach(async () => {
  for (const up of ups.splice(0)) await up.stop();
  removeTestDirs();
});

async function start(dir: string): Promise<LichUp> {
  const up = await LichUp.up(TOPOLOGY, dir);
  ups.push(up);
  return up;
}

it('kills of the node and of the supervisor: each line once, last words marked, counters go on', async () => {
  const dir = testDir();
  let up = await start(dir);
  const audit = () => logLines(dir, 'noisy-1.audit.log');
  const deaths = () => logLines(dir, 'noisy-1.log').filter(({ msg, undone }) => msg === 'about to end' && undone);
  for (let life = 1; life <= LIVES; life++) {
    await until(() => deaths().length >= life);
    if (life !== 2) continue;
    up.process.kill('SIGKILL');
    await up.ended;
    ups.length = 0;
    up = await start(dir);
  }
  await until(() => /metrics at \S+\n/.test(up.output));
  const [, at] = /metrics at (\S+)/.exec(up.output)!;
  const ask = async (): Promise<string> => (await fetch(at!)).text();
  let metrics = await ask();
  // It ends itself again and again.
  while (!/^lich_node_up\{node="noisy-1"\} 1$/m.test(metrics)) metrics = await ask();
  expect(metrics).toMatch(/^lich_lives_total\{node="noisy-1",reason="created"\} 1$/m);
  const crashes = Number(/^lich_lives_total\{node="noisy-1",reason="crash"\} (\d+)$/m.exec(metrics)![1]);
  expect(crashes).toBeGreaterThanOrEqual(LIVES - 1);
  expect(metrics).toMatch(/^lich_takeover_last_ms\{node="noisy-1",phase="recover"\} [\d.]+$/m);
  await up.stop();
  ups.length = 0;

  const done = audit().map(({ n }) => n as number);
  expect(done).toEqual(Array.from({ length: done.length }, (_, k) => k + 1));
  const all = logLines(dir, 'noisy-1.log');
  const did = all.filter(({ msg, undone }) => /^did \d/.test(msg) && !undone).map(({ n }) => n as number);
  expect(did).toEqual(done);
  expect(all.some(({ msg, undone }) => msg === 'did what is undone' && !undone)).toBe(false);
  const errors = all.filter(({ msg, undone }) => msg?.startsWith('an error') && !undone).map(({ n }) => n as number);
  expect(errors).toEqual(done.filter(n => n % 10 === 0));
  // Its last words come before anything of the next life.
  const lastWords = all.filter(({ undone }) => undone);
  for (const { n } of deaths()) {
    const words = lastWords.filter(line => line.n === n && line.level < 50).map(({ msg }) => msg as string);
    expect(words).toEqual([`did ${n}`, 'done', 'about to end']);
    const again = all.findIndex(({ msg, undone }) => msg === `did ${n}` && !undone);
    const first = all.findIndex(line => line.undone && line.n === n);
    if (again >= 0) expect(first).toBeLessThan(again);
  }
  expect(all.some(({ msg, output }) => msg === 'said on the output' && output)).toBe(true);
  const lives = all.filter(({ event }) => event === 'life');
  expect(lives.map(({ epoch }) => epoch)).toEqual([...new Set(lives.map(({ epoch }) => epoch))].sort((a, b) => a - b));
  for (const { takeoverMs } of lives)
    expect(Object.keys(takeoverMs)).toEqual(expect.arrayContaining(['recover', 'resume', 'firstTurn']));
});
