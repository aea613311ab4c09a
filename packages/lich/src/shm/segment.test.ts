import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { ShmError } from './errors.ts';
import { HEADER_BYTES, SEGMENT_BYTES_MAX } from './header.ts';
import { native } from './native.ts';
import { OwnerLock } from './owner-lock.ts';
import { createSegment } from './make.ts';
import { attachSegment, type Segment } from './segment.ts';

const root = process.geteuid?.() === 0;
const regions = [
  { name: 'log', bytes: 8192, reserve: true },
  { name: 'pool', bytes: 1 << 20 },
];
let dir: string;
const open: Segment[] = [];
const locks: OwnerLock[] = [];
const keep = (segment: Segment): Segment => {
  open.push(segment);
  return segment;
};
const create = (name = 'a', more = {}) =>
  keep(createSegment({ dir, name, kind: 'state', layoutHash: 'L', regions, ...more }));
const attach = (name = 'a', more = {}) => keep(attachSegment({ dir, name, kind: 'state', layoutHash: 'L', ...more }));
const take = (name = 'a') => {
  const lock = OwnerLock.open(dir, name);
  expect(lock.tryAcquire()).not.toBe('busy');
  locks.push(lock);
  return lock;
};

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof ShmError) return error.code;
    throw error;
  }
  return 'no error';
}

const stateFile = () => join(dir, 'a.state');
const hashOf = (path: string) => createHash('sha256').update(fs.readFileSync(path)).digest('hex');

beforeEach(() => {
  dir = testDir();
});
afterEach(() => {
  for (const segment of open.splice(0)) segment.close();
  for (const lock of locks.splice(0)) lock.release();
  removeTestDirs();
});

test('what is created is attached by others, who see the same bytes', () => {
  const made = create('a', { catalog: '{"é":1}' });
  expect([made.outcome, made.writable, made.sizeBytes, made.name]).toEqual(['created', true, 1_114_112, 'a']);
  made.i32[made.regions.get('pool')!.offset / 4] = -5;
  const seen = attach();
  expect([seen.outcome, seen.writable, seen.sizeBytes]).toEqual(['attached', false, made.sizeBytes]);
  expect(seen.i32[seen.regions.get('pool')!.offset / 4]).toBe(-5);
  expect(Buffer.from(seen.catalog).toString()).toBe('{"é":1}');
  expect([...seen.regions.keys()]).toEqual(['words', 'reserved', 'catalog', 'log', 'pool']);
  expect(seen.buffer).toBeInstanceOf(SharedArrayBuffer);
  for (const view of [
    seen.i8,
    seen.u8,
    seen.i16,
    seen.u16,
    seen.i32,
    seen.u32,
    seen.f32,
    seen.f64,
    seen.i64,
    seen.u64,
  ]) {
    expect(view.byteLength).toBe(made.sizeBytes);
  }
});

test('files are 0600, sparse, and a second creation is refused', () => {
  const made = create();
  const st = fs.statSync(made.path);
  expect(st.mode & 0o777).toBe(0o600);
  expect(st.size).toBe(made.sizeBytes);
  expect(st.blocks * 512).toBeLessThanOrEqual(131_072);
  const before = hashOf(made.path);
  expect(codeOf(() => create())).toBe('SHM_EXISTS');
  expect(hashOf(made.path)).toBe(before);
  expect(fs.readdirSync(dir)).toEqual(['a.state']);
});

test('state and lanes of one node are two files', () => {
  create();
  keep(createSegment({ dir, name: 'a', kind: 'lanes', layoutHash: 1n, regions: [{ name: 'x', bytes: 64 }] }));
  expect(fs.readdirSync(dir).sort()).toEqual(['a.lanes', 'a.state']);
  expect(codeOf(() => attachSegment({ dir, name: 'a', kind: 'lanes', layoutHash: 2n }))).toBe('SHM_LAYOUT');
});

test('a segment of 4 GiB', () => {
  const made = create('a', { regions: [{ name: 'x', bytes: SEGMENT_BYTES_MAX - 16_384 }] });
  made.reserve(SEGMENT_BYTES_MAX - 4096, 4096);
  made.u8[SEGMENT_BYTES_MAX - 1] = 9;
  expect(attach().u8[SEGMENT_BYTES_MAX - 1]).toBe(9);
  expect(fs.statSync(made.path).blocks * 512).toBeLessThan(400_000);
});

