import { CodedError } from '@lich/schema';

/** What can go wrong between hosts; docs/errors.md says when, and what to do. */
export const LINK_CODES = [
  'LINK_BAD_OPTION',
  'LINK_INSECURE',
  'LINK_LISTEN',
  'LINK_BAD_FRAME',
  'LINK_REFUSED',
  'LINK_UNAUTHENTICATED',
  'LINK_LATE',
  'LINK_BUSY',
  'LINK_SILENT',
  'LINK_REPLACED',
  'LINK_CLOSED',
  'LINK_RECORD_TOO_LARGE',
  'LINK_UNKNOWN',
] as const;

/** One of `LINK_CODES`. */
export type LinkCode = (typeof LINK_CODES)[number];

/** A link that cannot be as it is told, a connection that ended, or what a far host said that cannot be. None of them loses
 * a message: what was not acknowledged is sent again. */
export class LinkError extends CodedError<LinkCode> {}

/** Codes that may come from the other side in a BYE. */
export function isLinkCode(code: string): code is LinkCode {
  return (LINK_CODES as readonly string[]).includes(code);
}
