/** What a node was given, input by input: the segment `<node>.inputs`, a bounded ring that its owner writes.
 *
 *   region `marks`  WORD  FIELD     MEANING
 *                      0  seq       odd while the two below are being changed
 *                      1  firstAt   position of the oldest entry that is whole
 *                    2-3  firstK    f64: that entry is input firstK + 1
 *
 *   region `ring`   2^k bytes of entries. A position counts units of 16 bytes, only grows, and wraps at 2^32; an entry is
 *                   never split: what is left at the end of the ring is padding, which has no number.
 *
 *   entry  WORD  FIELD      MEANING
 *             0  length     words of the entry, a multiple of 4
 *             1  kind       PAD … LIFE | WAS_REFUSED | number of the stream << 16
 *             2  commitNo   low 32 bits: commits before it
 *             3  k          low 32 bits of its number
 *           4-5  now        f64, service time of it
 *           6-7  stamp      change stamp of it, low and high word
 *           8-9  lines      f64, `$lines` after it: what is logged depends on more than the state
 *            10  next       MESSAGE: head of that stream after it; SHOW: most ops; LIFE: epoch
 *            11  type       MESSAGE: type word of the message; LIFE: index in REASONS
 *         12-13  a, b       MESSAGE: as in the lane
 *            14  sum        of the words that it changed and of their new values: a replay with another one has gone astray
 *            15  words      of payload or of changed words
 *            16  …          payload as in the lane, 16-byte aligned; PATCH: changed words
 *             …  …          WAS_REFUSED: (number of the claim, stream) × n: claims of room in a lane that found it full;
 *                           n is the last word of the entry
 *
 *   changed words   [index][value], or [index | RANGE][count][values …]
 *
 * In the state, under its log, next to each other in one commit with what the input did:
 *   $k    f64   inputs so far: the state after input k is S_k
 *   $at   u32   position behind the entry of input k
 * Words page: 224 `recording`, u32: the ring that goes with the state; 0 = none.
 *
 * Every commit of a recorded life is an input. What runs through the handlers (MESSAGE, OWN, TICK, SHOW) is kept as what
 * came from outside; every other commit is kept as the words that it left (PATCH).
 *
 * Invariants
 *   1 The entry of input k is whole before the commit that makes S_k: a kill leaves both or neither, since bytes behind
 *     `$at` mean nothing.
 *   2 Entries from firstAt to `$at` follow one another without a gap: they are numbers firstK + 1 … `$k`. firstAt passes
 *     an entry before the first byte of it is overwritten.
 *   3 A state that changed without being recorded has a `$k` of its own: whoever begins to record adds 1 and empties the
 *     ring, so no older dump is taken for a base. */
import { f64, type Fields, u32 } from '@lich/schema';
import { WORDS } from '../../state/index.ts';
import type { LifeReason } from '../service.ts';

/** Kinds of entries. PAD is none of them. */
export const PAD = 0;
export const MESSAGE = 1;
export const OWN = 2;
export const TICK = 3;
export const SHOW = 4;
export const PATCH = 5;
export const LIFE = 6;
/** Names of kinds, for people. */
export const KIND_NAMES = ['padding', 'message', 'own', 'tick', 'show', 'change', 'life'] as const;
/** Kinds that run through handlers. */
export const isRun = (kind: number): boolean => kind >= MESSAGE && kind <= SHOW;

export const REASONS: readonly LifeReason[] = ['created', 'restart', 'crash', 'deploy', 'restore'];

export const ENTRY_LENGTH = 0;
export const ENTRY_KIND = 1;
export const ENTRY_COMMIT_NO = 2;
export const ENTRY_K = 3;
export const ENTRY_NOW = 4;
export const ENTRY_STAMP = 6;
export const ENTRY_LINES = 8;
export const ENTRY_NEXT = 10;
export const ENTRY_TYPE = 11;
export const ENTRY_A = 12;
export const ENTRY_B = 13;
export const ENTRY_SUM = 14;
export const ENTRY_WORDS = 15;
export const ENTRY_HEADER = 16;

/** In the word of the kind. */
export const KIND_MASK = 0xff;
export const WAS_REFUSED = 0x100;

/** Words of a unit, in which positions count. */
export const UNIT_WORDS = 4;

export const MARK_SEQ = 0;
export const MARK_AT = 1;
export const MARK_K = 2;
export const MARKS_BYTES = 64;

/** Word of the words page. */
export const RECORDING = WORDS.WORDS_PAGE + 224;

export const RING_BYTES_MIN = 65_536;
export const RING_BYTES_MAX = 2 ** 30;
export const RING_BYTES_DEFAULT = 64 * 2 ** 20;

export const INPUTS_LAYOUT = 'inputs 1';

/** Root fields of a service. */
export const recordFields = { $k: f64, $at: u32 } as unknown as Fields;
