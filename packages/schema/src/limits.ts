/** Elements and slots that a container with a capacity may have. */
export const COUNT_MAX = 0x100_0000;
/** Bits are numbered 0..2^30-1. */
export const BITS_MAX = 0x4000_0000;
/** Most records of any pool, also of one that grows: slots are numbered with room for marks above. */
export const POOL_CAPACITY_MAX = 0x4000_0000;
