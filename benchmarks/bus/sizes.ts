/** What all contenders of this topic send: messages of so many bytes, whose first word is their number. */
import type { Size } from '../lib/bench.ts';

/** Bytes of a message. */
export function sizesOf(size: Size): readonly number[] {
  return size === 'small' ? [64, 16_384] : [16, 64, 256, 1_024, 4_096, 16_384, 65_536];
}

/** The round trip is of this one. */
export const TRIP_BYTES = 64;
/** Round trips whose time is taken together. */
export const TRIP_BLOCK = 20;

const GIB = 2 ** 30;

/** Messages of that size, one way: as many as take a second or so at the speed of memory.
 * @param perSecond what the contender does about, at most */
export function messagesOf(size: Size, bytes: number, perSecond: number): number {
  const full = Math.min(2 * perSecond, (2 * GIB) / bytes);
  return size === 'small' ? 900 : Math.max(3_000, Math.round(full));
}

/** Messages whose time is taken together: more than any contender takes in one go. */
export const blockOf = (messages: number): number =>
  Math.round(Math.min(messages / 3, Math.max(1_000, messages / 100)));

export const tripsOf = (size: Size): number => (size === 'small' ? 100 : 20_000);

/** @throws Error when other messages came, or others than these */
export function verify(sum: number, messages: number): void {
  const want = (messages * (messages - 1)) / 2;
  if (sum !== want) throw new Error(`the numbers of ${messages} messages add up to ${sum}, not ${want}`);
}

/** A figure's name. */
export const figureOf = (bytes: number): string => `${bytes} B`;
