/** A look at a running arena from outside: who owns its segments, and what is in them, as of one commit. Takes no part in
 * the game and writes nothing. */
import { type Owner, isAlive, listSegments, nsPid } from 'lich/shm';
import { type ReadState, attach } from 'lich/state';
import type { World, WorldPlayer } from './invariants.ts';

export interface WorldFigures {
  readonly players: number;
  readonly messages: number;
  readonly survived: number;
  readonly treasury: number;
  /** Of the process that owns the scene; 0 between two lives. */
  readonly pid: number;
  /** The number of its life. */
  readonly epoch: number;
}

export class Look {
  readonly #dir: string;
  readonly #node: string;
  #reader: ReadState | undefined;

  /** Nothing is opened before the first look. */
  constructor(dir: string, node: string) {
    this.#dir = dir;
    this.#node = node;
  }

  /** Who runs the node now; undefined between two lives. */
  owner(): Owner | undefined {
    const owner = listSegments(this.#dir).find(({ name }) => name === this.#node)?.owner;
    if (!owner || owner.pidNamespace !== nsPid() || !isAlive(owner.pid, owner.startTime)) return undefined;
    return owner;
  }

  /** Everything that the rules of the game are about. */
  world(): World {
    return this.#open().snapshot(s => ({
      treasury: s.root().treasury as number,
      players: s
        .entries('players')
        .map(({ slot, generation, value }) => ({ ...value, slot, generation }) as WorldPlayer),
      heaps: s.entries('heaps').map(({ value }) => value as unknown as World['heaps'][number]),
      items: s.entries('items').map(({ value }) => value as unknown as World['items'][number]),
    }));
  }

  figures(): WorldFigures {
    const { messages, survived, treasury, players } = this.#open().snapshot(s => {
      const root = s.root() as { messages: number; survived: number; treasury: number };
      return { ...root, players: s.entries('players').length };
    });
    return { players, messages, survived, treasury, pid: this.owner()?.pid ?? 0, epoch: this.epoch };
  }

  get epoch(): number {
    return this.#open().segment.epoch;
  }

  /** Walk every structure in a copy. @returns a sentence for each that is damaged */
  check(): string[] {
    return this.#open()
      .check()
      .map(({ where, what }) => `${where}: ${what}`);
  }

  #open(): ReadState {
    this.#reader ??= attach(this.#dir, { as: 'reader', node: this.#node });
    return this.#reader;
  }

  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }
}
