/** The timer wheel in a segment on tmpfs, under the undo log. A timer carries one number. */
import { state } from '@lich/schema';
import { createSegment } from 'lich/shm';
import { NONE, openStore, SORT, storePlan, TimerWheel, timerFields, timerPlaces } from 'lich/state';
import type { Measured } from '../lib/bench.ts';
import { bestNs, pin, scratchDir, type TrialInput } from '../lib/tools.ts';
import { Fired, HOUR_MS, PER_TRANSACTION, sizes, START_MS, STEP_MS, workOf } from './work.ts';

const TYPE = 3;
const PAYLOAD_WORDS = 2;
const SORT_MOST = 128;

export default function ours({ size }: TrialInput): Measured {
  pin(1);
  const { live, batch, rounds, warm, looks } = sizes[size];
  const { delays, order } = workOf(sizes[size]);
  const plan = storePlan(state({}), { heapBytes: size === 'full' ? 2 ** 28 : 2 ** 22, system: timerFields() });
  const segment = createSegment({ ...plan, dir: scratchDir(), name: 'bench', kind: 'state' });
  const { log, heap, layouts } = openStore(segment, plan);
  const { f64: F } = segment;
  const { wheel: head } = timerPlaces(layouts.root, segment.regions.get('root')!.offset / 4)!;
  const wheel = new TimerWheel({ mem: segment, log, heap, fail: error => log.fail(error) }, head);

  const post = (id: number): number => {
    const slot = wheel.add(START_MS, START_MS + delays[id], TYPE, PAYLOAD_WORDS);
    F[wheel.payloadAt(slot) >> 3] = id;
    return wheel.handleOf(slot);
  };
  /** So many in transactions of a few each. */
  const each = (count: number, fn: (k: number) => void): void => {
    for (let k = 0; k < count; ) {
      log.begin();
      for (const end = Math.min(count, k + PER_TRANSACTION); k < end; k++) fn(k);
      log.commit();
    }
  };
  each(live, post);

  const handles = new Float64Array(batch);
  const insertOne = (n: number): void => void (handles[n] = post(live + n));
  const cancelOne = (n: number): void => wheel.remove(wheel.slotOf(handles[order[n]]));
  let insert = Number.POSITIVE_INFINITY;
  let cancel = Number.POSITIVE_INFINITY;
  for (let k = 0; k < warm + rounds; k++) {
    const posted = bestNs(1, 0, batch, () => each(batch, insertOne));
    const cancelled = bestNs(1, 0, batch, () => each(batch, cancelOne));
    if (k < warm) continue;
    insert = Math.min(insert, posted);
    cancel = Math.min(cancel, cancelled);
  }

  let due = 0;
  const idle = bestNs(rounds, warm, looks, () => {
    for (let k = 0; k < looks; k++) {
      if (wheel.next(START_MS + (k & 511)) !== NONE) due++;
      if (wheel.nextDueMs() < START_MS) due++;
    }
  });

  const fired = new Fired();
  const fire = bestNs(1, 0, live, () => {
    for (let now = START_MS; now <= START_MS + HOUR_MS; now += STEP_MS) {
      for (let slot = wheel.next(now); slot !== NONE; slot = wheel.next(now)) {
        log.begin();
        if (slot === SORT) wheel.sort(SORT_MOST);
        else {
          fired.add(F[wheel.payloadAt(slot) >> 3]);
          wheel.remove(slot);
        }
        log.commit();
      }
    }
  });
  segment.close(true);
  return {
    figures: { insert: 1e3 / insert, cancel: 1e3 / cancel, idle, fire },
    work: `${fired.digest} ${due}`,
  };
}
