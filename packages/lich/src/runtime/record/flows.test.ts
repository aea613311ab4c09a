/** Flows of a recorded node, done again: what starts them and what answers them runs, their turns are words. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError, int, list, own, protocol, request, state, text, u32 } from '@lich/schema';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DEFAULT_LIMITS, Directory } from '../../bus/index.ts';
import { dumpSegment, openDump, openReader } from '../../state/index.ts';
import { type Running, startService, until } from '../../testing/service-rig.ts';
import { serviceCore } from '../node-process.ts';
import { service } from '../service.ts';
import { firstDifference } from './compare.ts';
import { Inputs } from './inputs.ts';
import { requestRecord } from './recording.ts';
import { Replay } from './replay.ts';
import { runTwice } from './twice.ts';

const Bank = protocol({ charge: request({ amount: int }, { left: int, note: text(20) }) });
const bank = service('bank', {
  state: state({ gold: int }),
  protocol: Bank,
  on: {
    charge({ state: all }, { amount }) {
      if (amount % 5 === 0) throw new CodedError('BANK_POOR', 'no');
      return { left: (all.gold -= amount), note: `charged ${amount}` };
    },
  },
});
const shop = service('shop', {
  state: state({ bought: int, refused: int, notes: list(text(20), 64), seen: u32 }),
  protocol: protocol({ buy: own({ n: int }), stop: own({ id: int }) }),
  on: {
    stop(ctx, { id }) {
      ctx.state.seen += ctx.cancelFlow(id) ? 1 : 0;
    },
  },
  flows: {
    *buy(ctx, { n }) {
      try {
        yield* ctx.race({ a: ctx.sleep(1), b: ctx.sleep(ctx.random.int(0, 3)) });
        const [{ note }, key] = yield* ctx.all([
          ctx.call(bank, 'charge', { amount: n }),
          ctx.effect('mail', k => Promise.resolve(k)),
        ]);
        yield* ctx.do(({ state: all, random }) => {
          all.bought += random.int(1, key.length);
          if (all.notes.length === 64) all.notes.shift();
          all.notes.push(note);
        });
      } catch {
        yield* ctx.do(({ state: all }) => void all.refused++);
      }
    },
  },
});

let dir: string;
let running: Running[] = [];
beforeEach(() => void (dir = mkdtempSync('/dev/shm/lich-record-')));
afterEach(async () => {
  for (const each of running) await each.stop();
  running = [];
  rmSync(dir, { recursive: true, force: true });
});

it('flows over two lives: the same bytes, forwards, backwards, twice', async () => {
  requestRecord(dir, 'shop-1', 2 ** 20);
  running.push(await startService(bank, { dir }));
  let one = await startService(shop, { dir });
  const dump = (name: string): string => {
    const path = join(dir, name);
    dumpSegment(one.core.store.segment, path, { packing: 'none' });
    return path;
  };
  const flows = () => one.core.store.pools.get('$flows')!.size;
  const go = (from: number): void =>
    one.core.transact(() => {
      for (let n = from; n < from + 20; n++) {
        const id = (one.logic as any).startFlow('buy', { n });
        if (n % 7 === 0) (one.logic as any).after(n % 3, 'stop', { id });
      }
    });
  const base = dump('base.dump');
  go(1);
  await until(() => one.state.bought > 0);
  await one.stop();
  one = await startService(shop, { dir });
  go(21);
  await until(() => flows() === 0);
  expect(one.state.refused).toBeGreaterThanOrEqual(6);
  expect(one.lines.filter(({ level }) => level === 'error')).toEqual([]);
  const end = dump('end.dump');
  const k = Number(openReader(openDump(end).segment, { hidden: true }).snapshot(of => of.root()['$k']));
  await one.stop();
  const { id } = new Directory(dir, DEFAULT_LIMITS.nodes).byName('shop-1');
  const quiet = { info() {}, warn() {}, error() {} };
  const replay = Replay.open({
    dir,
    node: 'shop-1',
    dump: base,
    inputs: new Inputs(dir, 'shop-1'),
    core: (where, name) => serviceCore(shop, {}, { dir: where, name, id, log: quiet, limits: {} }),
  });
  try {
    replay.to(k);
    expect(firstDifference(replay.segment, openDump(end).segment)).toBeUndefined();
    replay.to(replay.firstK + 3);
    replay.to(k);
    expect(firstDifference(replay.segment, openDump(end).segment)).toBeUndefined();
    replay.to(replay.firstK);
    expect(runTwice(replay, k)).toBeUndefined();
  } finally {
    replay.close();
  }
});
