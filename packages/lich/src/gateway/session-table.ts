/** The sessions of this process's life, found by slot and by token. Rebuilt from the pool: the pool is the truth. */
import type { Pool } from '../state/index.ts';
import { LiveSession } from './connection.ts';
import type { Session } from './session.ts';

export class SessionTable {
  readonly pool: Pool<Session>;
  readonly #bySlot: (LiveSession | undefined)[] = [];
  readonly #byToken = new Map<string, LiveSession>();
  /** Sessions without a socket, the one that is away longest first. */
  readonly away = new Set<LiveSession>();
  /** Sessions that end as soon as their scene's lane takes it. */
  readonly ending = new Set<LiveSession>();

  constructor(pool: Pool<Session>) {
    this.pool = pool;
  }

  /** All that the pool holds, after a life that ended. */
  load(): void {
    const sessions: LiveSession[] = [];
    this.pool.forEach((record, slot) => sessions.push(this.add(slot, record)));
    sessions.sort((a, b) => a.record.awaySinceMs - b.record.awaySinceMs);
    for (const session of sessions) {
      if (session.record.phase === 'playing') this.away.add(session);
      if (session.record.phase === 'leaving') this.ending.add(session);
    }
  }

  /** After the commit that made the record. */
  add(slot: number, record: Session): LiveSession {
    const session = new LiveSession(slot, this.pool.generationOf(slot), record);
    while (this.#bySlot.length <= slot) this.#bySlot.push(undefined);
    this.#bySlot[slot] = session;
    this.#byToken.set(keyOf(record.token), session);
    return session;
  }

  /** After the commit that destroyed the record. @param token as it was */
  remove(session: LiveSession, token: Uint8Array): void {
    this.#bySlot[session.slot] = undefined;
    this.#byToken.delete(keyOf(token));
    this.away.delete(session);
    this.ending.delete(session);
  }

  has(session: LiveSession): boolean {
    return this.#bySlot[session.slot] === session;
  }

  bySlot(slot: number, generation: number): LiveSession | undefined {
    const session = this.#bySlot[slot];
    return session?.generation === generation ? session : undefined;
  }

  byToken(token: Uint8Array): LiveSession | undefined {
    return this.#byToken.get(keyOf(token));
  }

  inScene(scene: number): LiveSession[] {
    return this.#bySlot.filter((session): session is LiveSession => session?.scene === scene);
  }
}

function keyOf(token: Uint8Array): string {
  return String.fromCharCode(...token);
}
