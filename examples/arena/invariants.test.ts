import { describe, expect, test } from 'vitest';
import { GOLD, ITEMS } from './game.ts';
import { type World, brokenRules } from './invariants.ts';

const player = (slot: number, more: Partial<World['players'][number]> = {}): World['players'][number] => ({
  slot,
  generation: 1,
  gold: 0,
  saved: 0,
  items: 0,
  hp: 100,
  x: 10,
  y: 10,
  ...more,
});
const lying = Array.from({ length: ITEMS }, (_, k) => ({ serial: k + 1, owner: undefined }));
const world = (more: Partial<World> = {}): World => ({ treasury: GOLD, players: [], heaps: [], items: lying, ...more });

describe('brokenRules', () => {
  test('a sound world breaks none', () => {
    expect(brokenRules(world())).toEqual([]);
    const items = lying.map((item, k) => (k < 2 ? { ...item, owner: { slot: 3, generation: 1 } } : item));
    const players = [player(3, { gold: 40, saved: 5, items: 2 })];
    expect(brokenRules(world({ treasury: GOLD - 55, heaps: [{ gold: 10 }], players, items }))).toEqual([]);
  });

  test.each<[string, Partial<World>, RegExp]>([
    ['gold from nowhere', { treasury: GOLD + 1 }, /1000001 gold, not 1000000/],
    ['half of a transfer', { treasury: GOLD - 10 }, /999990 gold/],
    ['debts', { treasury: GOLD + 5, players: [player(1, { gold: -5 })] }, /player 1 has -5 gold/],
    ['an empty heap', { heaps: [{ gold: 0 }] }, /a heap of 0 gold/],
    ['an item twice', { items: [...lying, lying[0]] }, /item 1 exists twice/],
    ['an item gone', { items: lying.slice(1) }, /23 items, not 24/],
    ['a foreign item', { items: [...lying, { serial: 99, owner: undefined }] }, /item 99 is none of/],
    [
      'an owner gone',
      { items: [{ ...lying[0], owner: { slot: 7, generation: 1 } }, ...lying.slice(1)] },
      /belongs to 7\/1/,
    ],
    [
      'an owner of another life',
      { players: [player(7)], items: [{ ...lying[0], owner: { slot: 7, generation: 3 } }, ...lying.slice(1)] },
      /belongs to 7\/3/,
    ],
    ['a wrong count', { players: [player(1, { items: 1 })] }, /counts 1 items and has 0/],
    ['a place outside', { players: [player(1, { x: Number.NaN })] }, /player 1 is at NaN/],
    ['too much health', { players: [player(1, { hp: 101 })] }, /101 hp/],
  ])('%s', (_name, more, sentence) => {
    expect(brokenRules(world(more)).join('; ')).toMatch(sentence);
  });
});
