/** What lies beside the segments goes with them: orders to a node that is gone are none to the next one of its name. */
import * as fs from 'node:fs';
import { own, protocol, state } from '@lich/schema';
import { afterEach, expect, it, vi } from 'vitest';
import { giveOrder, service } from '../runtime/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { startService } from '../testing/service-rig.ts';
import { remove, removeAll } from './rm.ts';

afterEach(removeTestDirs);
const land = service('land', { state: state({}), protocol: protocol({ go: own({}) }), on: { go() {} } });

async function withOrder(): Promise<string> {
  const dir = testDir();
  const running = await startService(land, { dir, limits: { logBytes: 65_536 } });
  await running.stop();
  giveOrder(dir, 'land-1', { verb: 'flows', how: 'drop', flows: [1] }, 0);
  return dir;
}

it('of one node, and of all', async () => {
  const one = await withOrder();
  const said = vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
  remove(['land-1', '--dir', one]);
  said.mockRestore();
  expect(fs.readdirSync(`${one}/orders`)).toEqual([]);
  const all = await withOrder();
  expect(removeAll(all)).toBe(true);
  expect(fs.existsSync(all)).toBe(false);
});
