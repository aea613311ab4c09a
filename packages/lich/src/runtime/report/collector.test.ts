import * as fs from 'node:fs';
import { pool, protocol, state, struct, u32, own } from '@lich/schema';
import { afterEach, describe, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../../testing/children.ts';
import { until } from '../../testing/service-rig.ts';
import { createLog, serviceCore, service, type Core } from '../index.ts';
import { auditPath, LogCollector, logPath, outputPath } from './collector.ts';
import { MetricsSource, prometheusText } from './metrics.ts';
import { serveMetrics } from './metrics-server.ts';

afterEach(removeTestDirs);

class Thing extends struct({ n: u32 }) {}
const State = state({ things: pool(Thing, { capacity: 64 }), n: u32 });
const Protocol = protocol({ go: own({ n: u32, fail: u32 }) });

const noisy = service('noisy', {
  state: State,
  protocol: Protocol,
  on: {
    go(ctx, { n, fail }) {
      ctx.state.n = n;
      ctx.log.info(`did ${n}`, { n });
      ctx.audit('paid', { n });
      ctx.attempt(undefined, () => {
        ctx.log.info(`tried ${n}`);
        ctx.log.error(`could not ${n}`);
        throw new Error('part');
      });
      if (fail === 0) return;
      ctx.log.error(`failed ${n}`);
      throw new Error('whole');
    },
  },
});

interface Node {
  readonly core: Core;
  readonly output: string[];
  go(n: number, fail?: number): void;
  stop(): Promise<void>;
}

async function start(dir: string, name = 'noisy-1'): Promise<Node> {
  const output: string[] = [];
  const log = createLog(name, line => void output.push(line));
  const core = serviceCore(noisy, {}, { dir, name, id: 7, log });
  let ended: Promise<void> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    ended = core.run(role => role === 'owner' && resolve());
    ended.catch(reject);
  });
  const logic = core.logic as unknown as { post(name: string, payload: object): void };
  return {
    core,
    output,
    go: (n, fail = 0) => core.transact(() => logic.post('go', { n, fail })),
    stop: async () => {
      core.stop();
      await ended;
    },
  };
}

