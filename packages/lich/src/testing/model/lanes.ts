/** Model of the life of lanes: made on first use, filled, followed by a larger one, drained, given back, reused.
 * The rules it proves are docs/decisions/0001-lane-lifecycle.md; the words are those of that page.
 *
 *   sender A    S: made, lastTag, free (block bit mask), pos[r], lane[i] = {tag, peer, base, block, tail, sealed}
 *               O: copies of lane[i], and the blocks with the payload. One message is one unit of position.
 *   receiver r  S: peer (0: A is not known yet), head, handled      O: copies of peer and head
 *
 * Every store is a step, every load of a word that somebody else writes is a step, and every process can be killed
 * between any two steps, also while it recovers. A receiver starts from nothing: as nothing forces it to run before A
 * has filled every block, "created after the lanes were full" is one of the explored orders.
 * Choices that the code makes by policy (which slot, which block, when to give back, when to publish, whether the
 * handler throws) are free choices here, so the proof does not depend on the policy.
 */
import type { Model } from './explorer.ts';
import { laneReceiver } from './lane-receiver.ts';
import { type LaneConfig, laneRow } from './lane-row.ts';
import { laneSender } from './lane-sender.ts';

export { LANE_MUTATIONS, type LaneConfig, type LaneMutation } from './lane-row.ts';

export function laneModel(config: LaneConfig): Model {
  const row = laneRow(config);
  const sender = laneSender(row);
  const receiver = laneReceiver(row);
  const {
    to,
    blocks,
    slots,
    kills,
    mutation,
    reduce,
    total,
    receivers,
    allFree,
    is,
    TAG,
    PEER,
    BASE,
    BLOCK,
    TAIL,
    MADE,
    LAST_TAG,
    FREE,
    R_HEAD,
    R_HANDLED,
    R_PUB_HEAD,
    receiverAt,
    sentTo,
    payload,
    lane,
    pub,
    cell,
    committed,
    bytes,
  } = row;

  const check = (s: Uint8Array): string | undefined => {
    const v = committed(s, true);

    // No block in two lanes, none lost.
    let blocksSeen = v[FREE];
    for (let i = 0; i < slots; i++) {
      if (v[lane(i) + TAG] === 0) continue;
      const bit = 1 << v[lane(i) + BLOCK];
      if (blocksSeen & bit) return `block ${v[lane(i) + BLOCK]} is in two places`;
      blocksSeen |= bit;
    }
    if (blocksSeen !== allFree) return `a block is lost: free and used together are ${blocksSeen.toString(2)}`;

    for (let r = 0; r < receivers; r++) {
      const at = receiverAt[r];
      const sent = sentTo[r][v[MADE]];
      if (v[at + R_HANDLED] > sent)
        return `receiver ${r} has handled ${v[at + R_HANDLED]} of ${sent} committed messages`;
      if (v[at + R_HANDLED] !== v[at + R_HEAD] && !is('forgetCursor')) {
        return `receiver ${r} stands at ${v[at + R_HEAD]} but has handled ${v[at + R_HANDLED]}`;
      }
      if (!is('headPerLaneNoTag') && s[at + R_PUB_HEAD] > v[at + R_HEAD] && !is('forgetCursor')) {
        return `head ${s[at + R_PUB_HEAD]} of receiver ${r} is visible before its commit`;
      }
      // What is committed and not handled lies in exactly one lane, and its bytes are intact.
      for (let p = v[at + R_HANDLED]; p < sent; p++) {
        let found = 0;
        for (let i = 0; i < slots; i++) {
          const l = lane(i);
          if (v[l + TAG] === 0 || v[l + PEER] !== r || p < v[l + BASE] || p >= v[l + TAIL]) continue;
          found++;
          const got = v[cell(v[l + BLOCK], p)];
          if (got !== payload(r, p)) return `message ${p} to receiver ${r} was overwritten by ${got}`;
        }
        if (found !== 1) return `message ${p} to receiver ${r} is in ${found} lanes`;
      }
    }

    for (let i = 0; i < slots; i++) {
      const p = pub(i);
      if (s[p + TAG] === 0) continue;
      const l = lane(i);
      if (s[p + TAG] === v[l + TAG]) {
        if (s[p + TAIL] > v[l + TAIL]) return `tail ${s[p + TAIL]} in slot ${i} is visible before its commit`;
      } else if (s[p + TAG] > v[LAST_TAG]) {
        return `the entry in slot ${i} is visible before its commit`;
      }
    }
    return undefined;
  };

  const isFinal = (s: Uint8Array): boolean => {
    if (s[MADE] !== total || s[FREE] !== allFree || !sender.idle(s)) return false;
    for (let i = 0; i < slots; i++) if (s[lane(i) + TAG] !== 0 || s[pub(i) + TAG] !== 0) return false;
    for (let r = 0; r < receivers; r++) {
      const at = receiverAt[r];
      if (!receiver.idle(s, r) || s[at + R_HANDLED] !== sentTo[r][total]) return false;
    }
    return true;
  };
  return {
    name: `lanes to ${to.join('')}, blocks of ${blocks.join(',')}, ${slots} slots, ${kills} kills${mutation ? `, ${mutation}` : ''}`,
    bytes,
    initial(s) {
      s[FREE] = allFree;
    },
    next(s, moves) {
      if (reduce) {
        if (sender.alone(s)) {
          sender.step(s, moves);
          return;
        }
        for (let r = 0; r < receivers; r++) {
          if (receiver.alone(s, r)) {
            receiver.step(r, s, moves);
            return;
          }
        }
      }
      sender.step(s, moves);
      for (let r = 0; r < receivers; r++) receiver.step(r, s, moves);
    },
    check,
    isFinal,
    ...(reduce && {
      isTransient(s: Uint8Array): boolean {
        if (sender.alone(s)) return true;
        for (let r = 0; r < receivers; r++) if (receiver.alone(s, r)) return true;
        return false;
      },
    }),
  };
}
