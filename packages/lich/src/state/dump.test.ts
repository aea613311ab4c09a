import * as fs from 'node:fs';
import { join } from 'node:path';
import { f64, int, list, map, pool, ref, state, struct, text, u16 } from '@lich/schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attachSegment, createSegment, listSegments, OwnerLock, type Segment } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { DUMP_PACKINGS, hasPacking } from './dump-format.ts';
import {
  dumpInfo,
  dumpSegment,
  openDump,
  openReader,
  openStore,
  restoreSegment,
  StateError,
  type Store,
  storePlan,
  WORDS,
} from './index.ts';

class Item extends struct({ kind: u16, count: int }) {}
class Unit extends struct({ name: text(12), x: f64, bag: map(u16, Item, 4), way: list(f64, 3), mate: ref('units') }) {}
const Schema = state({ units: pool(Unit, { capacity: 20_000 }), round: int.init(7) });
const plan = storePlan(Schema, { logWords: 1 << 16 });

let dir: string;
let files: string;
let segment: Segment;
let store: Store<any>;

function transact(fn: (state: any) => void): void {
  store.log.begin();
  fn(store.state);
  store.log.commit();
}

beforeEach(() => {
  dir = testDir();
  files = testDir();
  const { regions, catalog, layoutHash } = plan;
  segment = createSegment({ dir, name: 'arena-1', kind: 'state', regions, catalog, layoutHash });
  segment.nextEpoch();
  store = openStore(segment, plan);
  transact(s => {
    for (let k = 0; k < 40; k++) {
      const unit = s.units.create({ name: `unit ${k}`, x: k / 7, way: [k, k + 1] });
      unit.bag.set(k, { kind: k, count: k });
    }
    s.units.get(3).mate = s.units.get(4);
    s.round = 99;
  });
});
afterEach(() => {
  segment.close();
  removeTestDirs();
});

/** All that a reader sees. */
function contentOf(of: Segment): unknown {
  return openReader(of, { hidden: true }).snapshot(s => ({ root: s.root(), units: s.entries('units') }));
}

const code = (fn: () => unknown): string => {
  try {
    fn();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code);
    throw error;
  }
  return 'nothing thrown';
};

describe('a dump', () => {
  it.each(DUMP_PACKINGS.filter(hasPacking))('holds the last commit, packed with %s', packing => {
    const before = contentOf(segment);
    store.log.begin();
    store.state.round = 100;
    store.state.units.destroy(store.state.units.get(3));
    const file = join(files, 'a.dump');
    const said = dumpSegment(segment, file, { packing });
    store.log.rollback();

    const { segment: copy, info } = openDump(file);
    expect(info).toEqual(said);
    expect(dumpInfo(file)).toEqual(said);
    expect(info).toMatchObject({ node: 'arena-1', epoch: 1, commitNo: store.log.commitNo, packing });
    expect(contentOf(copy)).toEqual(before);
    expect(openReader(copy).check()).toEqual([]);
    expect(copy.i32[WORDS.LOG_POS]).toBe(copy.i32[WORDS.COM_POS]);
    // The log is not in it, and no page of zeros.
    expect(info.pages).toBeLessThan(12);
  });

  it('of a dump is the same dump', () => {
    dumpSegment(segment, join(files, 'a.dump'));
    const { segment: copy } = openDump(join(files, 'a.dump'));
    dumpSegment(copy, join(files, 'b.dump'));
    expect(contentOf(openDump(join(files, 'b.dump')).segment)).toEqual(contentOf(segment));
  });

  it('of a segment in memory works too', () => {
    const memory = memorySegment({ regions: plan.regions, catalog: plan.catalog });
    const other = openStore(memory, plan) as Store<any>;
    other.log.begin();
    other.state.round = 5;
    other.log.commit();
    dumpSegment(memory, join(files, 'a.dump'));
    expect(contentOf(openDump(join(files, 'a.dump')).segment)).toEqual(contentOf(memory));
  });

  it('tells how far it is', () => {
    const seen: number[] = [];
    dumpSegment(segment, join(files, 'a.dump'), { onProgress: done => seen.push(done) });
    expect(seen.length).toBeGreaterThan(0);
    expect([...seen].sort((a, b) => a - b)).toEqual(seen);
  });

  it('does not take the place of a file, nor of a state that is not there yet', () => {
    fs.writeFileSync(join(files, 'a.dump'), 'mine');
    expect(code(() => dumpSegment(segment, join(files, 'a.dump')))).toBe('SHM_EXISTS');
    expect(fs.readFileSync(join(files, 'a.dump'), 'utf8')).toBe('mine');
    const empty = memorySegment({ regions: plan.regions, catalog: plan.catalog });
    expect(code(() => dumpSegment(empty, join(files, 'b.dump')))).toBe('STATE_NOT_READY');
    expect(fs.readdirSync(files)).toEqual(['a.dump']);
  });
});

