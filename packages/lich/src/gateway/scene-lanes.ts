/** What a gateway says to scenes, with a full lane as a value: nothing of the transaction was done, and it is tried again
 * when the scene has taken something. */
import { CodedError } from '@lich/schema';
import { FULL } from '../bus/index.ts';
import { type Core, errorData } from '../runtime/index.ts';

const LANE_FULL = Symbol('the lane is full');

export class SceneLanes {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Run `fn` as a transaction. @returns false when it found a lane full, or no room: nothing was done */
  tryTransact(fn: () => void): boolean {
    try {
      this.#core.transact(fn);
      return true;
    } catch (error) {
      if (error === LANE_FULL) return false;
      if (!(error instanceof CodedError) || !error.code.startsWith('BUS_')) throw error;
      this.#core.log.warn('a lane has no room', errorData(error));
      return false;
    }
  }

  /** A system message to a scene, inside `tryTransact`. @returns word of the payload */
  claim(session: { scene: number }, type: number, slot: number, generation: number, payloadBytes: number): number {
    const at = this.#core.bus.outbox.claim(session.scene, type, slot, generation, payloadBytes);
    // oxlint-disable-next-line typescript/only-throw-error -- caught by tryTransact
    if (at === FULL) throw LANE_FULL;
    return at;
  }
}
