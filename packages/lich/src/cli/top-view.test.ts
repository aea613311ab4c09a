import { describe, expect, it } from 'vitest';
import { age, micros } from './bus.ts';
import { type Frame, linesOf, type NodeRow, type PairRow, rate } from './top-view.ts';

const node = (name: string, more: Partial<NodeRow> = {}): NodeRow => ({
  name,
  status: 'serving',
  life: 12,
  cpu: 0.123,
  ownBytes: 31 * 1_048_576,
  stateBytes: 17 * 1_048_576,
  commitsPerS: 123_456,
  inPerS: 98_765.4,
  outPerS: 12_345.6,
  waitingBytes: 0,
  ...more,
});

const pair = (from: string, to: string, more: Partial<PairRow> = {}): PairRow => ({
  from,
  to,
  lanes: [],
  ringBytes: 65_536,
  waitingBytes: 0,
  waitingMessages: undefined,
  oldestMs: undefined,
  messages: 12_345_678,
  bytes: 1e9,
  latency: [10, 80, 9, 1, 0, 0, 0, 0],
  messagesPerS: 98_765.4,
  bytesPerS: 6e6,
  ...more,
});

const frame = (nodes: NodeRow[], pairs: PairRow[]): Frame => ({ dir: '/dev/shm/lich-0', atMs: 0, nodes, pairs });
const names = (count: number): NodeRow[] =>
  Array.from({ length: count }, (_, k) => node(`arena-${k + 1}`, { inPerS: k * 10 }));

describe('lich top', () => {
  it('fits 80 and 120 columns, and shows more where there is room', () => {
    const full = frame(
      [
        node('gateway-12'),
        node('arena-1', { status: 'out', cpu: undefined, ownBytes: 0, life: 0, waitingBytes: 123_456_789 }),
      ],
      [pair('gateway-12', 'arena-12', { waitingBytes: 123_456_789, oldestMs: 123_456 }), pair('arena-1', 'gateway-12')],
    );
    for (const width of [80, 120]) {
      const lines = linesOf(full, { width, height: 24 });
      // Nothing of the numbers is cut off.
      for (const line of lines) {
        expect(line.length).toBeLessThanOrEqual(width);
        expect(line).not.toMatch(/…$/);
      }
      expect(lines.join('\n').includes('LIFE')).toBe(width === 120);
      expect(lines.join('\n').includes('EVER')).toBe(width === 120);
    }
  });

  it('never has more lines than the terminal; the busiest stay, and what is left out is counted', () => {
    const pairs = Array.from({ length: 60 }, (_, k) => pair(`arena-${k + 1}`, 'bank-1', { messagesPerS: k }));
    for (let height = 10; height < 60; height += 7) {
      const lines = linesOf(frame(names(30), pairs), { width: 80, height });
      expect(lines.length).toBeLessThanOrEqual(height);
      const text = lines.join('\n');
      expect(text).toContain('arena-30  serving');
      expect(text).toMatch(/… \d+ more/);
      expect(text).toMatch(/arena-60 +bank-1/);
    }
    const all = linesOf(frame(names(30), pairs), { width: Number.POSITIVE_INFINITY, height: 10_000 }).join('\n');
    expect(all).not.toContain('…');
    expect(all.match(/bank-1/g)).toHaveLength(60);
  });

  it('a cluster in which nobody has sent anything', () => {
    const lines = linesOf(frame([node('a-1', { commitsPerS: 0, inPerS: 0, outPerS: 0 })], []), {
      width: 80,
      height: 24,
    });
    expect(lines[0]).toMatch(/1 of 1 nodes serve, 0 messages\/s, 0 B\/s, 0 B wait$/);
    expect(lines.some(line => line.includes('FROM'))).toBe(false);
  });

  it('numbers are short', () => {
    expect([0, 0.34, 9.94, 12, 1234.5, 999_999, 1_234_567].map(rate)).toEqual([
      '0',
      '0.3',
      '9.9',
      '12',
      '1,235',
      '999,999',
      '1.2 M',
    ]);
    expect([undefined, 3, 999, 12_000, 300_000, 3 * 3_600_000].map(age)).toEqual([
      '',
      '3 ms',
      '999 ms',
      '12 s',
      '5 min',
      '3 h',
    ]);
    expect([undefined, 10, 300, 1_000, 16_667, Number.POSITIVE_INFINITY].map(micros)).toEqual([
      '',
      '<10 µs',
      '<300 µs',
      '<1 ms',
      '<16.7 ms',
      '>16.7 ms',
    ]);
  });
});
