/** Names as 32 bits, for what one process tells another, or the state, about names in code. */
import { hashOf } from '@lich/schema';

/** u32. Two names may have one: whoever uses it looks for that when a service begins. */
export function hashOfName(name: string): number {
  return Number.parseInt(hashOf(name).slice(-8), 16);
}
