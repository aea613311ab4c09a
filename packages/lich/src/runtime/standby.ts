/** Waiting to own a node: everything of the owner's is mapped read-only and kept warm, and the thread sleeps in the lock. */
import { attachSegment, type Segment, ShmError } from '../shm/index.ts';
import type { Core } from './core.ts';
import { lanesHash } from './node-layout.ts';
import { Rehearsals } from './rehearsals.ts';

/** The wait is cut into slices: in between, lanes and pages that are new since are mapped too. */
const SLICE_MS = 100;
/** While lanes are copied for a rehearsal. */
const FOLLOWING_MS = 2;

/** One process that waits. */
export class Standby {
  readonly #core: Core;
  /** Pid of the owner that was waited for. */
  ownerBefore = 0;
  /** The state has another layout than this code. */
  #isOther = false;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Block in the lock until it is this process's, and follow what the owner makes meanwhile.
   * @returns how the lock came, or 'stopped' */
  async wait(): Promise<'acquired' | 'died' | 'stopped'> {
    const core = this.#core;
    const rehearsals = new Rehearsals(core);
    for (;;) {
      if (core.stopping) return 'stopped';
      this.prepare();
      // Afterwards the lock says who we are: whom we wait for is asked before.
      this.ownerBefore = core.lock.lastOwner()?.pid ?? 0;
      const took = core.lock.acquire(rehearsals.follows ? FOLLOWING_MS : SLICE_MS);
      if (took !== 'timeout') {
        rehearsals.cut();
        return took;
      }
      rehearsals.step();
      await new Promise(resolve => setImmediate(resolve));
    }
  }

  /** Map both segments read-only, if they exist, and build all that stands on them; enter what is new since the last call
   * into the page table. */
  prepare(): void {
    const core = this.#core;
    if (this.#isOther || (core.store === undefined && !this.#attach())) return;
    core.store.segment.touchNew();
    core.lanes.touchNew();
    core.recording.warm();
    core.bus.warm();
    core.report.prepare();
  }

  #attach(): boolean {
    const core = this.#core;
    let state: Segment | undefined;
    let lanes: Segment | undefined;
    try {
      const id = { dir: core.dir, name: core.name };
      state = attachSegment({ ...id, kind: 'state' });
      lanes = attachSegment({ ...id, kind: 'lanes', layoutHash: lanesHash(core.limits) });
      core.build(state, lanes);
      return true;
    } catch (error) {
      lanes?.close();
      state?.close();
      const code = error instanceof ShmError ? error.code : '';
      // The owner has not made them yet: look again in the next slice.
      if (code === 'SHM_NOT_FOUND') return false;
      // It is brought over once it is this process's; there is nothing to keep warm until then.
      if (code === 'SHM_LAYOUT' && core.migrates) {
        this.#isOther = true;
        return false;
      }
      // All else is this process's end.
      throw error;
    }
  }
}
