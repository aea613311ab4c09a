import { TOKEN_BYTES } from '@lich/schema';

/** A token as text: 32 hex digits.
 * @internal */
export function hexOf(token: Uint8Array): string {
  return Array.from(token, byte => byte.toString(16).padStart(2, '0')).join('');
}

/** @throws TypeError for a text that is no token
 * @internal */
export function tokenOf(hex: string): Uint8Array {
  if (!new RegExp(`^[0-9a-f]{${TOKEN_BYTES * 2}}$`).test(hex))
    throw new TypeError(`a token is ${TOKEN_BYTES * 2} hex digits, as game.token gave it`);
  return Uint8Array.from({ length: TOKEN_BYTES }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}
