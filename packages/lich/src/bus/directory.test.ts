import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { Child, removeTestDirs, testDir } from '../testing/children.ts';
import { Directory } from './directory.ts';
import { nodeId } from './node-ids.ts';

const CHILD = fileURLToPath(new URL('./directory.child.mjs', import.meta.url));

afterEach(removeTestDirs);

describe('the directory', () => {
  it('gives each name the lowest free index, for ever', () => {
    const dir = testDir();
    const one = new Directory(dir, 8);
    expect(one.ensure('a-1', 5)).toEqual({ index: 0, name: 'a-1', id: 5 });
    expect(one.ensure('b-1', 6).index).toBe(1);
    const two = new Directory(dir, 8);
    expect(two.ensure('a-1', 5).index).toBe(0);
    expect(two.byName('b-1')).toEqual({ index: 1, name: 'b-1', id: 6 });
    expect(two.ensure('c-1', 7).index).toBe(2);
    expect(one.byName('c-1').index).toBe(2);
    one.refresh();
    expect(one.all().map(({ name }) => name)).toEqual(['a-1', 'b-1', 'c-1']);
    expect(fs.readdirSync(`${dir}/nodes`).sort()).toEqual(['0000', '0001', '0002']);
    expect(fs.statSync(`${dir}/nodes`).mode & 0o077).toBe(0);
    expect(fs.statSync(`${dir}/nodes/0000`).mode & 0o077).toBe(0);
  });

  it('an id belongs to one name, a name has one id, in both directions', () => {
    const directory = new Directory(testDir(), 8);
    directory.ensure('a-1', nodeId(1, 1, 1, 1));
    expect(() => directory.ensure('b-1', nodeId(1, 1, 1, 1))).toThrow(
      expect.objectContaining({ code: 'BUS_NODE_ID_TAKEN' }),
    );
    expect(() => directory.ensure('a-1', nodeId(1, 1, 1, 2))).toThrow(
      expect.objectContaining({ code: 'BUS_NODE_ID_TAKEN' }),
    );
    expect(directory.ensure('c-1', -1).id).toBe(0xffff_ffff);
    expect(directory.ensure('c-1', 0xffff_ffff).index).toBe(1);
  });

  it('a node elsewhere says where it runs and by which link it is reached; a name is one node', () => {
    const dir = testDir();
    const directory = new Directory(dir, 8);
    const where = { host: 'b', via: 'link-1' };
    const entry = { index: 0, name: 'm-1', id: 9, ...where };
    expect(directory.ensure('m-1', 9, where)).toEqual(entry);
    expect(directory.ensure('m-1', 9, where)).toEqual(entry);
    expect(new Directory(dir, 8).byName('m-1')).toEqual(entry);
    const taken = expect.objectContaining({ code: 'BUS_NODE_ID_TAKEN' });
    expect(() => directory.ensure('m-1', 9)).toThrow(taken);
    expect(() => directory.ensure('m-1', 9, { ...where, host: 'c' })).toThrow(taken);
    fs.writeFileSync(`${dir}/nodes/0001`, '{"name":"n-1","id":10,"host":"b"}');
    expect(() => directory.refresh()).toThrow(expect.objectContaining({ code: 'BUS_UNKNOWN_NODE' }));
  });

  it('is full at its limit, and knows whom it does not know', () => {
    const directory = new Directory(testDir(), 2);
    directory.ensure('a-1', 1);
    directory.ensure('b-1', 2);
    expect(() => directory.ensure('c-1', 3)).toThrow(expect.objectContaining({ code: 'BUS_TOO_MANY_NODES' }));
    expect(() => directory.byName('c-1')).toThrow(/no node c-1 .*known: a-1, b-1/);
    expect(directory.byIndex(7)).toBeUndefined();
    expect(directory.ensure('a-1', 1).index).toBe(0);
  });

  it('what a killed claim left is no node; a file that is none is named', () => {
    const dir = testDir();
    new Directory(dir, 8).ensure('a-1', 1);
    fs.writeFileSync(`${dir}/nodes/123-b-1.tmp`, '{"name":"b');
    expect(new Directory(dir, 8).all().length).toBe(1);
    fs.writeFileSync(`${dir}/nodes/0003`, '{"name":"b');
    expect(() => new Directory(dir, 8)).toThrow(/nodes\/0003 is not a node entry/);
  });

  it('8 processes at once, 20 different nodes each: 160 places, everybody sees the same', async () => {
    const dir = testDir();
    const children = Array.from({ length: 8 }, () => new Child(CHILD));
    await Promise.all(children.map(child => child.next()));
    const answers = await Promise.all(
      children.map((child, k) => child.ask('enter', { dir, name: `n${k}`, id: 1_000 + k * 100, times: 20, max: 256 })),
    );
    const entries = answers.flatMap(answer => answer.entries as { index: number; name: string; id: number }[]);
    expect(new Set(entries.map(({ index }) => index)).size).toBe(160);
    expect(Math.max(...entries.map(({ index }) => index))).toBe(159);
    const seen = new Directory(dir, 256).all();
    expect(seen).toEqual([...entries].sort((a, b) => a.index - b.index));
    expect(fs.readdirSync(`${dir}/nodes`).length).toBe(160);
    await Promise.all(children.map(child => child.kill()));
  });

  it('8 processes that enter the same node at once all get the same place', async () => {
    const children = Array.from({ length: 8 }, () => new Child(CHILD));
    await Promise.all(children.map(child => child.next()));
    for (let round = 0; round < 20; round++) {
      const dir = testDir();
      new Directory(dir, 256).ensure('first', 1);
      const answers = await Promise.all(
        children.map(child => child.ask('enter', { dir, name: 'same', id: 77, times: 1, max: 256 })),
      );
      expect(answers.map(answer => answer.entries[0])).toEqual(
        Array.from({ length: 8 }, () => ({ index: 1, name: 'same', id: 77 })),
      );
      expect(fs.readdirSync(`${dir}/nodes`)).toEqual(['0000', '0001']);
    }
    await Promise.all(children.map(child => child.kill()));
  });

  it('of 8 processes with one id and 8 names one gets it, the others are told who has it', async () => {
    const children = Array.from({ length: 8 }, () => new Child(CHILD));
    await Promise.all(children.map(child => child.next()));
    for (let round = 0; round < 10; round++) {
      const dir = testDir();
      const answers = await Promise.all(
        children.map((child, k) => child.order('enter', { dir, name: `n${k}`, id: 77, times: 1, max: 256 })),
      );
      expect(answers.filter(answer => answer.entries).length).toBe(1);
      expect(answers.filter(answer => answer.error?.code === 'BUS_NODE_ID_TAKEN').length).toBe(7);
    }
    await Promise.all(children.map(child => child.kill()));
  });
});
