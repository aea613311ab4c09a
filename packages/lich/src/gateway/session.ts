/** A session as it stands in the gateway's state: one record, kept over broken sockets and over kills of the gateway.
 *
 *   joining ──JOINED──► playing ──BYE, away too long──► leaving ──LEAVE sent──► (destroyed)
 *      └──────── CLOSE of the scene ────────┴──────────────────────────────────────►
 *
 * Positions are those of the output ring, which are also the seqs of frames. */
import { bool, bytes, f64, oneOf, pool, state, struct, TOKEN_BYTES, u16, u32 } from '@lich/schema';

/** `pictureAt` while a picture was asked for and is not there. */
export const NOT_YET = -1;

export class Session extends struct({
  token: bytes(TOKEN_BYTES),
  phase: oneOf('joining', 'playing', 'leaving'),
  /** node index of the scene that it plays in */
  scene: u16,
  playerSlot: u32,
  playerGeneration: u32,
  tickMilliHz: u32,
  /** highest n accepted: it and all before are in the scene's lane, or handled */
  lastIn: u32,
  /** lastIn when the last picture was asked for: the scene handled these before it made the picture */
  pictureN: u32,
  /** what is said to everybody behind this position is for this session too */
  joinedAt: f64,
  /** end of the last picture: deltas behind it follow from it */
  pictureAt: f64.init(NOT_YET),
  /** it had its first picture */
  pictured: bool,
  /** what it was told before that stands from here on; 0 = nothing */
  earlyFrom: f64,
  /** end of the last entry that is gone and that a picture does not make up for */
  lostAt: f64,
  /** service time since when it has no socket; 0 = it has one */
  awaySinceMs: f64,
}) {}

/** The state of a gateway's node. */
export function gatewaySchema(maxSessions: number) {
  return state({ sessions: pool(Session, { capacity: maxSessions }) });
}