describe('a file that is not a sound segment is refused and left as it is', () => {
  test('each bit of the header page', () => {
    const made = create();
    made.close(true);
    const fd = fs.openSync(made.path, 'r+');
    const good = Buffer.alloc(HEADER_BYTES);
    fs.readSync(fd, good, 0, HEADER_BYTES, 0);
    const bad = Buffer.alloc(1);
    const after = Buffer.alloc(HEADER_BYTES);
    const codes = new Set<string>();
    const body = hashOf(made.path);
    for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
      const at = bit >>> 3;
      bad[0] = good[at] ^ (1 << (bit & 7));
      fs.writeSync(fd, bad, 0, 1, at);
      codes.add(codeOf(() => attach()));
      fs.readSync(fd, after, 0, HEADER_BYTES, 0);
      if (after[at] !== bad[0]) throw new Error(`bit ${bit}: the file was changed`);
      fs.writeSync(fd, good, at, 1, at);
    }
    fs.closeSync(fd);
    expect([...codes].sort()).toEqual(['SHM_CORRUPT', 'SHM_FOREIGN', 'SHM_VERSION']);
    expect(hashOf(made.path)).toBe(body);
    expect(attach().outcome).toBe('attached');
  });

  const forge = (change: (page: Buffer) => void) => () => {
    const bytes = fs.readFileSync(stateFile());
    change(bytes);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 4092)), 4092);
    fs.writeFileSync(stateFile(), bytes);
  };
  const replace = (make: () => void) => () => {
    fs.rmSync(stateFile());
    make();
  };
  const cases: [string, () => void, string][] = [
    ['empty', replace(() => fs.writeFileSync(stateFile(), '', { mode: 0o600 })), 'SHM_FOREIGN'],
    [
      'garbage',
      replace(() => fs.writeFileSync(stateFile(), Buffer.alloc(200_000, 'x'), { mode: 0o600 })),
      'SHM_FOREIGN',
    ],
    ['zeros', replace(() => fs.writeFileSync(stateFile(), Buffer.alloc(65_536), { mode: 0o600 })), 'SHM_FOREIGN'],
    ['shorter than a header', () => fs.truncateSync(stateFile(), 4095), 'SHM_FOREIGN'],
    ['truncated to the header', () => fs.truncateSync(stateFile(), 4096), 'SHM_SIZE'],
    ['truncated', () => fs.truncateSync(stateFile(), 65_536), 'SHM_SIZE'],
    ['longer', () => fs.truncateSync(stateFile(), 4_000_000), 'SHM_SIZE'],
    ['foreign magic', forge(page => page.write('SQLite f', 0)), 'SHM_FOREIGN'],
    ['older format', forge(page => page.writeUInt32LE(0, 8)), 'SHM_VERSION'],
    ['wrong kind', forge(page => page.writeUInt32LE(2, 16)), 'SHM_KIND'],
    ['wrong layout', forge(page => page.writeUInt8(page[24] ^ 1, 24)), 'SHM_LAYOUT'],
    ['wrong size', forge(page => page.writeBigUInt64LE(1n << 21n, 32)), 'SHM_SIZE'],
    ['made by another uid', forge(page => page.writeUInt32LE(12_345, 64)), 'SHM_ACCESS'],
    ['wrong catalog', forge(page => page.writeUInt32LE(1, 76)), 'SHM_CORRUPT'],
    ['writable by the group', () => fs.chmodSync(stateFile(), 0o620), 'SHM_ACCESS'],
    ['writable by all', () => fs.chmodSync(stateFile(), 0o602), 'SHM_ACCESS'],
    ['a directory', replace(() => fs.mkdirSync(stateFile(), 0o700)), 'SHM_BAD_FILE'],
    ['a FIFO', replace(() => void native().makeFifo(stateFile())), 'SHM_BAD_FILE'],
    ['a symbolic link to a device', replace(() => fs.symlinkSync('/dev/zero', stateFile())), 'SHM_BAD_FILE'],
    [
      'a symbolic link out of the directory',
      () => {
        fs.renameSync(stateFile(), join(testDir(), 'elsewhere.state'));
        fs.symlinkSync(join(dir, '../elsewhere.state'), stateFile());
      },
      'SHM_BAD_FILE',
    ],
    ['missing', () => fs.rmSync(stateFile()), 'SHM_NOT_FOUND'],
  ];
  test.each(cases)('%s', (_, spoil, code) => {
    create('a', { catalog: 'words' }).close(true);
    spoil();
    const st = fs.lstatSync(stateFile(), { throwIfNoEntry: false });
    const body = () => (st?.isFile() ? hashOf(stateFile()) : undefined);
    const before = body();
    const lock = take();
    expect(codeOf(() => attach())).toBe(code);
    expect(codeOf(() => attach('a', { write: true }))).toBe(code);
    expect(st ? codeOf(() => create()) : 'SHM_EXISTS').toBe('SHM_EXISTS');
    lock.release();
    expect(body()).toBe(before);
    expect(fs.lstatSync(stateFile(), { throwIfNoEntry: false })?.mode).toBe(st?.mode);
  });

  test.skipIf(!root)('a file of another owner', () => {
    create().close(true);
    fs.chownSync(stateFile(), 12_345, 12_345);
    expect(codeOf(() => attach())).toBe('SHM_ACCESS');
  });

  test('each byte of the catalog', () => {
    const made = create('a', { catalog: '{"pool":"unit"}' });
    const { offset } = made.regions.get('catalog')!;
    for (let at = 0; at < made.catalog.length; at++) {
      made.u8[offset + at] ^= 1;
      expect(codeOf(() => attach())).toBe('SHM_CORRUPT');
      made.u8[offset + at] ^= 1;
    }
    attach();
  });
});