const linesOf = (path: string): any[] =>
  fs.existsSync(path)
    ? fs
        .readFileSync(path, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map(line => JSON.parse(line) as unknown)
    : [];
const lastOf = (path: string): number => (linesOf(path).at(-1)?.pos as number | undefined) ?? 0;
const messages = (path: string): string[] => linesOf(path).map(({ msg }) => msg as string);

describe('the collector', () => {
  it('brings what was committed into files, and errors of what was not', async () => {
    const dir = testDir();
    const node = await start(dir);
    const collector = new LogCollector(dir, { maxBytes: 1 << 20, keep: 1 });
    collector.add('noisy-1');
    node.go(1);
    node.go(2, 1);
    node.go(3);
    await until(() => node.core.store.segment.f64 && (node.core.store.state as { n: number }).n === 3);
    await node.stop();
    collector.look();
    const said = messages(logPath(dir, 'noisy-1'));
    expect(said.filter(msg => msg.startsWith('did '))).toEqual(['did 1', 'did 3']);
    expect(said.filter(msg => msg.startsWith('tried '))).toEqual([]);
    expect(said.filter(msg => msg.startsWith('could not '))).toEqual(['could not 1', 'could not 2', 'could not 3']);
    expect(said).toContain('failed 2');
    expect(said).toContain('handler go threw and is undone');
    expect(linesOf(auditPath(dir, 'noisy-1'))).toMatchObject([
      { msg: 'paid', n: 1, audit: true, level: 30, name: 'noisy-1' },
      { msg: 'paid', n: 3 },
    ]);
    const positions = linesOf(logPath(dir, 'noisy-1')).map(({ pos }) => pos as number);
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    // Its end in order is said where no ring is any more.
    expect(node.output).toEqual([]);
    collector.close();
  });

  it('goes on where the last one was killed, in the middle of a line too, and writes no line twice', async () => {
    const dir = testDir();
    const node = await start(dir);
    for (let round = 0; round < 12; round++) {
      const collector = new LogCollector(dir, { maxBytes: 2_000, keep: 100 });
      collector.add('noisy-1');
      for (let k = 0; k < 3; k++) node.go(round * 3 + k);
      await until(() => (node.core.store.state as { n: number }).n === round * 3 + 2);
      await new Promise(resolve => setImmediate(resolve));
      collector.look();
      // Killed while it wrote the last line: half of it is there.
      const [path] = [logPath(dir, 'noisy-1'), auditPath(dir, 'noisy-1')].sort((a, b) => lastOf(b) - lastOf(a));
      const { size } = fs.statSync(path!);
      if (round % 3 === 1) fs.truncateSync(path!, size - 20);
    }
    await node.stop();
    const last = new LogCollector(dir, { maxBytes: 2_000, keep: 100 });
    last.add('noisy-1');
    last.close();
    const all = (path: string): string[] =>
      fs
        .readdirSync(`${dir}/logs`)
        .map(file => `${dir}/logs/${file}`)
        .filter(file => file === path || file.startsWith(`${path}.`))
        .filter(file => /\.log(\.\d+)?$/.test(file))
        .sort((a, b) => (Number(/\d+$/.exec(b)?.[0]) || 0) - (Number(/\d+$/.exec(a)?.[0]) || 0))
        .flatMap(file => linesOf(file))
        .map(({ msg, n }) => `${msg} ${n}`);
    const wanted = Array.from({ length: 36 }, (_, k) => k);
    expect(all(auditPath(dir, 'noisy-1'))).toEqual(wanted.map(n => `paid ${n}`));
    expect(all(logPath(dir, 'noisy-1')).filter(text => text.startsWith('did '))).toEqual(
      wanted.map(n => `did ${n} ${n}`),
    );
  });

  it('takes what processes write on their outputs: JSON as it is, the rest as messages', () => {
    const dir = testDir();
    const collector = new LogCollector(dir, { maxBytes: 1 << 20, keep: 1 });
    collector.add('web-1');
    const path = outputPath(dir, 'web-1');
    fs.writeFileSync(path, 'plain\n{"level":40,"msg":"as it is"}\nError: no\n    at here\nhalf');
    collector.look();
    collector.look();
    fs.appendFileSync(path, ' and half\n{"not": json}\n');
    collector.close();
    expect(linesOf(logPath(dir, 'web-1'))).toMatchObject([
      { level: 30, msg: 'plain', name: 'web-1', output: true },
      { level: 40, msg: 'as it is' },
      { level: 40, msg: 'Error: no\n    at here' },
      { level: 30, msg: 'half and half\n{"not": json}' },
    ]);
    const next = new LogCollector(dir, { maxBytes: 1 << 20, keep: 1 });
    next.add('web-1');
    next.close();
    expect(linesOf(logPath(dir, 'web-1')).length).toBe(4);
  });

  it('rotates', () => {
    const dir = testDir();
    const collector = new LogCollector(dir, { maxBytes: 1_000, keep: 2 });
    collector.add('web-1');
    for (let k = 0; k < 40; k++) {
      fs.appendFileSync(outputPath(dir, 'web-1'), `${JSON.stringify({ k, filler: 'x'.repeat(80) })}\n`);
      collector.look();
    }
    collector.close();
    const files = ['.2', '.1', ''].map(end => linesOf(logPath(dir, 'web-1') + end).map(({ k }) => k as number));
    expect(files.flat()).toEqual(Array.from({ length: files.flat().length }, (_, k) => 40 - files.flat().length + k));
    expect(fs.existsSync(`${logPath(dir, 'web-1')}.3`)).toBe(false);
    expect(files[0]!.length).toBeGreaterThan(5);
  });

  it('a node that goes on without a report says its lines on its output', async () => {
    const dir = testDir();
    fs.mkdirSync(`${dir}/noisy-1.report`);
    const node = await start(dir);
    node.go(1);
    await until(() => (node.core.store.state as { n: number }).n === 1);
    await node.stop();
    expect(node.output.join('')).toContain('the node goes on without a report');
    expect(node.output.join('')).toContain('did 1');
  });
});

describe('metrics', () => {
  it('of nodes that run and of nodes that do not, counted over lives', async () => {
    const dir = testDir();
    for (let life = 1; life <= 2; life++) {
      const node = await start(dir);
      node.go(1);
      node.go(2, 1);
      await until(() => {
        const { counts } = node.core.logic;
        return counts!.handled + counts!.failed >= 4;
      });
      const source = new MetricsSource(dir);
      const up = source.samples(['noisy-1', 'absent-1']);
      expect(up).toContainEqual({ metric: 'lich_node_up', labels: { node: 'noisy-1' }, value: 1 });
      expect(up).toContainEqual({ metric: 'lich_node_up', labels: { node: 'absent-1' }, value: 0 });
      expect(up).toContainEqual({ metric: 'lich_node_epoch', labels: { node: 'noisy-1' }, value: life });
      source.close();
      await node.stop();
    }
    const source = new MetricsSource(dir);
    const samples = source.samples(['noisy-1']);
    const of = (metric: string, labels: object = {}) =>
      samples.find(
        sample =>
          sample.metric === metric && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
      )?.value;
    expect(of('lich_node_up')).toBe(0);
    expect(of('lich_messages_total', { what: 'handled' })).toBe(2);
    expect(of('lich_lives_total', { reason: 'created' })).toBe(1);
    expect(of('lich_lives_total', { reason: 'restart' })).toBe(1);
    expect(of('lich_pool_capacity', { pool: 'things' })).toBe(64);
    expect(of('lich_takeover_last_ms', { phase: 'recover' })).toBeGreaterThan(0);
    expect(of('lich_segment_bytes', { segment: 'report' })).toBeGreaterThan(500_000);
    source.close();
    const text = prometheusText(samples);
    for (const line of text.trim().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) lich_\w+ .+|lich_\w+\{(\w+="[^"]*",?)*\} \S+)$/);
    expect(text.match(/^# TYPE (\S+)/gm)!.length).toBe(new Set(samples.map(({ metric }) => metric)).size);
  });

  it('the endpoint answers GET /metrics alone, and says when it cannot listen', async () => {
    let asked = 0;
    const server = await serveMetrics({ port: 0 }, () => `lich_asked_total{} ${++asked}\n`);
    const at = `http://127.0.0.1:${server.port}`;
    const answer = await fetch(`${at}/metrics`);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await answer.text()).toBe('lich_asked_total{} 1\n');
    expect((await fetch(`${at}/`)).status).toBe(404);
    expect((await fetch(`${at}/metrics`, { method: 'POST' })).status).toBe(404);
    await expect(serveMetrics({ port: server.port }, () => '')).rejects.toMatchObject({ code: 'RUNTIME_METRICS' });
    server.close();
  });
});
