/** One record in a lane: a message, or padding up to the end of the ring.
 *
 *   WORD  FIELD    MEANING
 *      0  length   words of the whole record, header included; a multiple of 4, so payloads are 16-byte aligned
 *      1  type     (protocol tag << 16 | message id); 0 = padding: skip `length` words; 1 = a reference to a block
 *      2  a        meaning belongs to the type: request number, session slot, …
 *      3  b        likewise
 *      4  payload  length - 4 words
 *
 * The sender writes a record beyond the lane's committed tail, where nobody looks, so the record itself needs no log. */

/** Words of a record before its payload. */
export const HEADER_WORDS = 4;
/** Records begin at multiples of this many words. */
export const RECORD_ALIGN_WORDS = 4;

export const TYPE_PADDING = 0;
/** A reference to a block: blocks.ts. Tag 0 is the bus's own. */
export const TYPE_BLOCK = 1;

/** @returns words that a payload of `payloadBytes` takes as a record. */
export function recordWords(payloadBytes: number): number {
  return (HEADER_WORDS + ((payloadBytes + 3) >> 2) + RECORD_ALIGN_WORDS - 1) & ~(RECORD_ALIGN_WORDS - 1);
}

/** @returns the type word of message `id` under a protocol's tag (1..0xFFFF; 0xFFFF is the runtime's own). */
export function typeOf(tag: number, id: number): number {
  return (tag << 16) | id | 0;
}

/** @returns the protocol tag of a type word */
export function tagOf(type: number): number {
  return type >>> 16;
}

/** @returns the message id of a type word */
export function idOf(type: number): number {
  return type & 0xffff;
}
