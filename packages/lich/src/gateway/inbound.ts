import { type Codec, type MessageSpec, payloadCodecOf, type Protocol, Reader, SchemaError } from '@lich/schema';

/** What clients may say: payloads are decoded here once, so that a scene gets none that does not decode. */
export class Inbound {
  readonly #codecs: readonly (Codec | undefined)[];
  readonly #reader = new Reader();

  constructor(protocol: Protocol) {
    this.#codecs = protocol.messages.map((spec: MessageSpec) =>
      (spec.role === 'command' || spec.role === 'request') && spec.from !== 'services'
        ? payloadCodecOf(spec)
        : undefined,
    );
  }

  /** @throws SchemaError `SCHEMA_WIRE` */
  check(id: number, payload: Uint8Array): void {
    const codec = this.#codecs[id];
    if (codec === undefined)
      throw new SchemaError('SCHEMA_WIRE', `message ${id} is none that a client may send`, { severity: 'warn' });
    const reader = this.#reader.reset(payload);
    codec.read(reader);
    reader.end();
  }
}
