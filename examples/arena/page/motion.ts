/** Where to draw what moves. Others are drawn a moment in the past, between two places that the server really sent; the
 * player's own dot walks at once and is led back to what the server says. Pure: times are given. */
import { type Place, walk } from '../game.ts';

/** How far in the past others are drawn. Covers a few lost or late ticks. */
export const DELAY_MS = 70;
/** What moves further between two samples was put there (a respawn), and does not slide. */
const JUMP = 120;
/** After a pause the walk began about one tick before its first sample. */
const PAUSE_MS = 100;
const TICK_MS = 1000 / 60;
const SAMPLES = 12;

interface Sample extends Place {
  readonly at: number;
}

/** One other player. */
export class Track {
  #samples: Sample[] = [];

  /** The server says it is at `x, y`, now. */
  push(x: number, y: number, now: number): void {
    const last = this.#samples.at(-1);
    if (last && Math.hypot(x - last.x, y - last.y) > JUMP) this.#samples = [];
    else if (last && now - last.at > PAUSE_MS) this.#samples = [{ x: last.x, y: last.y, at: now - TICK_MS }];
    this.#samples.push({ x, y, at: now });
    if (this.#samples.length > SAMPLES) this.#samples.shift();
  }

  /** Where to draw it. Without news it stays at the last place: nobody walks through a wall on a guess. */
  at(now: number): Place | undefined {
    const when = now - DELAY_MS;
    const samples = this.#samples;
    for (let k = samples.length - 1; k > 0; k--) {
      const to = samples[k];
      const from = samples[k - 1];
      if (when >= to.at) return to;
      if (when < from.at) continue;
      const share = (when - from.at) / (to.at - from.at);
      return { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
    }
    return samples[0];
  }
}

/** The player's own dot. */
export class OwnMotion {
  #shown: Place | undefined;
  #told: Place = { x: 0, y: 0 };
  #dx = 0;
  #dy = 0;

  /** The player walks in this direction from now on (length 0..1). */
  steer(dx: number, dy: number): void {
    this.#dx = dx;
    this.#dy = dy;
  }

  /** The server says it is at `x, y`. */
  push(x: number, y: number): void {
    this.#told = { x, y };
    if (!this.#shown || Math.hypot(x - this.#shown.x, y - this.#shown.y) > JUMP) this.#shown = this.#told;
  }

  /** Where to draw it, `seconds` after the last call. */
  step(seconds: number): Place | undefined {
    if (!this.#shown) return undefined;
    const ahead = walk(this.#shown, this.#dx, this.#dy, seconds);
    // While walking the dot is ahead of the server by the time a message takes: only what is beyond that is corrected.
    const walking = this.#dx !== 0 || this.#dy !== 0;
    const pull = 1 - Math.exp(-seconds * (walking ? 2.5 : 12));
    this.#shown = { x: ahead.x + (this.#told.x - ahead.x) * pull, y: ahead.y + (this.#told.y - ahead.y) * pull };
    return this.#shown;
  }
}
