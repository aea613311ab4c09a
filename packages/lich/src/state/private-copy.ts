/** A private copy of a live state segment, under the segment's own views: what a standby rehearses on.
 *
 * The owner is not stopped and goes on writing while pages are copied, so they are of different moments. In this order,
 * the log repairs that:
 *
 *   p = comPos · pages · words page (logPos) · log ring · live logPos once more
 *
 * Whatever change of a page was seen has its entry before the logPos that was copied after it; as long as the ring was not
 * lapped since p, undoing [p, logPos) gives the state as of the commit at p. */
import { type Segment, WORDS_BYTES, WORDS_OFFSET } from '../shm/index.ts';
import { COM_POS, CUR, ENTRY_WORDS_MAX, LOG_POS, LOG_SLACK, SUSPECT_MORE, VISIT_POOL } from './words.ts';

/** Copied between two looks at `isOver`. */
const STEP_BYTES = 32 * 1_048_576;

/** Detach the segment and copy its pages in use. Afterwards `store.recover()` makes it what the owner had committed when
 * this began; nobody is suspected in it.
 * @param isOver stop, there is no time any more
 * @param begun called when it is settled which commit it will be; false asks for another one
 * @returns 'copied'; else the segment is not detached: 'lapped' = the owner went once around its log meanwhile
 * @remarks about 2 GB/s, first touches included; memory for all pages in use */
export function copyCommitted(
  segment: Segment,
  isOver: () => boolean = () => false,
  begun: () => boolean = () => true,
): 'copied' | 'lapped' | 'over' {
  const I = segment.i32;
  const log = segment.regions.get('log')!;
  const ringWords = 2 ** Math.floor(Math.log2(log.bytes / 4));
  let from = Atomics.load(I, COM_POS);
  while (!begun() && !isOver()) from = Atomics.load(I, COM_POS);
  segment.detach();
  for (const [start, end] of [
    [0, log.offset],
    [log.offset + log.bytes, segment.sizeBytes],
  ] as const) {
    for (let at = start; at < end; at += STEP_BYTES) {
      if (isOver()) {
        segment.giveBack();
        return 'over';
      }
      segment.copyIn(at, Math.min(STEP_BYTES, end - at));
    }
  }
  segment.copyIn(WORDS_OFFSET, WORDS_BYTES);
  const until = I[LOG_POS];
  // An entry that is being written may reach beyond logPos, see ENTRY_WORDS_MAX.
  copyRing(segment, log.offset, ringWords, from, (until - from) | 0);
  const live = (segment.wordInFile(LOG_POS) - from) | 0;
  if (live < 0 || live + ENTRY_WORDS_MAX + LOG_SLACK > ringWords || ((until - from) | 0) < 0) {
    segment.giveBack();
    return 'lapped';
  }
  I[COM_POS] = from;
  I.fill(0, CUR, SUSPECT_MORE + 1);
  I.fill(0, VISIT_POOL, VISIT_POOL + 16);
  return 'copied';
}

/** The entries [from, from + count) of the ring. */
function copyRing(segment: Segment, base: number, words: number, from: number, count: number): void {
  if (count <= 0) return;
  if (count >= words) return segment.copyIn(base, words * 4);
  const at = from & (words - 1);
  const first = Math.min(count, words - at);
  segment.copyIn(base + at * 4, first * 4);
  if (count > first) segment.copyIn(base, (count - first) * 4);
}
