/** Topologies of several hosts. */
import { describe, expect, it, test } from 'vitest';
import { nodesOf, program, thisHost, topology, type TopologyEntry, type TopologyOptions } from './topology.ts';

const link = { kind: 'link', module: 'a link', options: {} } as const;
const hosts = { a: '10.0.0.1:7400', b: { address: '10.0.0.2:7400', listen: '0.0.0.0:7400' } };
const run = './scene.ts';

const refusal = (entries: unknown, options: unknown): string | undefined => {
  try {
    topology(entries as Record<string, TopologyEntry>, options as TopologyOptions);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'RUNTIME_BAD_TOPOLOGY' });
    return (error as Error).message;
  }
};

describe('hosts', () => {
  const on = (host: unknown, count = 1) => ({ arena: { run, host, count } });
  it.each<[unknown, unknown, string]>([
    [on('a'), {}, 'arena.host is a; want none'],
    [on(undefined), { hosts, link }, 'arena.host is undefined; want one of a, b'],
    [on('c'), { hosts, link }, 'arena.host has c'],
    [on(['a', 'c'], 2), { hosts, link }, 'arena.host has c'],
    [on([], 2), { hosts, link }, 'arena.host is'],
    [on(['a', 'b']), { hosts, link }, 'names 2 hosts for 1 nodes'],
    [on('a'), { hosts }, 'options.link is undefined; want a link'],
    [on('a'), { hosts, link: program('./x.ts') }, 'options.link is program'],
    [{ arena: { run } }, { link }, 'options.link has no hosts'],
    [on('A'), { hosts: { A: 'x:1' }, link }, 'options.hosts.A is no name'],
    [on('a'), { hosts: { a: 5 }, link }, 'options.hosts.a is 5'],
    [on('a'), { hosts: { a: { address: 'x:1', port: 1 } }, link }, 'options.hosts.a.port is no option'],
    [on('a'), { hosts: { a: '' }, link }, 'options.hosts.a.address is'],
    [on('a'), { hosts, link, cluster: 'No Name' }, 'options.cluster is No Name'],
    [{ link: { run, host: 'a' } }, { hosts, link }, 'link is what joins the hosts'],
  ])('%o %o', (entries, options, message) => {
    expect(refusal(entries, options)).toContain(message);
  });

  test('nodes take turns, and each host has a link', () => {
    const zone = topology(
      {
        arena: { run, count: 3, host: ['a', 'b'] },
        bank: { run, host: 'b' },
        web: { run: program('./web.ts'), host: 'a' },
      },
      { hosts, link },
    );
    const placed = (host?: string): (string | undefined)[][] => nodesOf(zone, host).map(node => [node.name, node.host]);
    const others = [
      ['arena-1', 'a'],
      ['arena-2', 'b'],
      ['arena-3', 'a'],
      ['bank-1', 'b'],
      ['web-1', 'a'],
    ];
    expect(placed()).toEqual(others);
    expect(placed('a')).toEqual([['link-1', 'a'], ...others]);
    expect(placed('b')).toEqual([['link-1', 'b'], ...others]);
    expect(zone.hosts.get('a')).toEqual({ address: '10.0.0.1:7400' });
    expect(thisHost(zone, 'b')).toBe('b');
    expect(() => thisHost(zone, undefined)).toThrow('--host a');
    expect(() => thisHost(zone, 'c')).toThrow('this is c');
    expect(() => thisHost(topology({ arena: { run } }), 'a')).toThrow('has no hosts');
    expect(thisHost(topology({ arena: { run } }), undefined)).toBe(undefined);
  });

  test('a link takes the largest lane of any node', () => {
    const of = (limits: object): unknown =>
      topology({ arena: { run, host: 'a', limits } }, { hosts, link }).entries.get('link')!.limits;
    expect(of({})).toEqual({ maxLaneBytes: 2 ** 24 });
    expect(of({ maxLaneBytes: 65_536 })).toEqual({ maxLaneBytes: 2 ** 24 });
    expect(of({ maxLaneBytes: 2 ** 25 })).toEqual({ maxLaneBytes: 2 ** 25 });
  });

  test('one host has none', () => {
    const zone = topology({ arena: { run } });
    expect(nodesOf(zone).map(node => [node.name, 'host' in node])).toEqual([['arena-1', false]]);
  });
});
