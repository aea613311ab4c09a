/** Messages a second over the size of a message, both logarithmic, as an SVG: ours and whom it stood beside. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Row } from '../lib/bench.ts';

interface Line {
  readonly name: string;
  readonly points: readonly (readonly [bytes: number, perSecond: number])[];
}

const WIDTH = 860;
const HEIGHT = 480;
const LEFT = 76;
const RIGHT = 150;
const TOP = 44;
const BOTTOM = 56;
const COLOURS = ['#0b6e4f', '#c8553d', '#e09f3e', '#33658a', '#7b2d8b', '#6b705c'];

/** @param rows of one way; the size is in the name of the metric */
export function linesOf(rows: readonly Row[]): Line[] {
  const bytesOf = ({ metric }: Row): number => Number(/, (\d+) B$/.exec(metric)![1]);
  const peers = [...new Set(rows.map(({ peer }) => peer))];
  const first = rows.filter(({ peer }) => peer === peers[0]);
  return [
    { name: 'Lich', points: first.map(row => [bytesOf(row), row.ours]) },
    ...peers.map((name): Line => {
      return { name, points: rows.filter(({ peer }) => peer === name).map(row => [bytesOf(row), row.peerValue]) };
    }),
  ];
}

const bytesText = (bytes: number): string => (bytes < 1_024 ? `${bytes} B` : `${bytes / 1_024} KiB`);
const rateText = (value: number): string =>
  value >= 1e6 ? `${value / 1e6} M` : value >= 1e3 ? `${value / 1e3} k` : `${value}`;
const escaped = (text: string): string => text.replace(/[&<>"]/g, found => `&#${found.charCodeAt(0)};`);

/** @returns the picture as text */
export function plot(lines: readonly Line[]): string {
  const all = lines.flatMap(({ points }) => points);
  const sizes = [...new Set(all.map(([bytes]) => bytes))].sort((a, b) => a - b);
  const low = Math.floor(Math.log10(Math.min(...all.map(([, rate]) => rate))));
  const high = Math.ceil(Math.log10(Math.max(...all.map(([, rate]) => rate))));
  const span = Math.max(1, high - low);
  const across = Math.log2(sizes.at(-1)! / sizes[0]!) || 1;
  const x = (bytes: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * Math.log2(bytes / sizes[0]!)) / across;
  const y = (rate: number): number => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * (Math.log10(rate) - low)) / span;
  const at = (value: number): string => value.toFixed(1);
  const text = (left: number, top: number, what: string, more = ''): string =>
    `<text x="${at(left)}" y="${at(top)}" ${more}>${escaped(what)}</text>`;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(LEFT, 24, 'Messages a second from process to process on one host', 'font-size="16"'),
  ];
  for (let power = low; power <= high; power++) {
    const top = y(10 ** power);
    parts.push(
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(top)}" y2="${at(top)}" stroke="#ddd"/>`,
      text(LEFT - 8, top + 4, rateText(10 ** power), 'text-anchor="end"'),
    );
  }
  for (const bytes of sizes) parts.push(text(x(bytes), HEIGHT - BOTTOM + 20, bytesText(bytes), 'text-anchor="middle"'));
  parts.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, 'bytes of a message', 'text-anchor="middle"'));
  // Names stand at the ends of their lines, apart from each other and above the axis.
  const ends = lines
    .filter(({ points }) => points.length > 0)
    .map((line, k) => ({ line, colour: COLOURS[k % COLOURS.length]!, top: y(line.points.at(-1)![1]) }))
    .sort((a, b) => a.top - b.top);
  const tops = ends.map(({ top }) => top);
  for (let k = 1; k < tops.length; k++) tops[k] = Math.max(tops[k]!, tops[k - 1]! + 16);
  for (let k = tops.length - 1, most = HEIGHT - BOTTOM - 4; k >= 0; k--, most -= 16) tops[k] = Math.min(tops[k]!, most);
  for (const [k, { line, colour }] of ends.entries()) {
    const path = line.points.map(([bytes, rate]) => `${at(x(bytes))},${at(y(rate))}`).join(' ');
    parts.push(
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="${line.name === 'Lich' ? 3 : 1.5}"/>`,
      ...line.points.map(
        ([bytes, rate]) => `<circle cx="${at(x(bytes))}" cy="${at(y(rate))}" r="3" fill="${colour}"/>`,
      ),
      text(WIDTH - RIGHT + 10, tops[k]! + 4, line.name, `fill="${colour}"`),
    );
  }
  return `${[...parts, '</svg>'].join('\n')}\n`;
}

export function writePlot(file: string, rows: readonly Row[]): void {
  if (rows.length === 0) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, plot(linesOf(rows)));
}
