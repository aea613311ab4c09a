/** A binary heap of plain objects, each of which knows its place: what a game server writes in an afternoon. */
import { nowNs } from 'lich/shm';
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, type TrialInput } from '../lib/tools.ts';
import { Fired, HOUR_MS, PER_TRANSACTION, sizes, START_MS, STEP_MS, workOf } from './work.ts';

class Timer {
  due: number;
  sequence: number;
  id: number;
  at = 0;
  constructor(due: number, sequence: number, id: number) {
    this.due = due;
    this.sequence = sequence;
    this.id = id;
  }
}

class TimerHeap {
  readonly #heap: Timer[] = [];
  #sequence = 0;

  get first(): Timer | undefined {
    return this.#heap[0];
  }

  add(due: number, id: number): Timer {
    const timer = new Timer(due, this.#sequence++, id);
    this.#heap.push(timer);
    this.#up(this.#heap.length - 1, timer);
    return timer;
  }

  remove(timer: Timer): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (last === timer) return;
    const { at } = timer;
    this.#up(at, last);
    this.#down(last.at, last);
  }

  #up(place: number, timer: Timer): void {
    const heap = this.#heap;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const other = heap[parent];
      if (!before(timer, other)) break;
      heap[place] = other;
      other.at = place;
      place = parent;
    }
    heap[place] = timer;
    timer.at = place;
  }

  #down(place: number, timer: Timer): void {
    const heap = this.#heap;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
      const other = heap[child];
      if (!before(other, timer)) break;
      heap[place] = other;
      other.at = place;
      place = child;
    }
    heap[place] = timer;
    timer.at = place;
  }
}

function before(a: Timer, b: Timer): boolean {
  return a.due < b.due || (a.due === b.due && a.sequence < b.sequence);
}

export default function heap({ size }: TrialInput): Measured {
  pin(1);
  nowNs();
  const { live, batch, rounds, warm, looks } = sizes[size];
  const { delays, order } = workOf(sizes[size]);
  const timers = new TimerHeap();
  for (let id = 0; id < live; id++) timers.add(START_MS + delays[id], id);

  const handles: Timer[] = new Array(batch);
  let insert = Number.POSITIVE_INFINITY;
  let cancel = Number.POSITIVE_INFINITY;
  // In groups, as ours has them in transactions.
  const each = (fn: (k: number) => void): void => {
    for (let k = 0; k < batch; ) for (const end = Math.min(batch, k + PER_TRANSACTION); k < end; k++) fn(k);
  };
  for (let k = 0; k < warm + rounds; k++) {
    const posted = bestNs(1, 0, batch, () =>
      each(n => void (handles[n] = timers.add(START_MS + delays[live + n], live + n))),
    );
    const cancelled = bestNs(1, 0, batch, () => each(n => timers.remove(handles[order[n]])));
    if (k < warm) continue;
    insert = Math.min(insert, posted);
    cancel = Math.min(cancel, cancelled);
  }

  let due = 0;
  const idle = bestNs(rounds, warm, looks, () => {
    for (let k = 0; k < looks; k++) {
      if (timers.first!.due <= START_MS + (k & 511)) due++;
      if (timers.first!.due < START_MS) due++;
    }
  });

  const fired = new Fired();
  const fire = bestNs(1, 0, live, () => {
    for (let now = START_MS; now <= START_MS + HOUR_MS; now += STEP_MS) {
      for (let first = timers.first; first !== undefined && first.due <= now; first = timers.first) {
        fired.add(first.id);
        timers.remove(first);
      }
    }
  });
  return {
    figures: { insert: 1e3 / insert, cancel: 1e3 / cancel, idle, fire },
    work: `${fired.digest} ${due}`,
  };
}
