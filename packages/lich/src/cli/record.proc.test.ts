/** `lich record`, `lich replay --from` and `lich test --twice` on a real cluster under SIGKILLs: what was kept rebuilds the
 * state, byte by byte, over all the lives. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { LichUp, rootOf, until } from '../testing/lich-up.ts';

const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));
const TOPOLOGY = fileURLToPath(new URL('../testing/fixtures/bank/topology.ts', import.meta.url));
const KILLS = process.env.LICH_SOAK ? 100 : 4;
/** Handled by the bank at least, and done again. */
const MESSAGES = process.env.LICH_SOAK ? 1_000_000 : 400;
const RING_MIB = process.env.LICH_SOAK ? '512' : '64';

afterEach(removeTestDirs);

test(`${KILLS} kills of a recorded node, ${MESSAGES} messages`, {
  timeout: KILLS * 4_000 + MESSAGES + 120_000,
}, async () => {
  const dir = testDir();
  const up = await LichUp.up(TOPOLOGY, dir);
  const lich = (...args: string[]) =>
    new Promise<{ code: number; out: string }>(resolve => {
      execFile(process.execPath, [LICH, ...args, '--dir', dir], { encoding: 'utf8' }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), out: stdout + stderr }),
      );
    });
  try {
    for (const node of ['bank-1', 'feeder-1'])
      expect(await lich('record', node, '--mib', RING_MIB)).toMatchObject({
        code: 0,
        out: expect.stringContaining('inputs are kept'),
      });
    const base = { bank: join(dir, 'bank-base.dump'), feeder: join(dir, 'feeder-base.dump') };
    expect((await lich('dump', 'bank-1', base.bank)).code).toBe(0);
    expect((await lich('dump', 'feeder-1', base.feeder)).code).toBe(0);
    const audit = up.reader('audit-1');
    const begun = rootOf(audit).last!;
    for (let kills = 0; kills < KILLS; ) {
      const before = rootOf(audit).last!;
      if (up.kill(kills % 4 === 3 ? 'feeder-1' : 'bank-1') === undefined) continue;
      kills++;
      await until(() => rootOf(audit).last! > before + 100);
    }
    await until(() => rootOf(audit).last! >= begun + MESSAGES);
    const end = { bank: join(dir, 'bank-end.dump'), feeder: join(dir, 'feeder-end.dump') };
    expect((await lich('dump', 'bank-1', end.bank)).code).toBe(0);
    expect((await lich('dump', 'feeder-1', end.feeder)).code).toBe(0);
    expect((await lich('record')).out).toContain('2 nodes recorded');
    audit.segment.close();
    await up.stop();

    let first = '';
    for (const kind of ['feeder', 'bank'] as const) {
      const args = [TOPOLOGY, `${kind}-1`, '--from', base[kind]];
      const equal = await lich('replay', ...args, '--with', end[kind], '--back', '5');
      expect(equal.out).toContain(`equal to ${end[kind]}, byte by byte`);
      expect(equal.code).toBe(0);
      first = equal.out;
      if (process.env.LICH_SOAK) process.stdout.write(equal.out);
      expect(equal.out).toMatch(/\d+ messages?|\d+ own/);
      expect(equal.out).toMatch(/\d+ li(fe|ves)/);
      expect(equal.out.split('\n').length).toBeGreaterThanOrEqual(7);
      const other = await lich('replay', ...args, '--to', '1000000000');
      expect(other).toMatchObject({ code: 1, out: expect.stringContaining('RUNTIME_NOT_RECORDED') });
    }
    const from = Number(/input ([\d,]+) to/.exec(first)![1]!.replaceAll(',', ''));
    const twice = await lich('test', TOPOLOGY, 'bank-1', '--twice', '--from', base.bank, '--to', String(from + 2_000));
    expect(twice.out).toContain('do the same twice, and what was recorded');
    expect(await lich('record', 'bank-1', '--off')).toMatchObject({
      code: 0,
      out: expect.stringContaining('next start'),
    });
  } finally {
    await up.stop();
  }
});