describe('restore', () => {
  it('makes the state again, for a new creation of the node', () => {
    const before = contentOf(segment);
    dumpSegment(segment, join(files, 'a.dump'));
    const other = testDir();
    const done: number[] = [];
    restoreSegment(join(files, 'a.dump'), { dir: other, onProgress: bytes => done.push(bytes) });
    expect(listSegments(other)).toMatchObject([{ name: 'arena-1', owner: undefined, segments: [{ resumable: true }] }]);
    const lock = OwnerLock.open(other, 'arena-1');
    expect(lock.tryAcquire()).toBe('acquired');
    const { layoutHash } = plan;
    const made = attachSegment({ dir: other, name: 'arena-1', kind: 'state', layoutHash, write: true });
    expect(made.epoch).toBe(1);
    expect(made.i32[WORDS.RESTORED]).toBe(WORDS.RESTORED_WHOLE);
    expect(contentOf(made)).toEqual(before);
    const again = openStore(made, plan) as Store<any>;
    expect(again.recover()).toEqual({ undone: 0 });
    expect(again.check()).toEqual([]);
    again.log.begin();
    for (let k = 0; k < 700; k++) again.state.units.create({ name: `new ${k}` });
    again.log.rollback();
    expect(again.check()).toEqual([]);
    made.close();
    lock.release();
    expect(done.length).toBeGreaterThan(0);
  });

  it('goes by another name', () => {
    dumpSegment(segment, join(files, 'a.dump'));
    restoreSegment(join(files, 'a.dump'), { dir, name: 'arena-2' });
    expect(listSegments(dir).map(node => node.name)).toEqual(['arena-1', 'arena-2']);
  });

  it('refuses where the node has a segment or an owner, and leaves both alone', () => {
    const file = join(files, 'a.dump');
    dumpSegment(segment, file);
    expect(code(() => restoreSegment(file, { dir }))).toBe('SHM_EXISTS');
    fs.writeFileSync(join(dir, 'arena-3.lanes'), '');
    expect(code(() => restoreSegment(file, { dir, name: 'arena-3' }))).toBe('SHM_EXISTS');
    const lock = OwnerLock.open(dir, 'arena-4');
    lock.tryAcquire();
    expect(code(() => restoreSegment(file, { dir, name: 'arena-4' }))).toBe('SHM_LOCK_HELD');
    expect(fs.readdirSync(dir).sort()).toEqual(['arena-1.state', 'arena-3.lanes', 'arena-4.lock']);
    lock.release();
  });

  it('refuses what is no dump', () => {
    const file = join(files, 'a.dump');
    expect(code(() => restoreSegment(file, { dir }))).toBe('SHM_NOT_FOUND');
    fs.writeFileSync(file, 'once upon a time there was a file that was no dump');
    expect(code(() => restoreSegment(file, { dir }))).toBe('STATE_DUMP_FOREIGN');
    fs.rmSync(file);
    fs.mkdirSync(file);
    expect(code(() => restoreSegment(file, { dir }))).toBe('STATE_DUMP_FOREIGN');
  });
});

describe('a damaged dump', () => {
  const refused = ['STATE_DUMP_DAMAGED', 'STATE_DUMP_FOREIGN', 'STATE_DUMP_VERSION'];
  const target = () => fs.mkdtempSync(join(files, 'target-'));

  it('is refused whichever bit was changed, and nothing is made', () => {
    const file = join(files, 'a.dump');
    dumpSegment(segment, file);
    const whole = fs.readFileSync(file);
    const other = target();
    const step = Math.max(1, Math.floor(whole.length / 700));
    for (let at = 0; at < whole.length; at += at < 64 || at > whole.length - 64 ? 1 : step) {
      const bad = Buffer.from(whole);
      bad[at] ^= 1 << (at % 8);
      fs.writeFileSync(file, bad);
      const use = () => (at % 8 === 0 ? restoreSegment(file, { dir: other }) : openDump(file));
      expect({ at, code: code(use) }).toEqual({
        at,
        code: expect.toSatisfy((found: string) => refused.includes(found)),
      });
    }
    expect(fs.readdirSync(other)).toEqual([]);
  });

  it('is refused wherever it was cut off or has grown', () => {
    const file = join(files, 'a.dump');
    dumpSegment(segment, file);
    const whole = fs.readFileSync(file);
    const other = target();
    for (let length = 0; length < whole.length; length += length < 40 ? 1 : 97) {
      fs.writeFileSync(file, whole.subarray(0, length));
      expect(refused).toContain(code(() => openDump(file)));
    }
    fs.writeFileSync(file, Buffer.concat([whole, Buffer.from('x')]));
    expect(refused).toContain(code(() => restoreSegment(file, { dir: other })));
    fs.writeFileSync(file, Buffer.concat([whole, whole]));
    expect(refused).toContain(code(() => restoreSegment(file, { dir: other })));
    expect(fs.readdirSync(other)).toEqual([]);
  });

  it('says what is wrong', () => {
    const file = join(files, 'a.dump');
    dumpSegment(segment, file);
    fs.truncateSync(file, 100);
    expect(() => openDump(file)).toThrow(StateError);
    expect(() => openDump(file)).toThrow('cut off after 100 bytes');
  });
});
