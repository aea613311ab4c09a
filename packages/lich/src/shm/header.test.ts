import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  GRANULE_BYTES,
  HEADER_BYTES,
  REGIONS_MAX,
  SEGMENT_BYTES_MAX,
  decodeHeader,
  encodeHeader,
  placeRegions,
  sizeOfSegment,
  type Header,
} from './header.ts';

const header = (): Header => {
  const { regions, sizeBytes } = placeRegions(
    [
      { name: 'log', bytes: 5000, reserve: true },
      { name: 'pool:a', bytes: 1 },
    ],
    10,
  );
  return {
    kind: 'lanes',
    layoutHash: 0xfedc_ba98_7654_3210n,
    sizeBytes,
    createdMs: 1_234_567_890_123,
    bootId: new Uint8Array(16).map((_, i) => i + 1),
    uid: 77,
    name: 'arena.1',
    catalogBytes: 10,
    catalogCrc: 0xdeadbeef,
    regions,
  };
};

/** The page with one field changed and the checksum made right again: what another program might have written. */
function forged(change: (page: Buffer) => void): Buffer {
  const page = encodeHeader(header());
  change(page);
  page.writeUInt32LE(crc32(page.subarray(0, 4092)), 4092);
  return page;
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'no error';
};

test('the page is the table at the top of header.ts, byte for byte', () => {
  const page = encodeHeader(header());
  expect(page.length).toBe(4096);
  expect(page.toString('latin1', 0, 8)).toBe('LICH-SEG');
  expect([8, 12, 16, 20].map(at => page.readUInt32LE(at))).toEqual([1, 4096, 2, 4096]);
  expect(page.readBigUInt64LE(24)).toBe(0xfedc_ba98_7654_3210n);
  expect(page.readBigUInt64LE(32)).toBe(65_536n);
  expect(page.readBigUInt64LE(40)).toBe(1_234_567_890_123n);
  expect([...page.subarray(48, 64)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
  expect([64, 68, 72, 76].map(at => page.readUInt32LE(at))).toEqual([77, 5, 10, 0xdeadbeef]);
  expect(page.toString('latin1', 80, 88)).toBe('arena.1\0');
  expect(page.toString('latin1', 512, 518)).toBe('words\0');
  expect(page.readBigUInt64LE(512 + 40)).toBe(4096n);
  expect(page.readBigUInt64LE(512 + 48)).toBe(4096n);
  expect(page.readUInt32LE(512 + 56)).toBe(1);
  expect(page.toString('latin1', 512 + 4 * 64, 512 + 4 * 64 + 7)).toBe('pool:a\0');
  expect(page.readUInt32LE(512 + 4 * 64 + 56)).toBe(0);
  expect(page.readUInt32LE(4092)).toBe(crc32(page.subarray(0, 4092)));
  expect(decodeHeader(page, 'p')).toEqual(header());
});

test('each bit of the page is checked', () => {
  const page = encodeHeader(header());
  const codes = new Map<string, number>();
  for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
    page[bit >>> 3] ^= 1 << (bit & 7);
    const code = codeOf(() => decodeHeader(page, 'p'));
    codes.set(code, (codes.get(code) ?? 0) + 1);
    page[bit >>> 3] ^= 1 << (bit & 7);
  }
  expect(Object.fromEntries(codes)).toEqual({ SHM_FOREIGN: 64, SHM_VERSION: 32, SHM_CORRUPT: 32_768 - 96 });
});

describe('a page with a right checksum and wrong content', () => {
  const cases: [string, (page: Buffer) => void, string][] = [
    ['older format', page => page.writeUInt32LE(0, 8), 'SHM_VERSION'],
    ['newer format', page => page.writeUInt32LE(2, 8), 'SHM_VERSION'],
    ['header of another size', page => page.writeUInt32LE(8192, 12), 'SHM_CORRUPT'],
    ['unknown kind', page => page.writeUInt32LE(9, 16), 'SHM_CORRUPT'],
    ['kind 0', page => page.writeUInt32LE(0, 16), 'SHM_CORRUPT'],
    ['other pages', page => page.writeUInt32LE(65_536, 20), 'SHM_CORRUPT'],
    ['size 0', page => page.writeBigUInt64LE(0n, 32), 'SHM_CORRUPT'],
    ['odd size', page => page.writeBigUInt64LE(65_537n, 32), 'SHM_CORRUPT'],
    ['size past 4 GiB', page => page.writeBigUInt64LE(1n << 33n, 32), 'SHM_CORRUPT'],
    ['no regions', page => page.writeUInt32LE(0, 68), 'SHM_CORRUPT'],
    ['41 regions', page => page.writeUInt32LE(41, 68), 'SHM_CORRUPT'],
    ['reserved bytes used', page => page.writeUInt8(1, 300), 'SHM_CORRUPT'],
    ['bytes after the last region', page => page.writeUInt8(1, 512 + 5 * 64), 'SHM_CORRUPT'],
    ['bytes before the checksum', page => page.writeUInt8(1, 4091), 'SHM_CORRUPT'],
    ['catalog larger than its region', page => page.writeUInt32LE(65, 72), 'SHM_CORRUPT'],
    ['region without a name', page => page.fill(0, 512 + 3 * 64, 512 + 3 * 64 + 40), 'SHM_CORRUPT'],
    ['two regions of one name', page => page.copy(page, 512 + 4 * 64, 512 + 3 * 64, 512 + 3 * 64 + 40), 'SHM_CORRUPT'],
    ['region over another', page => page.writeBigUInt64LE(4096n, 512 + 3 * 64 + 40), 'SHM_CORRUPT'],
    ['region past the end', page => page.writeBigUInt64LE(65_536n, 512 + 4 * 64 + 48), 'SHM_CORRUPT'],
    ['empty region', page => page.writeBigUInt64LE(0n, 512 + 4 * 64 + 48), 'SHM_CORRUPT'],
    ['unaligned region', page => page.writeBigUInt64LE(20_001n, 512 + 4 * 64 + 40), 'SHM_CORRUPT'],
    ['unknown flag', page => page.writeUInt32LE(2, 512 + 56), 'SHM_CORRUPT'],
    ['words elsewhere', page => page.writeBigUInt64LE(4160n, 512 + 40), 'SHM_CORRUPT'],
    ['bitmap under another name', page => page.write('reservee', 512 + 64), 'SHM_CORRUPT'],
  ];
  test.each(cases)('%s', (_, change, code) => {
    expect(codeOf(() => decodeHeader(forged(change), 'p'))).toBe(code);
  });
});

describe('places of regions', () => {
  test('64 bytes apart, whole pages on pages, size in 64 KiB', () => {
    const { regions, sizeBytes } = placeRegions([
      { name: 'a', bytes: 1 },
      { name: 'b', bytes: 4096 },
      { name: 'c', bytes: 65 },
    ]);
    expect(regions.map(({ name, offset, bytes }) => [name, offset, bytes])).toEqual([
      ['words', 4096, 4096],
      ['reserved', 8192, 64],
      ['a', 8256, 64],
      ['b', 12_288, 4096],
      ['c', 16_384, 128],
    ]);
    expect(sizeBytes).toBe(GRANULE_BYTES);
  });

  test('the bitmap covers the segment at every size', () => {
    for (let bytes = 64; bytes < SEGMENT_BYTES_MAX - 65_536 * 2; bytes = Math.floor(bytes * 1.37) + 63) {
      const { regions, sizeBytes } = placeRegions([{ name: 'a', bytes }]);
      expect(regions[1].bytes * 8).toBeGreaterThanOrEqual(sizeBytes / GRANULE_BYTES);
      expect(regions[2].offset + regions[2].bytes).toBeLessThanOrEqual(sizeBytes);
    }
  });

  test('4 GiB is the end, and the error has both numbers', () => {
    const most = SEGMENT_BYTES_MAX - 8192 - 8192;
    expect(sizeOfSegment([{ name: 'a', bytes: most }])).toBe(SEGMENT_BYTES_MAX);
    expect(() => sizeOfSegment([{ name: 'a', bytes: most + 64 }])).toThrow(/4295032832 bytes.*4294967296/);
    expect(codeOf(() => sizeOfSegment([{ name: 'a', bytes: most + 64 }]))).toBe('SHM_TOO_LARGE');
  });

  test('mistakes of the caller are TypeErrors', () => {
    const many = Array.from({ length: REGIONS_MAX - 1 }, (_, i) => ({ name: `r${i}`, bytes: 64 }));
    expect(placeRegions(many.slice(1)).regions.length).toBe(REGIONS_MAX);
    expect(() => placeRegions(many)).toThrow(TypeError);
    expect(() => placeRegions([{ name: '', bytes: 1 }])).toThrow(TypeError);
    expect(() => placeRegions([{ name: 'x'.repeat(41), bytes: 1 }])).toThrow(TypeError);
    expect(() => placeRegions([{ name: 'a', bytes: 0 }])).toThrow(TypeError);
    expect(() => placeRegions([{ name: 'a', bytes: Number.NaN }])).toThrow(TypeError);
    expect(() => placeRegions([{ name: 'words', bytes: 1 }])).toThrow(TypeError);
    expect(() =>
      placeRegions([
        { name: 'a', bytes: 1 },
        { name: 'a', bytes: 1 },
      ]),
    ).toThrow(TypeError);
  });
});