describe('the directory', () => {
  test('must be there, a directory, and not writable by others', () => {
    expect(
      codeOf(() => createSegment({ dir: join(dir, 'none'), name: 'a', kind: 'state', layoutHash: 1n, regions })),
    ).toBe('SHM_NOT_FOUND');
    fs.writeFileSync(join(dir, 'file'), '');
    expect(
      codeOf(() => createSegment({ dir: join(dir, 'file'), name: 'a', kind: 'state', layoutHash: 1n, regions })),
    ).toBe('SHM_BAD_FILE');
    fs.symlinkSync(dir, join(dir, 'link'));
    expect(
      codeOf(() => createSegment({ dir: join(dir, 'link'), name: 'a', kind: 'state', layoutHash: 1n, regions })),
    ).toBe('SHM_BAD_FILE');
    fs.chmodSync(dir, 0o770);
    expect(codeOf(() => create())).toBe('SHM_ACCESS');
    fs.chmodSync(dir, 0o700);
    create();
  });

  test.skipIf(!root)('of another owner', () => {
    fs.chownSync(dir, 12_345, 12_345);
    expect(codeOf(() => create())).toBe('SHM_ACCESS');
  });

  test.each(['', '.', '..', '../a', 'a/b', '.hidden', 'a\0b', 'x'.repeat(64), 'é'])('no node is called %j', name => {
    expect(codeOf(() => create(name))).toBe('SHM_BAD_NAME');
    expect(codeOf(() => attach(name))).toBe('SHM_BAD_NAME');
    expect(codeOf(() => OwnerLock.open(dir, name))).toBe('SHM_BAD_NAME');
  });
});

describe('opening for writing', () => {
  test('needs the owner lock, and then happens in place', () => {
    const made = create();
    const standby = attach();
    expect(codeOf(() => standby.makeWritable())).toBe('SHM_NOT_OWNER');
    expect(codeOf(() => attach('a', { write: true }))).toBe('SHM_NOT_OWNER');
    take('b');
    expect(codeOf(() => standby.makeWritable())).toBe('SHM_NOT_OWNER');
    take('a');
    const { i32 } = standby;
    standby.makeWritable();
    expect([standby.writable, standby.outcome]).toEqual([true, 'resumed']);
    i32[6000] = 6;
    expect(made.i32[6000]).toBe(6);
    expect(attach('a', { write: true }).outcome).toBe('resumed');
  });

  test('not when the name leads to another file by now', () => {
    create().close();
    const standby = attach();
    fs.renameSync(stateFile(), join(dir, 'old'));
    create().close();
    take();
    expect(codeOf(() => standby.makeWritable())).toBe('SHM_STALE');
    fs.rmSync(stateFile());
    expect(codeOf(() => standby.makeWritable())).toBe('SHM_STALE');
  });

  test('not a file that an earlier boot left open; one that it closed is resumed', () => {
    const made = create();
    made.u8.fill(7, 4096 + 4048, 4096 + 4064); // another boot wrote last
    expect([made.sameBoot, made.clean]).toEqual([false, false]);
    expect(codeOf(() => attach())).toBe('SHM_NOT_CLEAN');
    take();
    expect(codeOf(() => attach('a', { write: true }))).toBe('SHM_NOT_CLEAN');
    made.close(true);
    const resumed = attach('a', { write: true });
    expect([resumed.outcome, resumed.sameBoot, resumed.clean]).toEqual(['resumed', true, false]);
    resumed.close();
    expect(attach().clean).toBe(false);
  });

  test('epoch', () => {
    const made = create();
    expect(made.epoch).toBe(0);
    expect(made.nextEpoch()).toBe(1);
    expect(made.nextEpoch()).toBe(2);
    expect(attach().epoch).toBe(2);
    expect(codeOf(() => attach().nextEpoch())).toBe('SHM_READ_ONLY');
  });
});

