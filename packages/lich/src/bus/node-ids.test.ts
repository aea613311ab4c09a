import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_WIDTHS, flawOfWidths, formatId, type IdWidths, mostOf, nodeId, parseId, partsOf } from './node-ids.ts';

const widths: fc.Arbitrary<IdWidths> = fc
  .tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 30 }))
  .filter(([world, zone, kind]) => 32 - world - zone - kind >= 1)
  .map(([world, zone, kind]) => [world, zone, kind, 32 - world - zone - kind] as const)
  .filter(each => flawOfWidths(each) === undefined);

describe('node ids', () => {
  it('pack four bytes, and print as four numbers', () => {
    expect(nodeId(1, 2, 3, 4)).toBe(0x0102_0304);
    expect(nodeId(255, 255, 255, 255)).toBe(0xffff_ffff);
    expect(formatId(nodeId(200, 1, 0, 9))).toBe('200.1.0.9');
    expect(parseId('200.1.0.9')).toBe(nodeId(200, 1, 0, 9));
    for (const parts of [
      [256, 0, 0, 0],
      [-1, 0, 0, 0],
      [0, 1.5, 0, 0],
    ] as const)
      expect(() => nodeId(...(parts as [number, number, number, number]))).toThrow(/not 0..255/);
  });

  it('any widths: what was packed is unpacked, printed and read', () => {
    fc.assert(
      fc.property(widths, fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat()), (bits, raw) => {
        const parts = raw.map((n, k) => n % (mostOf(bits[k]!) + 1)) as [number, number, number, number];
        const id = nodeId(...parts, bits);
        expect(id).toBeGreaterThanOrEqual(0);
        expect(id).toBeLessThan(2 ** 32);
        expect(partsOf(id, bits)).toEqual(parts);
        expect(parseId(formatId(id, bits), bits)).toBe(id);
      }),
    );
  });

  it('every id has a text and back, under any widths', () => {
    fc.assert(
      fc.property(widths, fc.integer({ min: 0, max: 0xffff_ffff }), (bits, id) => {
        expect(parseId(formatId(id, bits), bits)).toBe(id);
      }),
    );
  });

  it('what is no id, and what does not fit, is refused', () => {
    for (const text of ['', '1.2.3', '1.2.3.4.5', 'a.b.c.d', '1.2.3.-4', ' 1.2.3.4', '1.2.3.4\n', '1..3.4'])
      expect(() => parseId(text)).toThrow(/is no node id/);
    expect(() => parseId('1.1.1.256')).toThrow(/instance 256 is not 0..255/);
    expect(parseId('0.0.1.256', [4, 4, 8, 16])).toBe(0x0001_0100);
    expect(() => parseId('16.0.1.1', [4, 4, 8, 16])).toThrow(/world 16 is not 0..15/);
    expect(parseId('0.0.70000.1', [0, 0, 20, 12])).toBe(70_000 * 4096 + 1);
  });

  it('widths are four, and 32 bits together', () => {
    expect(flawOfWidths(DEFAULT_WIDTHS)).toBeUndefined();
    expect(flawOfWidths([0, 0, 16, 16])).toBeUndefined();
    for (const [bits, flaw] of [
      [[8, 8, 8], /not four/],
      ['8.8.8.8', /not four/],
      [[8, 8, 8, 9], /33 bits together/],
      [[8, 8, 8.5, 7.5], /whole number/],
      [[-1, 9, 12, 12], /whole number/],
      [[16, 16, 0, 0], /kind and instance/],
      [[0, 1, 31, 0], /kind and instance/],
    ] as const)
      expect(flawOfWidths(bits)).toMatch(flaw);
  });
});
