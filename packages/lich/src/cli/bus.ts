/** `lich bus`: who sends to whom, what waits, and since when. */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { BusLook, latencyUs, LATENCY_US, type PairLook, readNumbering, formatId } from '../bus/index.ts';
import { giveUp } from '../runtime/index.ts';
import { listSegments, ShmError } from '../shm/index.ts';
import { styled } from './events.ts';
import { answered } from './orders.ts';
import { useDir } from './source.ts';
import { columns, count, cut, number, print, size, table } from './text.ts';
import { UsageError } from './usage.ts';

/** @returns 1 when messages wait for nodes that do not run */
export async function busCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { dir: { type: 'string' }, json: { type: 'boolean', default: false } },
  });
  const dir = useDir(values.dir);
  const [verb, ...names] = positionals;
  if (verb === 'drop') return drop(dir, names);
  if (verb !== undefined) throw new UsageError('want lich bus, or lich bus drop <from> <to>');
  const all = lookAt(dir);
  if (values.json) print(JSON.stringify(all, undefined, 2));
  else show(all);
  return all.waiting.length > 0 ? 1 : 0;
}

interface Bus {
  readonly nodes: readonly { name: string; id: string; index: number; runs: boolean }[];
  readonly latencyUs: readonly number[];
  readonly pairs: readonly PairLook[];
  /** Pairs of which the receiver does not run, and messages wait. */
  readonly waiting: readonly PairLook[];
}

function lookAt(dir: string): Bus {
  const look = new BusLook(dir);
  try {
    const running = new Set(listSegments(dir).flatMap(({ name, owner }) => (owner === undefined ? [] : [name])));
    const widths = readNumbering(dir)?.widths;
    const nodes = look.nodes().map(({ name, id, index }) => {
      return { name, id: formatId(id, widths), index, runs: running.has(name) };
    });
    const pairs = look.pairs({ committed: true });
    const waiting = pairs.filter(({ to, waitingMessages }) => !running.has(to) && waitingMessages! > 0);
    return { nodes, latencyUs: LATENCY_US, pairs, waiting };
  } finally {
    look.close();
  }
}

function show({ nodes, pairs, waiting }: Bus): void {
  if (pairs.length === 0) {
    print(nodes.length === 0 ? 'no nodes are entered here' : 'nobody has sent anything yet');
    return;
  }
  const sorted = [...pairs].sort((a, b) => b.waitingBytes - a.waitingBytes || b.messages - a.messages);
  const rows = sorted.map(pair => [
    pair.from,
    pair.to,
    number(pair.messages),
    size(pair.bytes),
    number(pair.waitingMessages!),
    size(pair.waitingBytes),
    age(pair.oldestMs),
    micros(latencyUs(pair.latency, 0.5)),
    micros(latencyUs(pair.latency, 0.99)),
    `${pair.lanes.length}, ${size(pair.ringBytes)}`,
  ]);
  const head = ['FROM', 'TO', 'HANDLED', 'BYTES', 'WAITS', 'BYTES', 'OLDEST', 'P50', 'P99', 'RINGS'];
  const [first, ...lines] = table([head, ...rows], [2, 3, 4, 5, 6, 7, 8, 9], '');
  print(styled('dim', cut(first!, columns())));
  for (const line of lines) print(cut(line, columns()));
  for (const pair of waiting) print(styled('yellow', waitingLine(pair)));
}

function waitingLine({ from, to, waitingMessages: waits, oldestMs }: PairLook): string {
  const since = oldestMs === undefined ? '' : `, since about ${age(oldestMs)}`;
  const what = `${count(waits!, 'message')} from ${from} ${waits === 1 ? 'waits' : 'wait'} for it${since}`;
  return `${to} does not run: ${what}. lich bus drop ${from} ${to} gives them up`;
}

/** `<30 µs`, `>16.7 ms` */
export function micros(us: number | undefined): string {
  if (us === undefined) return '';
  const of = (value: number): string => (value < 1_000 ? `${value} µs` : `${Math.round(value / 100) / 10} ms`);
  return us === Number.POSITIVE_INFINITY ? `>${of(LATENCY_US[LATENCY_US.length - 1]!)}` : `<${of(us)}`;
}

/** `3 ms`, `12 s`, `5 min`, `3 h` */
export function age(ms: number | undefined): string {
  if (ms === undefined) return '';
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 100_000) return `${Math.round(ms / 1_000)} s`;
  if (ms < 6_000_000) return `${Math.round(ms / 60_000)} min`;
  return `${Math.round(ms / 3_600_000)} h`;
}

async function drop(dir: string, names: readonly string[]): Promise<number> {
  const [from, to] = names;
  if (from === undefined || to === undefined || names.length > 2)
    throw new UsageError('want a sender and a receiver: lich bus drop <from> <to>');
  if (!existsSync(`${dir}/nodes`)) throw new ShmError('SHM_NOT_FOUND', `there are no nodes in ${dir}`);
  const waits = lookAt(dir).pairs.find(pair => pair.from === from && pair.to === to)?.waitingMessages ?? 0;
  const done = giveUp(dir, from, to);
  const said = (messages: number): string =>
    `${count(messages, 'message')} from ${from} to ${to} ${messages === 1 ? 'is' : 'are'} given up`;
  if ('order' in done) return answered('bus', dir, from, done.order, said(waits));
  print(said(done.messages));
  return 0;
}