describe('closing', () => {
  test('leaves views that read zero and reach no file', () => {
    const made = create();
    made.i32[6000] = 6;
    const { i32 } = made;
    made.close(true);
    made.close();
    const before = hashOf(made.path);
    expect(i32[6000]).toBe(0);
    i32.fill(-1, 5000, 7000);
    expect(hashOf(made.path)).toBe(before);
    const again = attach();
    expect([again.i32[6000], again.clean]).toEqual([6, true]);
    expect(codeOf(() => made.reserve(0, 1))).toBe('SHM_CLOSED');
    expect(codeOf(() => made.touch())).toBe('SHM_CLOSED');
    expect(codeOf(() => made.makeWritable())).toBe('SHM_CLOSED');
  });

  test('keeps no descriptor', () => {
    const count = () => fs.readdirSync('/proc/self/fd').length;
    const before = count();
    for (let i = 0; i < 20; i++) {
      create(`n${i}`).close();
      codeOf(() => create(`n${i}`));
      attach(`n${i}`).close();
      codeOf(() => attach(`n${i}`, { layoutHash: 9n }));
      codeOf(() => attach(`n${i}`, { write: true }));
    }
    expect(count()).toBe(before);
  });
});

test('on a disk: closed in order, opened again', () => {
  const disk = fs.mkdtempSync(join(tmpdir(), 'lich-test-'));
  try {
    const id = { dir: disk, name: 'a', kind: 'state' as const, layoutHash: 'L' };
    const made = keep(createSegment({ ...id, regions }));
    made.i32[6000] = 6;
    made.close(true);
    const lock = OwnerLock.open(disk, 'a');
    lock.acquire();
    locks.push(lock);
    const next = keep(attachSegment({ ...id, write: true }));
    expect([next.i32[6000], next.clean]).toEqual([6, false]);
  } finally {
    fs.rmSync(disk, { recursive: true });
  }
});

describe('reserving', () => {
  const used = (segment: Segment) => fs.statSync(segment.path).blocks * 512;

  test('takes pages once, in 64 KiB', () => {
    const made = create();
    const { offset } = made.regions.get('pool')!;
    const at = Math.ceil(offset / 65_536) * 65_536;
    expect(made.isReserved(0, offset)).toBe(true);
    expect(made.isReserved(at, 1)).toBe(false);
    made.reserve(at, 1);
    expect(used(made)).toBe(at + 65_536);
    made.reserve(at, 65_536);
    expect(used(made)).toBe(at + 65_536);
    made.reserve(at + 65_535, 2);
    expect(used(made)).toBe(at + 2 * 65_536);
    made.reserve(0, made.sizeBytes);
    expect(used(made) - made.sizeBytes).toBeLessThanOrEqual(8192); // a disk counts its own tables too
    made.reserve(0, 0);
  });

  test('is known to the next life', () => {
    const made = create();
    made.reserve(500_000, 100_000);
    made.close();
    take();
    const next = attach('a', { write: true });
    expect([next.isReserved(500_000, 100_000), next.isReserved(700_000, 1)]).toEqual([true, false]);
  });

  test('by a helper thread, also while the segment is closed', async () => {
    const made = create('a', { regions: [{ name: 'x', bytes: 64 << 20 }] });
    await made.reserveAsync(1 << 20, 20 << 20);
    expect(made.isReserved(1 << 20, 20 << 20)).toBe(true);
    const late = made.reserveAsync(30 << 20, 30 << 20);
    made.close();
    await expect(late).rejects.toMatchObject({ code: 'SHM_CLOSED' });
  });

  test('is for writers, inside the segment', () => {
    const made = create();
    expect(codeOf(() => attach().reserve(0, 1))).toBe('SHM_READ_ONLY');
    expect(() => made.reserve(made.sizeBytes, 1)).toThrow(RangeError);
    expect(() => made.reserve(-1, 1)).toThrow(RangeError);
    expect(() => made.reserve(Number.NaN, 1)).toThrow(RangeError);
  });

  test('touching allocates nothing', () => {
    const made = create();
    const before = used(made);
    attach().touch();
    made.touch();
    expect(used(made)).toBe(before);
  });

  test('maxBytes', () => {
    expect(codeOf(() => create('a', { maxBytes: 1 << 20 }))).toBe('SHM_TOO_LARGE');
    expect(fs.readdirSync(dir)).toEqual([]);
  });
});
