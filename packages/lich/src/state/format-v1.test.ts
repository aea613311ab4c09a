/** Segments of format 1 (fixtures/format/v1) are opened by this build, read the same, and can be gone on with. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { crc32, gunzipSync } from 'node:zlib';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { attachSegment, OwnerLock, type Segment } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import * as lich from './index.ts';

const FIXTURE = join(import.meta.dirname, '../../../../fixtures/format/v1');

/** What content.mjs exports. */
interface Fixture {
  readonly NAME: string;
  planWith(state: typeof lich): lich.StorePlan;
  contentWith(
    state: typeof lich,
    segment: Segment,
  ): { root: any; pools: Record<string, { slot: number; value: any }[]> };
  jsonable(value: unknown): unknown;
  drainMessages(state: typeof lich, store: lich.Store<any>): object;
}

const { messages, ...wanted } = JSON.parse(fs.readFileSync(join(FIXTURE, 'content.json'), 'utf8'));
let fixture: Fixture;
let plan: lich.StorePlan;
let dir: string;

beforeAll(async () => {
  fixture = (await import(join(FIXTURE, 'content.mjs'))) as Fixture;
  plan = fixture.planWith(lich);
});
beforeEach(() => {
  dir = testDir();
});
afterEach(removeTestDirs);

/** Put the segment file into a directory: as it was, but for the user who made it. */
function place(): void {
  const file = gunzipSync(fs.readFileSync(join(FIXTURE, 'state.gz')));
  file.writeUInt32LE(process.geteuid!(), 64);
  file.writeUInt32LE(crc32(file.subarray(0, 4092)), 4092);
  fs.writeFileSync(join(dir, `${fixture.NAME}.state`), file, { mode: 0o600 });
}

const attach = (write = false) => {
  const { layoutHash } = plan;
  return attachSegment({ dir, name: fixture.NAME, kind: 'state', layoutHash, write });
};

describe('a segment of format 1', () => {
  it('is read as it was when it was written, its open transaction undone', () => {
    place();
    const segment = attach();
    expect(fixture.contentWith(lich, segment)).toEqual(wanted);
    expect(lich.openReader(segment).check()).toEqual([]);
    segment.close();
  });

  it('is taken over and gone on with', () => {
    place();
    const lock = OwnerLock.open(dir, fixture.NAME);
    expect(lock.tryAcquire()).toBe('acquired');
    const segment = attach(true);
    const store = lich.openStore(segment, plan) as lich.Store<any>;
    expect(store.recover().undone).toBeGreaterThan(0);
    expect(store.check()).toEqual([]);
    expect(fixture.contentWith(lich, segment)).toEqual(wanted);

    expect(fixture.drainMessages(lich, store)).toEqual(messages);
    // By views, and then every record is destroyed: all that they owned goes back to the heap.
    const { state } = store;
    for (const { slot, value } of wanted.pools.growing) {
      const seen = fixture.jsonable(lich.plain(state.growing.get(slot))) as Record<string, unknown>;
      expect(seen['array']).toEqual(value.array);
      expect(seen['queue']).toEqual(value.queue);
      expect(seen['items']).toEqual(value.items);
    }
    for (const pool of store.pools.values()) {
      for (const record of pool) {
        store.log.begin();
        pool.destroy(record);
        store.log.commit();
      }
    }
    expect(store.check()).toEqual([]);
    store.log.begin();
    state.title = '';
    state.scores.clear();
    for (let k = 0; k < 100; k++) state.growing.create({ array: [k], map: [[k, { label: 'new' }]] });
    store.log.commit();
    expect(store.check()).toEqual([]);
    segment.close();
    lock.release();
  });
});

describe('a dump of format 1', () => {
  const file = join(FIXTURE, 'state.dump');

  it('is read as it was when it was written', () => {
    const { segment } = lich.openDump(file);
    expect(fixture.contentWith(lich, segment)).toEqual(wanted);
    expect(lich.openReader(segment).check()).toEqual([]);
  });

  it('is restored', () => {
    lich.restoreSegment(file, { dir });
    const segment = attach();
    expect(fixture.contentWith(lich, segment)).toEqual(wanted);
    segment.close();
  });
});

it('the fixture has every kind that there is', () => {
  // A kind that is added to the language goes into schema.mjs while format 1 is not released, later into the next format.
  const tags = new Set<string>();
  const look = (kind: any): void => {
    if (typeof kind === 'string') tags.add(kind);
    else if (typeof kind === 'object' && kind !== null) {
      if (typeof kind.tag === 'string') tags.add(kind.length === 0 || kind.capacity === 0 ? `${kind.tag}()` : kind.tag);
      for (const inner of [kind.of, kind.key]) if (inner !== undefined) look(inner);
    }
  };
  const catalog = JSON.parse(plan.catalog);
  const structs = [catalog.root, ...catalog.structs, ...catalog.pools.map((pool: any) => pool.record)];
  for (const pool of catalog.pools) structs.push(...(pool.variants ?? []).map((variant: any) => variant.record));
  for (const struct of structs) for (const field of struct.fields) look(field.kind);
  // With () it grows.
  const all =
    'u8 i8 u16 i16 u32 i32 int f32 f64 u64 i64 bool oneOf struct ref text text() bytes bytes() array vector optional ' +
    'sorted machine list list() map map() set set() queue queue() bits bits()';
  expect([...tags].sort()).toEqual(all.split(' ').sort());
  expect(catalog.pools.some((pool: { capacity: number }) => pool.capacity === 0)).toBe(true);
  expect(catalog.pools.some((pool: { variants?: object }) => pool.variants !== undefined)).toBe(true);
  expect(catalog.root.fields.map((field: { name: string }) => field.name)).toContain('$timers');
});
