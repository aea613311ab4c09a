/** What gateways and scenes say to each other: the runtime's own messages, below every user protocol.
 *
 *   TYPE     FROM → TO         a              b           PAYLOAD (u32 words, then bytes)
 *   JOIN     gateway → scene   session slot   generation  -
 *   INPUT    gateway → scene   session slot   generation  player slot, player generation, n, message id, byteLength, bytes
 *   LEAVE    gateway → scene   session slot   generation  player slot, player generation
 *   PICTURE  gateway → scene   session slot   generation  -
 *   JOINED   scene → gateway   session slot   generation  player slot, player generation, tickHz × 1000
 *   OUT      scene → gateway   session slot   generation  byteLength, bytes: kind and body of an OUT frame
 *   CLOSE    scene → gateway   session slot   generation  close code
 *   REFUSED  any → any         type           why         -      a message of that type was not handled: see WHY
 *   ANSWER   any → any         as asked       as asked    the server's type word, 0, the reply     see requests.ts
 *   REFUSAL  any → any         as asked       as asked    code's bytes, message's bytes, both as UTF-8
 *   SUBSCRIBE    any → any     -              -           (topic, place) of all that is heard      see topics.ts
 *   PUBLICATION  any → any     type           place       the topic's payload
 *   MISSED       any → any     type           place       how many, as u32 low, high
 *
 * `a` = EVERYBODY in an OUT means each session of that gateway that plays in the sending scene. A session is named by
 * its slot and generation in the gateway's pool, a player by those in the scene's: neither side keeps a table of the
 * other's, so nothing has to be rebuilt when one of them dies. */
import type { Protocol } from '@lich/schema';
import { idOf, tagOf, typeOf } from '../bus/index.ts';

/** The tag of the runtime's own messages; protocol tags are below it. */
export const SYSTEM_TAG = 0xffff;

export const JOIN = typeOf(SYSTEM_TAG, 1);
export const INPUT = typeOf(SYSTEM_TAG, 2);
export const LEAVE = typeOf(SYSTEM_TAG, 3);
export const PICTURE = typeOf(SYSTEM_TAG, 4);
export const JOINED = typeOf(SYSTEM_TAG, 5);
export const OUT = typeOf(SYSTEM_TAG, 6);
export const CLOSE = typeOf(SYSTEM_TAG, 7);
export const REFUSED = typeOf(SYSTEM_TAG, 8);
export const ANSWER = typeOf(SYSTEM_TAG, 9);
/** Words before the reply. */
export const ANSWER_WORDS = 2;
export const REFUSAL = typeOf(SYSTEM_TAG, 10);
export const SUBSCRIBE = typeOf(SYSTEM_TAG, 11);
export const PUBLICATION = typeOf(SYSTEM_TAG, 12);
export const MISSED = typeOf(SYSTEM_TAG, 13);

/** Why a message was not handled: `b` of a REFUSED, and the code of a REFUSAL. */
export const WHY = { unknown: 0, illFormed: 1, setAside: 2, version: 3 } as const;
export type Why = keyof typeof WHY;
/** In logs. */
export const WHY_TEXTS: readonly string[] = [
  'it does not know it',
  'its bytes are no such message',
  'it kept ending its process and was set aside',
  'it has other fields in its version',
];

/** What a type word says, for people. */
export function nameOfType(protocol: Protocol, type: number): string {
  const name = tagOf(type) === tagOfProtocol(protocol) ? protocol.messages[idOf(type)]?.name : undefined;
  return name ?? SYSTEM_NAMES.get(type) ?? `${idOf(type)} of protocol tag ${tagOf(type)}`;
}

/** @returns undefined for a type that is not the runtime's own */
export function systemName(type: number): string | undefined {
  return SYSTEM_NAMES.get(type);
}

const SYSTEM_NAMES: ReadonlyMap<number, string> = new Map([
  [JOINED, 'JOINED'],
  [OUT, 'OUT'],
  [CLOSE, 'CLOSE'],
  [JOIN, 'JOIN'],
  [INPUT, 'INPUT'],
  [LEAVE, 'LEAVE'],
  [PICTURE, 'PICTURE'],
  [REFUSED, 'REFUSED'],
  [ANSWER, 'ANSWER'],
  [REFUSAL, 'REFUSAL'],
  [SUBSCRIBE, 'SUBSCRIBE'],
  [PUBLICATION, 'PUBLICATION'],
  [MISSED, 'MISSED'],
]);

/** `a` of an OUT that goes to all sessions of the gateway in this scene. */
export const EVERYBODY = 0xffff_ffff | 0;

/** Protocol tags leave the runtime's own free. */
export function tagOfProtocol(protocol: Protocol): number {
  return (Number.parseInt(protocol.hash.slice(-8), 16) % (SYSTEM_TAG - 1)) + 1;
}
