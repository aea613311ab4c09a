/** A node that is started again with code in which classes have other names, or are gone. */
import { command, extend, int, pool, protocol, state, struct, text, variants } from '@lich/schema';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { type Running, startService } from '../testing/service-rig.ts';
import { service } from './service.ts';

class Animal extends struct({ hp: int, name: text(6) }) {}
class Wolf extends extend(Animal, { rage: int }) {}
class Sheep extends extend(Animal, { wool: int }) {}
class Direwolf extends extend(Animal, { rage: int }) {
  static was = 'Wolf';
}
class Goat extends struct({ milk: int }) {}

const P = protocol({ poke: command({ n: int }) });
const node = (classes: object, start: (s: any) => void = () => {}) =>
  service('zoo', {
    state: state({ animals: pool(variants(classes as never)), n: int } as never),
    protocol: P,
    start: ({ state: s }: any) => start(s),
    on: { poke() {} },
  } as never);

const running: Running[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  removeTestDirs();
});
async function run(dir: string, what: object): Promise<any> {
  const one = await startService(what as never, { dir, limits: { heapBytes: 1 << 20 } });
  running.push(one);
  return one;
}

it('goes on with renamed classes and new ones, and back; refuses to go on without one that has records', async () => {
  const dir = testDir();
  const first = await run(
    dir,
    node({ Wolf, Sheep }, s => {
      s.animals.create('Wolf', { rage: 4 });
      s.animals.create('Sheep', { wool: 2 });
    }),
  );
  expect(first.core.life.reason).toBe('created');
  await running.pop()!.stop();
  const renamed = await run(dir, node({ Goat, Sheep, Direwolf }));
  expect(renamed.core.life.reason).toBe('restart');
  const seen = (one: any) => [...one.state.animals].map((each: any) => [each.variant, each.rage ?? each.wool]);
  expect(seen(renamed)).toEqual([
    ['Direwolf', 4],
    ['Sheep', 2],
  ]);
  await running.pop()!.stop();
  await expect(run(dir, node({ Goat, Direwolf }))).rejects.toMatchObject({
    code: 'STATE_CLASS_GONE',
    message: expect.stringContaining('1 record of class Sheep'),
  });
  const back = await run(dir, node({ Wolf, Sheep }));
  expect(seen(back)).toEqual([
    ['Wolf', 4],
    ['Sheep', 2],
  ]);
  expect(back.core.store.check()).toEqual([]);
});
