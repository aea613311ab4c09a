/** The page `words` of a state segment: mutable, not under the undo log. Little-endian; each line has 64 bytes of its own,
 * so that no two of them share a cache line or can be paired into one store.
 *
 *   WORD  FIELD      WRITER  MEANING
 *      0  logPos     owner   u32 count of log words ever written; wraps
 *     16  comPos     owner   logPos of the last commit; equal = nothing is open
 *     32  cur        owner   what is being handled, and deaths counted      | runtime/blame.ts
 *     33  curPos     owner   which one of those                             |
 *     34  curMore    owner                                                  |
 *     35  suspect    owner   what the deaths are counted against            |
 *     36  suspectPos owner                                                  |
 *     37  suspectMore owner                                                 |
 *     48  phase      owner   what the node's life is at                     | runtime/core.ts
 *     64  heartbeat  owner   turns of the loop                              |
 *     80  commitNo   owner   f64, commits so far; may skip, never goes back
 *     96  cut        owner                                                  | keeper
 *    112  now        owner   f64, service time in ms                        | runtime/core.ts
 *    128  stampLo    owner   current change stamp, low 32 bits, never < 16
 *    129  stampHi    owner   its high 21 bits
 *    144  formatted  owner   1 once the root holds its initial values
 *    160  restored   owner   RESTORED_* : made from a dump, and no life has begun since
 *    176  catalog    owner   which catalog is in force                    | adopt.ts
 *    192  visitPool  owner   which record is being visited                | visits.ts
 *    194  visitSlot  owner                                                |
 *    196  accusedPool owner  which record its deaths are counted against  | runtime/suspects.ts
 *    198  accusedSlot owner                                               |
 *    200  accusedGeneration owner                                         |
 *    208  contained  owner   what was set aside, deaths, inspector           | runtime/supervised.ts
 *    272  handed     owner   1 = the last owner let go in order         | runtime/let-go.ts
 *    288  migrated   creator comPos as a migration left it, 0 = made by none: equal = nobody has committed since
 *   1008  …          shm     clean mark, epoch
 *
 * `cut` is followed by the words that the keeper needs with it. */

/** Word index of the page in the segment; the segment's header is the page before. */
export const WORDS_PAGE = 1024;

export const LOG_POS = WORDS_PAGE;
export const COM_POS = WORDS_PAGE + 16;
export const CUR = WORDS_PAGE + 32;
export const CUR_POS = WORDS_PAGE + 33;
export const CUR_MORE = WORDS_PAGE + 34;
export const SUSPECT = WORDS_PAGE + 35;
export const SUSPECT_POS = WORDS_PAGE + 36;
export const SUSPECT_MORE = WORDS_PAGE + 37;
export const PHASE = WORDS_PAGE + 48;
export const HEARTBEAT = WORDS_PAGE + 64;
export const COMMIT_NO = WORDS_PAGE + 80;
export const CUT = WORDS_PAGE + 96;
export const NOW = WORDS_PAGE + 112;
export const STAMP_LO = WORDS_PAGE + 128;
export const STAMP_HI = WORDS_PAGE + 129;
export const FORMATTED = WORDS_PAGE + 144;
export const CATALOG = WORDS_PAGE + 176;
export const RESTORED = WORDS_PAGE + 160;
export const VISIT_POOL = WORDS_PAGE + 192;
export const VISIT_SLOT = WORDS_PAGE + 194;
export const ACCUSED_POOL = WORDS_PAGE + 196;
export const ACCUSED_SLOT = WORDS_PAGE + 198;
export const ACCUSED_GENERATION = WORDS_PAGE + 200;
export const MIGRATED = WORDS_PAGE + 288;

/** Values of `restored`: what the streams to and from other nodes were is to be forgotten; it is forgotten. */
export const RESTORED_WHOLE = 1;
export const RESTORED_ALONE = 2;

/** Stamps start here: a freed view looks for its stamp in word 2 of the segment's header, which holds the format
 * version and must never equal the current stamp. */
export const FIRST_STAMP = 16;

/** Most words that one entry takes: longer ranges are logged in parts. A reader from outside has to know how far beyond
 * logPos the ring may be overwritten already. */
export const ENTRY_WORDS_MAX = 256;
/** Words of the ring that a transaction leaves unused: more than an entry that is being written. */
export const LOG_SLACK = 512;
/** Set in the index word of a range entry. */
export const RANGE = 0x8000_0000;

export const LOG_WORDS_DEFAULT = 1 << 22;
export const LOG_WORDS_MIN = 1 << 12;
export const LOG_WORDS_MAX = 1 << 28;
