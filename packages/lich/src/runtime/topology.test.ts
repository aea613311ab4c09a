import { describe, expect, it } from 'vitest';
import { isTopology, nodesOf, program, talksOf, topology, type TopologyEntry, widthsOf } from './topology.ts';

const good = { run: './scene.ts' } as const;
const refusal = (entries: unknown, options: object = {}) => {
  try {
    topology(entries as Record<string, TopologyEntry>, options);
  } catch (error) {
    return { code: (error as { code?: string }).code, message: (error as Error).message };
  }
  return undefined;
};

describe('topologies', () => {
  it.each<[unknown, string]>([
    [{}, 'has no entry'],
    [undefined, 'is undefined'],
    [null, 'is null'],
    [Object.fromEntries(Array.from({ length: 256 }, (_, k) => [`a${k}`, good])), '256 entries'],
    [{ Arena: good }, 'Arena is no name'],
    [{ 'a-b': good }, 'a-b is no name'],
    [{ '1a': good }, '1a is no name'],
    [{ [`a${'b'.repeat(24)}`]: good }, 'is no name'],
    [{ arena: undefined }, 'arena is undefined'],
    [{ arena: null }, 'arena is null'],
    [{ arena: './scene.ts' }, 'arena is ./scene.ts'],
    [{ arena: { ...good, counts: 1 } }, 'arena.counts is not a field'],
    [{ arena: {} }, 'arena.run'],
    [{ arena: { run: 'scene.ts' } }, "arena.run is 'scene.ts'"],
    [{ arena: { run: '/abs/scene.ts' } }, 'arena.run'],
    [{ arena: { run: './scene.json' } }, 'arena.run'],
    [{ arena: { run: null } }, 'arena.run'],
    [{ arena: { run: 5 } }, 'arena.run'],
    [{ arena: { run: {} } }, 'arena.run'],
    [{ arena: { ...good, count: 0 } }, 'arena.count is 0'],
    [{ arena: { ...good, count: 256 } }, 'arena.count is 256'],
    [{ arena: { ...good, count: 1.5 } }, 'arena.count is 1.5'],
    [{ arena: { ...good, count: '2' } }, 'arena.count is 2'],
    [{ arena: { ...good, standby: 2 } }, 'arena.standby is 2'],
    [{ arena: { ...good, standby: -1 } }, 'arena.standby is -1'],
    [{ arena: { ...good, rehearse: 1 } }, 'arena.rehearse is 1'],
    [{ arena: { ...good, cores: 'yes' } }, 'arena.cores is yes'],
    [{ web: { run: program('./web.ts'), standby: 1 } }, 'web.standby is 1'],
    [{ arena: { ...good, config: 5 } }, 'arena.config is 5'],
    [{ arena: { ...good, config: [1] } }, 'arena.config is'],
    [{ arena: { ...good, config: null } }, 'arena.config is null'],
    [{ arena: { ...good, config: 'conf' } }, "arena.config is 'conf'"],
    [{ web: { run: program('./web.ts'), config: { a: 1 } } }, 'web.config'],
    [{ arena: { ...good, memoryMiB: 32 } }, 'arena.memoryMiB is 32'],
    [{ arena: { ...good, memoryMiB: '1g' } }, 'arena.memoryMiB is 1g'],
    [{ arena: { ...good, maxCrashes: 3 } }, 'arena.maxCrashes is 3'],
    [{ arena: { ...good, hangPolls: -1 } }, 'arena.hangPolls is -1'],
    [{ arena: { ...good, onBadState: 'dump' } }, "arena.onBadState is dump; want 'down', or { dumps"],
    [{ arena: { ...good, onBadState: null } }, 'arena.onBadState is null'],
    [{ arena: { ...good, onBadState: { dump: './d' } } }, 'arena.onBadState.dump is no such policy'],
    [{ arena: { ...good, onBadState: {} } }, 'arena.onBadState.dumps is undefined'],
    [{ web: { run: program('./web.ts'), onBadState: { dumps: './d' } } }, 'web.onBadState is for services'],
    [{ arena: { ...good, limits: 5 } }, 'arena.limits is 5'],
    [{ arena: { ...good, limits: null } }, 'arena.limits is null'],
    [{ arena: { ...good, limits: { log: 1 } } }, 'arena.limits.log is no limit'],
    [{ arena: { ...good, limits: { logBytes: 65_537 } } }, 'arena.limits.logBytes is 65537'],
    [{ arena: { ...good, limits: { logBytes: 32_768 } } }, 'arena.limits.logBytes is 32768'],
    [{ arena: { ...good, limits: { logBytes: 2 ** 31 } } }, 'arena.limits.logBytes is 2147483648'],
    [{ arena: { ...good, limits: { heapBytes: 100_000 } } }, 'arena.limits.heapBytes is 100000'],
    [{ arena: { ...good, limits: { heapBytes: 2 ** 32 } } }, 'arena.limits.heapBytes is 4294967296'],
    [{ arena: { ...good, limits: { timers: 0 } } }, 'arena.limits.timers is 0'],
    [{ arena: { ...good, limits: { timers: 'x' } } }, 'arena.limits.timers is x'],
    [{ arena: { ...good, limits: { lanesBytes: 100_000 } } }, 'arena.limits.lanesBytes is 100000'],
    [{ arena: { ...good, limits: { lanesBytes: 2 ** 32 } } }, 'arena.limits.lanesBytes is 4294967296'],
    [
      { arena: { ...good, limits: { lanesBytes: 65_536, maxLaneBytes: 131_072 } } },
      'arena.limits.maxLaneBytes is 131072',
    ],
  ])('%o is refused by entry and field', (entries, why) => {
    const found = refusal(entries);
    expect(found?.code).toBe('RUNTIME_BAD_TOPOLOGY');
    expect(found?.message).toContain(why);
    expect(found?.message).toContain('; want ');
  });

  it.each<[unknown, object, string]>([
    [{ arena: good }, { lanes: 'once' }, 'options.lanes is "once"'],
    [{ arena: good }, { lane: 'start' }, 'options.lane is no option'],
    [{ arena: good }, { ids: [8, 8, 8] }, 'options.ids is [8,8,8], not four'],
    [{ arena: good }, { ids: [8, 8, 8, 9] }, '33 bits together'],
    [{ arena: { ...good, count: 4 } }, { ids: [10, 10, 10, 2] }, 'arena.count is 4; want a whole number 1..3'],
    [{ arena: { ...good, talks: ['arena'] } }, {}, 'arena.talks says what nobody asks for'],
    [{ arena: { ...good, talks: ['bank'] } }, { lanes: 'start' }, 'arena.talks names "bank"'],
    [{ arena: { ...good, talks: ['toString'] } }, { lanes: 'start' }, 'arena.talks names "toString"'],
    [{ arena: { ...good, talks: 'bank' } }, { lanes: 'start' }, 'arena.talks is bank'],
    [{ arena: { ...good, talks: ['web'] }, web: { run: program('./w.ts') } }, { lanes: 'start' }, 'names "web"'],
    [{ arena: good, web: { run: program('./w.ts'), talks: ['arena'] } }, { lanes: 'start' }, 'web.talks is for nodes'],
  ])('%o with %o is refused', (entries, options, why) => {
    const found = refusal(entries, options);
    expect(found?.code).toBe('RUNTIME_BAD_TOPOLOGY');
    expect(found?.message).toContain(why);
    expect(found?.message).toContain('; want ');
  });

  it('who talks with whom, whichever of the two says it', () => {
    const arena = { ...good, count: 2, talks: ['arena', 'bank'] };
    const entries = { arena, bank: good, log: { ...good, talks: ['bank'] }, alone: good };
    const t = topology(entries, { lanes: 'start' });
    expect(talksOf(t, 'arena')).toEqual(['arena-1', 'arena-2', 'bank-1']);
    expect(talksOf(t, 'bank')).toEqual(['arena-1', 'arena-2', 'log-1']);
    expect(talksOf(t, 'log')).toEqual(['bank-1']);
    expect(talksOf(t, 'alone')).toEqual([]);
    expect(talksOf(topology({ arena: good }), 'arena')).toBeUndefined();
    expect(widthsOf(t)).toEqual([8, 8, 8, 8]);
    expect(widthsOf(topology({ arena: good }, { ids: [4, 4, 12, 12] }))).toEqual([4, 4, 12, 12]);
  });

  it('what is right: nodes with services first, programs last', () => {
    const t = topology({
      web: { run: program('./web.ts', { port: 1 }) },
      gate: { run: { kind: 'gateway', module: 'lich/gateway', options: {} }, count: 2 },
      arena: {
        run: './scene.ts',
        count: 2,
        standby: 1,
        config: { speed: 1 },
        limits: { logBytes: 65_536, heapBytes: 196_608, timers: 16, lanesBytes: 131_072, maxLaneBytes: 65_536 },
      },
      log: { run: '../log.mjs', config: './log.config.ts' },
    });
    expect(isTopology(t)).toBe(true);
    expect(nodesOf(t)).toEqual([
      { name: 'arena-1', kind: 'arena', instance: 1, processes: 2 },
      { name: 'arena-2', kind: 'arena', instance: 2, processes: 2 },
      { name: 'log-1', kind: 'log', instance: 1, processes: 1 },
      { name: 'gate-1', kind: 'gate', instance: 1, processes: 1 },
      { name: 'gate-2', kind: 'gate', instance: 2, processes: 1 },
      { name: 'web-1', kind: 'web', instance: 1, processes: 1 },
    ]);
    for (const other of [{}, null, undefined, 5, { entries: new Map() }]) expect(isTopology(other)).toBe(false);
  });
});
