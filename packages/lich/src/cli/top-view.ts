/** What `lich top` shows: lines of at most so many columns, as many as there are rows. */
import { latencyUs, type PairLook } from '../bus/index.ts';
import { age, micros } from './bus.ts';
import { styled } from './events.ts';
import { cut, number, size, table } from './text.ts';

/** A node, over the last interval. */
export interface NodeRow {
  readonly name: string;
  readonly status: string;
  readonly life: number;
  /** Of one processor, 0..1 and more; undefined where no process owns it, or nothing is known yet. */
  readonly cpu: number | undefined;
  readonly ownBytes: number;
  readonly stateBytes: number;
  readonly commitsPerS: number;
  readonly inPerS: number;
  readonly outPerS: number;
  readonly waitingBytes: number;
}

/** A pair, over the last interval; so are its samples of latency. */
export interface PairRow extends PairLook {
  readonly messagesPerS: number;
  readonly bytesPerS: number;
}

export interface Frame {
  readonly dir: string;
  readonly atMs: number;
  readonly nodes: readonly NodeRow[];
  readonly pairs: readonly PairRow[];
}

export interface Size {
  /** Columns of a line; Infinity = as many as it takes. */
  readonly width: number;
  readonly height: number;
}

/** Nodes before pairs; of both the busiest first where not all fit. */
export function linesOf(frame: Frame, { width, height }: Size): string[] {
  const { nodes, pairs } = frame;
  const total = (of: (pair: PairRow) => number): number => pairs.reduce((sum, pair) => sum + of(pair), 0);
  const serving = nodes.filter(({ status }) => status === 'serving').length;
  const time = new Date(frame.atMs).toTimeString().slice(0, 8);
  const waits = total(pair => pair.waitingBytes);
  const title =
    `${time}  ${serving} of ${nodes.length} nodes serve, ${rate(total(pair => pair.messagesPerS))} messages/s, ` +
    `${size(Math.round(total(pair => pair.bytesPerS)))}/s, ${size(waits)} wait`;
  const lines = [cut(title, width), cut(frame.dir, width), ''];
  const rooms = height - lines.length - 1;
  // Half of what is left at most, unless the pairs need less.
  const forNodes = Math.max(2, Math.min(nodes.length + 1, Math.max(rooms - pairs.length - 2, Math.ceil(rooms / 2))));
  lines.push(...nodeLines(nodes, width, forNodes), '');
  const forPairs = height - lines.length;
  if (pairs.length > 0 && forPairs > 1) lines.push(...pairLines(pairs, width, forPairs));
  return lines.slice(0, height).map(line => line.trimEnd());
}

/** Columns that may be left out where there are too few, the last first. */
const LEAST_WIDTH = 100;

function nodeLines(nodes: readonly NodeRow[], width: number, room: number): string[] {
  const wide = width >= LEAST_WIDTH;
  const busy = [...nodes].sort((a, b) => b.inPerS + b.outPerS - (a.inPerS + a.outPerS));
  const shown = nodes.length < room ? nodes : busy.slice(0, room - 1);
  const rows = shown.map(node => [
    node.name,
    node.status,
    ...(wide ? [node.life === 0 ? '' : String(node.life)] : []),
    node.cpu === undefined ? '' : `${Math.round(node.cpu * 100)}%`,
    node.ownBytes === 0 ? '' : size(node.ownBytes),
    ...(wide ? [size(node.stateBytes)] : []),
    rate(node.commitsPerS),
    rate(node.inPerS),
    rate(node.outPerS),
    node.waitingBytes === 0 ? '' : size(node.waitingBytes),
  ]);
  const head = ['NODE', 'STATUS', ...(wide ? ['LIFE'] : []), 'CPU', 'OWN', ...(wide ? ['STATE'] : [])];
  const all = [[...head, 'COMMITS/S', 'IN/S', 'OUT/S', 'WAITS'], ...rows];
  const right = all[0]!.map((_, k) => k).slice(2);
  return framed(table(all, right, ''), width, nodes.length - shown.length).map((line, k) =>
    k === 0 ? line : coloured(line),
  );
}

function pairLines(pairs: readonly PairRow[], width: number, room: number): string[] {
  const wide = width >= LEAST_WIDTH;
  const sorted = [...pairs].sort(
    (a, b) => b.messagesPerS - a.messagesPerS || b.waitingBytes - a.waitingBytes || b.messages - a.messages,
  );
  const shown = sorted.slice(0, Math.max(1, pairs.length < room ? pairs.length : room - 2));
  const rows = shown.map(pair => [
    pair.from,
    pair.to,
    rate(pair.messagesPerS),
    `${size(Math.round(pair.bytesPerS))}/s`,
    pair.waitingBytes === 0 ? '' : size(pair.waitingBytes),
    age(pair.waitingBytes === 0 ? undefined : pair.oldestMs),
    micros(latencyUs(pair.latency, 0.5)),
    micros(latencyUs(pair.latency, 0.99)),
    ...(wide ? [number(pair.messages), size(pair.ringBytes)] : []),
  ]);
  const head = ['FROM', 'TO', 'MSG/S', 'BYTES', 'WAITS', 'OLDEST', 'P50', 'P99', ...(wide ? ['EVER', 'RINGS'] : [])];
  const right = head.map((_, k) => k).slice(2);
  return framed(table([head, ...rows], right, ''), width, pairs.length - shown.length);
}

function framed(lines: readonly string[], width: number, more: number): string[] {
  const [head, ...rest] = lines.map(line => cut(line, width));
  return [styled('dim', head!), ...rest, ...(more > 0 ? [`… ${more} more`] : [])];
}

function coloured(line: string): string {
  const styles = { serving: 'green', starting: 'yellow', recovering: 'yellow', out: 'red' } as const;
  return line.replace(
    /^(\S+\s+)(serving|starting|recovering|out)\b/,
    (_, before: string, status: keyof typeof styles) => before + styled(styles[status], status),
  );
}

/** Per second: `0`, `0.3`, `12`, `1,234`, `1.2 M` */
export function rate(perSecond: number): string {
  if (perSecond === 0) return '0';
  if (perSecond < 9.95) return perSecond.toFixed(1);
  if (perSecond < 999_999.5) return number(Math.round(perSecond));
  return `${(perSecond / 1e6).toFixed(1)} M`;
}
