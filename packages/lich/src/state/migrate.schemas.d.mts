import type { StateSchema } from '@lich/schema';
export const V1: StateSchema;
export const V2: StateSchema;
export const V1_AGAIN: StateSchema;
export const ROOM: { readonly logWords: number; readonly heapBytes: number };
