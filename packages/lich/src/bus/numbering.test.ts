import * as fs from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { sweepDrafts } from '../shm/index.ts';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { Steps } from '../testing/nth-step.mjs';
import { Directory } from './directory.ts';
import { DEFAULT_WIDTHS, formatId, type IdWidths } from './node-ids.ts';
import { enterNodes, type NamedNode, readNumbering } from './numbering.ts';

afterEach(removeTestDirs);

const nodes = (...names: string[]): NamedNode[] =>
  names.map(name => ({ name, kind: name.replace(/-\d+$/, ''), instance: Number(/\d+$/.exec(name)![0]) }));

const never = (): never => {
  throw new Error('no id may move');
};

function enter(dir: string, names: string[], widths: IdWidths = DEFAULT_WIDTHS, mayMove: () => void = never) {
  const found = enterNodes({ dir, maxNodes: 16, widths, nodes: nodes(...names), mayMove });
  return Object.fromEntries([...found].map(([name, { index, id }]) => [name, [index, formatId(id, widths)]]));
}

describe('numbers of kinds', () => {
  it('are given once, by name, whatever the order of the topology', () => {
    const dir = testDir();
    expect(enter(dir, ['gate-1', 'arena-1', 'arena-2'])).toEqual({
      'gate-1': [0, '1.1.2.1'],
      'arena-1': [1, '1.1.1.1'],
      'arena-2': [2, '1.1.1.2'],
    });
    // Another order, a kind less, one more.
    expect(enter(dir, ['bank-1', 'arena-2', 'gate-1'])).toEqual({
      'bank-1': [3, '1.1.3.1'],
      'arena-2': [2, '1.1.1.2'],
      'gate-1': [0, '1.1.2.1'],
    });
    expect(readNumbering(dir)).toEqual({
      widths: DEFAULT_WIDTHS,
      kinds: new Map([
        ['arena', 1],
        ['gate', 2],
        ['bank', 3],
      ]),
    });
    expect(fs.readdirSync(`${dir}/nodes`)).toEqual(['0000', '0001', '0002', '0003']);
  });

  it('that nodes were entered with stay, where the file is lost', () => {
    const dir = testDir();
    enter(dir, ['gate-1']);
    const first = enter(dir, ['arena-1', 'gate-1']);
    fs.rmSync(`${dir}/ids`);
    expect(enter(dir, ['gate-1', 'arena-1'])).toEqual(first);
  });

  it('a file that is none is named', () => {
    const dir = testDir();
    for (const text of ['{', '{"widths":[8,8,8],"kinds":{}}', '{"widths":[8,8,8,8],"kinds":{"a":"b"}}']) {
      fs.writeFileSync(`${dir}/ids`, text);
      expect(() => enter(dir, ['a-1'])).toThrow(expect.objectContaining({ code: 'BUS_IDS' }));
    }
  });

  it('what does not fit its width is refused before anything is written', () => {
    const dir = testDir();
    enter(dir, ['a-1', 'b-1', 'c-1', 'd-9']);
    const before = fs.readFileSync(`${dir}/ids`, 'utf8');
    expect(() => enter(dir, ['a-1'], [14, 14, 2, 2])).toThrow(/kind d has number 4, ids have 2 bits/);
    expect(() => enter(dir, ['a-1'], [12, 14, 3, 3])).toThrow(/d-9 is entered, and ids have 3 bits/);
    expect(fs.readFileSync(`${dir}/ids`, 'utf8')).toBe(before);
    expect(enter(dir, ['a-1'])).toEqual({ 'a-1': [0, '1.1.1.1'] });
  });
});

describe('other widths', () => {
  it('give all nodes other ids, if nothing forbids it; the indexes stay', () => {
    const dir = testDir();
    const names = ['a-1', 'b-1', 'b-2'];
    enter(dir, names);
    const asked: string[][] = [];
    const moved = enterNodes({
      dir,
      maxNodes: 16,
      widths: [4, 4, 8, 16],
      nodes: nodes('b-2'),
      mayMove: moving => void asked.push(moving.map(({ name, id }) => `${name} ${formatId(id)}`)),
    });
    expect(asked).toEqual([['a-1 1.1.1.1', 'b-1 1.1.2.1', 'b-2 1.1.2.2']]);
    expect(moved.get('b-2')).toEqual({ index: 2, name: 'b-2', id: 0x1102_0002 });
    const seen = new Directory(dir, 16).all();
    expect(seen.map(({ name, id }) => `${name} ${formatId(id, [4, 4, 8, 16])}`)).toEqual([
      'a-1 1.1.1.1',
      'b-1 1.1.2.1',
      'b-2 1.1.2.2',
    ]);
    expect(readNumbering(dir)!.widths).toEqual([4, 4, 8, 16]);
  });

  it('refused, they leave all as it was', () => {
    const dir = testDir();
    const names = ['a-1', 'b-1'];
    const before = enter(dir, names);
    const files = (): string[] => fs.readdirSync(`${dir}/nodes`).map(n => fs.readFileSync(`${dir}/nodes/${n}`, 'utf8'));
    const then = [...files(), fs.readFileSync(`${dir}/ids`, 'utf8')];
    expect(() => enter(dir, [...names, 'c-1'], [0, 0, 16, 16])).toThrow('no id may move');
    expect([...files(), fs.readFileSync(`${dir}/ids`, 'utf8')]).toEqual(then);
    expect(enter(dir, names)).toEqual(before);
  });

  it('killed at any step of it: the next start comes to the same, under the new widths or the old ones', () => {
    const names = ['a-1', 'b-1', 'b-2'];
    const wide: IdWidths = [4, 4, 8, 16];
    const move = (dir: string): unknown => enter(dir, [...names, 'c-1'], wide, () => {});
    const ids = (dir: string): string[] => new Directory(dir, 16).all().map(({ name, id }) => `${name} ${id}`);
    const whole = testDir();
    const before = enter(whole, names);
    const counted = new Steps({}, 0, () => {});
    const after = move(whole);
    counted.remove();
    const moved = ids(whole);
    expect(counted.count).toBeGreaterThan(20);
    for (let at = 1; at <= counted.count; at++) {
      for (const goesOn of [true, false]) {
        const dir = testDir();
        enter(dir, names);
        const steps = new Steps({}, at, () => {
          throw new Error('killed');
        });
        expect(() => move(dir), `step ${at}`).toThrow('killed');
        steps.remove();
        sweepDrafts(dir);
        if (goesOn) {
          expect(move(dir), `step ${at}`).toEqual(after);
          expect(ids(dir), `step ${at}`).toEqual(moved);
        } else
          expect(
            enter(dir, names, DEFAULT_WIDTHS, () => {}),
            `step ${at}`,
          ).toEqual(before);
        removeTestDirs();
      }
    }
  });

  it('no world and no zone', () => {
    expect(enter(testDir(), ['a-1'], [0, 0, 16, 16])).toEqual({ 'a-1': [0, '0.0.1.1'] });
  });
});
