/** Random histories of two hosts and their links against the rule of each stream: every message once, in order, whatever the
 * wire loses, repeats and shuffles, and whoever is killed; and where nodes or links are made anew, nothing twice, nothing
 * out of order, and all that is sent after everybody has noticed. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FarWorld, trySend } from '../testing/far-world.ts';
import { CONTROL, DATA, type Priority } from './lanes-layout.ts';

const SIZES = [0, 4, 16, 40, 100, 1_000, 5_000, 16_000, 32_752, 60_000, 100_000];
const LOCALS = 2;
const NODES = 2 * (LOCALS + 1);

type Op =
  | {
      do: 'send';
      node: number;
      to: number;
      priority: Priority;
      bytes: number;
      times: number;
      end: 'commit' | 'rollback' | 'kill';
    }
  | { do: 'turn' | 'look' | 'restart' | 'recreate'; node: number }
  | { do: 'sleep'; node: number; on: boolean }
  | { do: 'tidy'; node: number }
  | { do: 'pump'; link: number; maxBytes: number; again: boolean }
  | { do: 'frame'; link: number; at: number; how: 'take' | 'drop' | 'twice' | 'killed before' | 'killed after' }
  | { do: 'all'; link: number }
  | { do: 'hello' | 'round' | 'notice' };

const node = fc.nat(NODES - 1);
const link = fc.nat(1);
const of = <const T extends string>(...names: T[]) => fc.constantFrom(...names);
const op = (lives: boolean): fc.Arbitrary<Op> =>
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: of('send'),
        node,
        to: node,
        priority: fc.constantFrom<Priority>(DATA, DATA, CONTROL),
        bytes: fc.constantFrom(...SIZES),
        times: fc.constantFrom(1, 1, 3, 20),
        end: fc.constantFrom<'commit' | 'rollback' | 'kill'>(
          'commit',
          'commit',
          'commit',
          'commit',
          'rollback',
          'kill',
        ),
      }),
    },
    { weight: 8, arbitrary: fc.record({ do: of('turn'), node }) },
    { weight: 2, arbitrary: fc.record({ do: of('look'), node }) },
    { weight: 1, arbitrary: fc.record({ do: of('restart'), node }) },
    { weight: lives ? 1 : 0, arbitrary: fc.record({ do: of('recreate'), node }) },
    { weight: 1, arbitrary: fc.record({ do: of('sleep'), node, on: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ do: of('tidy'), node }) },
    {
      weight: 6,
      arbitrary: fc.record({ do: of('pump'), link, maxBytes: fc.constantFrom(1, 500, 65_536), again: fc.boolean() }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        do: of('frame'),
        link,
        at: fc.nat(5),
        how: of('take', 'take', 'take', 'drop', 'twice', 'killed before', 'killed after'),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: of('all'), link }) },
    { weight: 5, arbitrary: fc.record({ do: of('hello', 'round', 'round', 'round', 'notice') }) },
  );

/** What happened in all runs, so that runs that never reach the interesting parts are noticed. */
const seen = { arrived: 0, twice: 0, full: 0, recreated: 0, killed: 0, refused: 0, crossed: 0 };

function run(ops: readonly Op[], began: boolean): void {
  const world = new FarWorld(LOCALS);
  if (began) world.notice();
  for (const o of ops) {
    switch (o.do) {
      case 'send': {
        const n = world.nodes[o.node]!;
        const to = world.nodes[o.to]!;
        if (world.linkOf(n) !== undefined || world.linkOf(to) !== undefined) break;
        n.store.log.begin();
        for (let k = 0; k < o.times; k++) if (!trySend(n, to.name, o.priority, o.bytes)) seen.full++;
        if (o.end === 'commit') n.store.log.commit();
        else if (o.end === 'rollback') n.store.log.rollback();
        else world.restart(n);
        break;
      }
      case 'turn':
        seen.arrived += world.nodes[o.node]!.turn();
        break;
      case 'look':
        world.nodes[o.node]!.look();
        break;
      case 'restart':
        world.restart(world.nodes[o.node]!);
        break;
      case 'recreate':
        world.recreate(world.nodes[o.node]!);
        seen.recreated++;
        break;
      case 'sleep':
        world.nodes[o.node]!.asleep = o.on;
        break;
      case 'tidy':
        world.tidy(world.nodes[o.node]!);
        break;
      case 'pump':
        world.links[o.link]!.pump(o.maxBytes, o.again);
        break;
      case 'frame': {
        const at = world.links[o.link]!;
        const wire = world.wireTo(at);
        if (wire.length === 0) break;
        if (o.at > 0 && wire.length > 1) seen.crossed++;
        const frame = wire.splice(Math.min(o.at, wire.length - 1), 1)[0]!;
        if (o.how === 'drop') break;
        if (o.how === 'killed before' || o.how === 'killed after') {
          at.take(frame, o.how === 'killed before' ? 'before' : 'after');
          world.restart(at.node);
          seen.killed++;
          break;
        }
        at.take(frame);
        if (o.how === 'twice') {
          at.take(frame);
          seen.twice++;
        }
        break;
      }
      case 'all': {
        const at = world.links[o.link]!;
        for (const frame of world.wireTo(at).splice(0)) at.take(frame);
        break;
      }
      case 'hello':
        world.hello();
        break;
      case 'round':
        seen.arrived += world.round();
        break;
      case 'notice':
        world.notice();
    }
    expect(world.nodes.flatMap(n => n.wrong)).toEqual([]);
  }
  for (const { node: n } of world.links) {
    seen.refused += n.far.outbox.refused;
    expect(n.far.inbox.bad).toBe(0);
  }
  world.settle();
  expect(world.check()).toEqual([]);
  // Whatever was missed, what is said now arrives.
  for (const from of world.talkers) {
    from.store.log.begin();
    for (const to of world.talkers) for (const priority of [DATA, CONTROL] as const) from.send(to.name, priority, 40);
    from.store.log.commit();
  }
  world.settle();
  expect(world.check()).toEqual([]);
  for (const from of world.talkers) {
    for (const to of world.talkers) {
      for (const priority of [DATA, CONTROL] as const)
        expect(to.gotFrom(from.name, priority)).toBe(from.sentTo(to.name, priority));
    }
    // All is drained: nothing is kept.
    world.tidy(from);
    expect(from.bus.outbox.lanes()).toEqual([]);
  }
  for (const { node: n } of world.links) {
    world.tidy(n);
    expect(n.bus.outbox.lanes()).toEqual([]);
  }
}

const RUNS = process.env.LICH_SOAK ? 2_000 : 60;

describe('streams between hosts', () => {
  it.each([
    ['nobody is made anew: each message once, in order', false],
    ['nodes and links are made anew: none twice, none out of order, and later ones all', true],
  ])('any history in which %s', (_, lives) => {
    fc.assert(fc.property(fc.array(op(lives), { minLength: 10, maxLength: 90, size: 'max' }), fc.boolean(), run), {
      numRuns: RUNS,
    });
  });

  it('the histories reached all that matters', () => {
    expect(Object.entries(seen).filter(([, count]) => count === 0)).toEqual([]);
  });
});
