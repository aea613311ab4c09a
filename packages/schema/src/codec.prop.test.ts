import fc from 'fast-check';
import { expect, test } from 'vitest';
import { codecOf, copyValue, kindOf, layoutOf, Reader, Writer } from './index.ts';
import type { AnyKind, StructLayout } from './index.ts';
import { anyKind, badValueOf, structFields, structNamed, valueOf, wellFormed } from './testing/arbitrary.ts';
import { outcomeOf } from './testing/outcome.ts';

const message: fc.Arbitrary<StructLayout> = structFields(anyKind(false)).map(fields => layoutOf(structNamed(fields)));
const asKind = (layout: StructLayout): AnyKind =>
  kindOf(structNamed(Object.fromEntries(layout.fields.map(field => [field.name, field.kind]))));
const messageAndValue = message.chain(layout =>
  valueOf(asKind(layout)).map(value => ({ layout, value: value as Record<string, unknown> })),
);

test('every value comes back as the field would read it', () => {
  fc.assert(
    fc.property(messageAndValue, ({ layout, value }) => {
      const codec = codecOf(layout);
      const writer = new Writer(1);
      codec.write(writer, value);
      const reader = new Reader(writer.view());
      expect(codec.read(reader)).toEqual(wellFormed(copyValue(asKind(layout), value)));
      reader.end();
    }),
    { numRuns: 1000 },
  );
});

test('a value that does not fit is refused by field, and nothing is written', () => {
  fc.assert(
    fc.property(
      messageAndValue.chain(({ layout, value }) =>
        fc
          .constantFrom(...layout.fields)
          .chain(field =>
            badValueOf(field.kind).map(bad => ({ layout, field, value: { ...value, [field.name]: bad } })),
          ),
      ),
      ({ layout, field, value }) => {
        const writer = new Writer();
        writer.u8(7);
        expect(() => codecOf(layout).write(writer, value)).toThrow(
          expect.objectContaining({
            code: 'SCHEMA_RANGE',
            message: expect.stringContaining(`field ${field.name} of ${layout.name}: `),
          }),
        );
        expect([...writer.view()]).toEqual([7]);
      },
    ),
    { numRuns: 1000 },
  );
});

test('cut short anywhere it is refused', () => {
  fc.assert(
    fc.property(messageAndValue, fc.nat(), ({ layout, value }, at) => {
      const codec = codecOf(layout);
      const writer = new Writer();
      codec.write(writer, value);
      const cut = writer.view().subarray(0, at % writer.length);
      expect(() => codec.read(new Reader(cut))).toThrow(expect.objectContaining({ code: 'SCHEMA_WIRE' }));
    }),
    { numRuns: 500 },
  );
});

test('random bytes are refused, or decode to a value that encodes to the same bytes', () => {
  let decoded = 0;
  fc.assert(
    fc.property(message, fc.uint8Array({ minLength: 20, maxLength: 400 }), fc.boolean(), (layout, bytes, finite) => {
      const codec = codecOf(layout, { finite });
      const reader = new Reader(bytes);
      const { value, code } = outcomeOf(() => codec.read(reader));
      expect([undefined, 'SCHEMA_WIRE']).toContain(code);
      if (value === undefined) return;
      decoded++;
      expect(reader.left).toBeGreaterThanOrEqual(0);
      const writer = new Writer();
      codec.write(writer, value);
      // A NaN's bits may change; without one the bytes are the same.
      expect(writer.length).toBe(reader.at);
      const same = Buffer.compare(writer.view(), bytes.subarray(0, reader.at)) === 0;
      expect(same || !finite).toBe(true);
    }),
    { numRuns: 3000 },
  );
  expect(decoded).toBeGreaterThan(0);
});
