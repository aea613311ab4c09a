/** The programs of docs/state.md, "Reading from outside": they stand there as they stand here. */
import { int, i32, map, pool, state, struct, text } from '@lich/schema';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { attach } from './index.ts';

class Player extends struct({ name: text(24), hp: i32.init(100), bag: map(int, int) }) {
  get dead(): boolean {
    return this.hp <= 0;
  }
}
const State = state({ players: pool(Player), round: int });

let dir: string;
beforeEach(() => {
  dir = testDir();
});
afterEach(removeTestDirs);

const owner = () => {
  const owned = attach(dir, { as: 'owner', node: 'arena-1', schema: State });
  owned.store.log.begin();
  for (const name of ['Ann', 'Bob', 'Eve']) owned.store.state.players.create({ name, bag: [[7, 3]] });
  owned.store.log.commit();
  return owned;
};

test('views', () => {
  const owned = owner();
  const log: string[] = [];
  const console = { log: (...words: unknown[]) => void log.push(words.join(' ')) };

  const arena = attach(dir, { as: 'reader', node: 'arena-1', schema: State });
  const alive = arena.read(state => {
    let count = 0;
    for (const player of state.players) if (!player.dead) count++;
    return { round: state.round, count };
  });
  console.log(`round ${alive.round}: ${alive.count} alive`);

  expect(log).toEqual(['round 0: 3 alive']);
  arena.read(state => {
    // @ts-expect-error the compiler refuses it, and so does the state
    expect(() => (state.players.get(0)!.hp = 1)).toThrow(expect.objectContaining({ code: 'STATE_READ_ONLY' }));
  });
  arena.close();
  owned.close();
});

test('plain values, without the code', () => {
  const owned = owner();
  const rows: unknown[] = [];
  const save = (slot: number, row: unknown) => void rows.push([slot, row]);

  const tool = attach(dir, { as: 'tool', node: 'arena-1' });
  const stamp = tool.snapshot(s => {
    s.scan('players', ({ slot, value }) => save(slot, value)); // all of them, in bounded memory
    return s.stamp;
  });
  // ... later: only what has changed since
  tool.snapshot(s => s.changed('players', stamp, (slot, entry) => save(slot, entry?.value)));

  expect(rows.slice(0, 1)).toEqual([[0, { name: 'Ann', hp: 100, bag: [[7, 3]] }]]);
  expect(tool.check()).toEqual([]);
  tool.close();
  owned.close();
});

test('a standby', async () => {
  const owned = owner();
  const signal = new AbortController().signal;
  const standby = attach(dir, { as: 'standby', node: 'arena-1', schema: State });
  owned.close();
  const next = await standby.takeOverWhenFree(signal);
  expect(next?.store.state.players.size).toBe(3);
  next?.close();
});
