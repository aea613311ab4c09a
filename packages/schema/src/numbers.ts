import { makeKind, type BigTag, type FloatTag, type Kind, type WholeTag } from './kind.ts';

type NumberKind<Tag extends WholeTag | FloatTag> = Kind<number, number, false, Tag>;

function whole<Tag extends WholeTag>(tag: Tag, bytes: 1 | 2 | 4 | 8, min: number, max: number): NumberKind<Tag> {
  return makeKind({ tag, bytes, align: bytes, min, max, whole: true });
}
function float<Tag extends FloatTag>(tag: Tag, bytes: 4 | 8, max: number): NumberKind<Tag> {
  return makeKind({ tag, bytes, align: bytes, min: -max, max, whole: false });
}
function big<Tag extends BigTag>(tag: Tag, min: bigint, max: bigint): Kind<bigint, bigint, false, Tag> {
  return makeKind({ tag, bytes: 8, align: 8, min, max });
}

/** A whole number 0..255, 1 byte. */
export const u8: NumberKind<'u8'> = whole('u8', 1, 0, 0xff);
/** A whole number -128..127, 1 byte. */
export const i8: NumberKind<'i8'> = whole('i8', 1, -0x80, 0x7f);
/** A whole number 0..65535, 2 bytes. */
export const u16: NumberKind<'u16'> = whole('u16', 2, 0, 0xffff);
/** A whole number -32768..32767, 2 bytes. */
export const i16: NumberKind<'i16'> = whole('i16', 2, -0x8000, 0x7fff);
/** A whole number 0..2^32-1, 4 bytes. */
export const u32: NumberKind<'u32'> = whole('u32', 4, 0, 0xffff_ffff);
/** A whole number -2^31..2^31-1, 4 bytes. */
export const i32: NumberKind<'i32'> = whole('i32', 4, -0x8000_0000, 0x7fff_ffff);
/** The default whole number: any safe integer, ±(2^53-1), stored as an f64 in 8 bytes; -0 is stored as 0. */
export const int: NumberKind<'int'> = whole('int', 8, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
/** A float of 4 bytes: what is written is rounded as `Math.fround` rounds. Holds NaN and the infinities; a finite
 * number past ±3.4e38 is refused. */
export const f32: NumberKind<'f32'> = float('f32', 4, 3.4028234663852886e38);
/** A float of 8 bytes: any JavaScript number. */
export const f64: NumberKind<'f64'> = float('f64', 8, Number.MAX_VALUE);
/** A bigint 0..2^64-1, 8 bytes. Slower than `int`: only for who needs all 64 bits. */
export const u64: Kind<bigint, bigint, false, 'u64'> = big('u64', 0n, 0xffff_ffff_ffff_ffffn);
/** A bigint -2^63..2^63-1, 8 bytes. */
export const i64: Kind<bigint, bigint, false, 'i64'> = big('i64', -0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn);
/** true or false, 1 byte. */
export const bool: Kind<boolean, boolean, false, 'bool'> = makeKind({ tag: 'bool', bytes: 1, align: 1 });
