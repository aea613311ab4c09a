/** What waits for a node that does not come back is given up: each record becomes padding, which a receiver passes over.
 * So positions stay as they are, and a node that comes back all the same goes on behind it. Written by whoever may write the
 * sender's lanes segment; one store a record, so a kill in between leaves some of it given up, and it is done again. */
import type { Segment } from '../shm/index.ts';
import { shownHead, waitingFrom, walkLane, wholeLanes } from './lane-walk.ts';
import { TYPE_PADDING } from './record-descriptor.ts';

/** What was given up. */
export interface GivenUp {
  readonly messages: number;
  readonly bytes: number;
}

/** @param lanes of the sender, writable
 * @param from node index of the sender @param to of the receiver
 * @param receiver the lanes segment that shows how far the receiver is: its own, or its link's; undefined while there is none
 * @param far as for `shownHead` */
export function giveUpWaiting(
  lanes: Segment,
  from: number,
  to: number,
  receiver: Segment | undefined,
  far?: Parameters<typeof shownHead>[4],
): GivenUp {
  let messages = 0;
  let words = 0;
  for (const lane of wholeLanes(lanes)) {
    if (lane.receiver !== to || lane.source !== from) continue;
    const head = receiver && shownHead(receiver, from, lanes.createdMs, lane.priority, far);
    walkLane(lanes, lane, waitingFrom(lane, head), record => {
      Atomics.store(lanes.i32, record.word + 1, TYPE_PADDING);
      messages++;
      words += record.words;
    });
  }
  return { messages, bytes: words * 4 };
}
