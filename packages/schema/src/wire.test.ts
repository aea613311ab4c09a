import { expect, test } from 'vitest';
import { Reader, Writer } from './index.ts';

const written = (write: (w: Writer) => void) => {
  const writer = new Writer(1);
  write(writer);
  return [...writer.view()];
};
const malformed = (message: RegExp) =>
  expect.objectContaining({ code: 'SCHEMA_WIRE', severity: 'warn', message: expect.stringMatching(message) });

test.each<[string, (w: Writer) => void, number[]]>([
  ['u16', w => w.u16(0x1234), [0x34, 0x12]],
  ['u32', w => w.u32(0xdeadbeef), [0xef, 0xbe, 0xad, 0xde]],
  ['u64', w => w.u64(0x0102_0304_0506_0708n), [8, 7, 6, 5, 4, 3, 2, 1]],
  ['f32', w => w.f32(1.5), [0, 0, 0xc0, 0x3f]],
  ['f64', w => w.f64(1.5), [0, 0, 0, 0, 0, 0, 0xf8, 0x3f]],
  ['varint 0', w => w.varint(0), [0]],
  ['varint 300', w => w.varint(300), [0xac, 0x02]],
  ['varint 2^53-1', w => w.varint(2 ** 53 - 1), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
  ['zigzag', w => [0, -1, 1, -2, 63, -64, 64].forEach(v => w.zigzag(v)), [0, 1, 2, 3, 126, 127, 0x80, 0x01]],
  ['zigzag -2^53+1', w => w.zigzag(-(2 ** 53) + 1), [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f]],
  ['text', w => w.text('aé'), [3, 0x61, 0xc3, 0xa9]],
  ['a lone surrogate', w => w.text('\uD800'), [3, 0xef, 0xbf, 0xbd]],
  ['bytes', w => w.bytes(new Uint8Array([7, 8])), [2, 7, 8]],
])('%s is written as the table says', (_, write, bytes) => {
  expect(written(write)).toEqual(bytes);
});

test.each<[string, number[], (r: Reader) => unknown, RegExp]>([
  ['nothing', [], r => r.u8(), /at byte 0: cut short: 1 bytes are needed, 0 are left/],
  ['a number cut short', [0x80], r => r.varint(), /cut short/],
  ['a number with a byte too many', [0x80, 0x00], r => r.varint(), /a byte too many/],
  ['a number past 2^53', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x10], r => r.varint(), /past 2\^53/],
  ['an endless number', Array<number>(100).fill(0xff), r => r.varint(), /past 2\^53/],
  ['a zigzag past 2^53', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f], r => r.zigzag(), /past 2\^53/],
  ['a text longer than its frame', [200, 1, 0x61], r => r.text(100), /cut short: 200 bytes are needed, 1 are left/],
  [
    'a text of a claimed 2^53',
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
    r => r.text(100),
    /9007199254740991 bytes where 100 characters fit/,
  ],
  ['a text that is too long', [3, 0x61, 0x61, 0x61], r => r.text(2), /3 characters where 2 fit/],
  ['a text that is not UTF-8', [1, 0xff], r => r.text(2), /not UTF-8/],
  ['an overlong slash', [2, 0xc0, 0xaf], r => r.text(2), /not UTF-8/],
  ['a surrogate in UTF-8', [3, 0xed, 0xa0, 0x80], r => r.text(2), /not UTF-8/],
  ['too many bytes', [3, 1, 2, 3], r => r.bytes(2), /3 bytes where 2 fit/],
  ['bytes after the end', [1], r => r.end(), /1 bytes too many/],
])('%s is refused', (_, bytes, read, message) => {
  expect(() => read(new Reader(Uint8Array.from(bytes)))).toThrow(malformed(message));
});

test('what is read from a Node Buffer is a copy', () => {
  const buffer = Buffer.from([2, 7, 8]);
  const read = new Reader(buffer).bytes(2);
  buffer[1] = 9;
  expect(read).toEqual(new Uint8Array([7, 8]));
});

test('texts are read from shared memory too', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(3));
  shared.set([2, 0xc3, 0xa9]);
  expect(new Reader(shared).text(1)).toBe('é');
});

test('a writer is used again and can be set back', () => {
  const writer = new Writer(1);
  writer.text('x'.repeat(1000));
  expect(writer.length).toBe(1002);
  writer.reset().u8(1);
  const { length } = writer;
  writer.u32(5);
  writer.length = length;
  writer.u8(2);
  expect([...writer.finish()]).toEqual([1, 2]);
});
