/** What messages in lanes say, for people: as far as the files in `protocols` tell it. */
import { SchemaError } from '@lich/schema';
import { type FoundRecord, idOf, type PayloadCodec, payloadCodec, tagOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import { type FormerMessage, FormerProtocols } from './former-protocols.ts';
import { ANSWER, ANSWER_WORDS, PUBLICATION, systemName } from './system-messages.ts';

/** A message as it is shown. */
export interface NamedMessage {
  /** `move`, `answer to charge`, `REFUSAL`, or `3 of protocol tag 4711` */
  readonly what: string;
  /** Undefined where nobody here knows how it is laid out. */
  readonly fields: unknown;
}

type Layout = FormerMessage['layout'];

/** Refs lead to records of another process. */
const PLAIN_DOOR = {
  resolve: (_: string, slot: number, generation: number) => (generation === 0 ? undefined : { slot, generation }),
};

/** Finds out what the records in lanes of a directory are. */
export class MessageNames {
  readonly #protocols: FormerProtocols;
  readonly #codecs = new Map<Layout, PayloadCodec>();

  constructor(dir: string) {
    this.#protocols = new FormerProtocols(dir);
  }

  /** @param from name of the node that sent it @param to of the one that gets it
   * @returns what it says; nonsense where the record was written over meanwhile */
  read(segment: Segment, from: string, to: string, record: FoundRecord): NamedMessage {
    const { type, word, payloadWord, payloadWords } = record;
    const name = systemName(type);
    if (type === ANSWER && payloadWords >= ANSWER_WORDS) {
      const asked = this.#protocols.messageOf(kindOf(from), segment.i32[payloadWord]);
      const fields = this.#fields(asked?.reply, segment, payloadWord + ANSWER_WORDS, payloadWords - ANSWER_WORDS);
      return { what: asked === undefined ? name! : `answer to ${asked.name}`, fields };
    }
    if (type === PUBLICATION) {
      const topic = this.#protocols.messageOf(kindOf(from), segment.i32[word + 2]);
      return { what: topic?.name ?? name!, fields: this.#fields(topic?.layout, segment, payloadWord, payloadWords) };
    }
    if (name !== undefined) return { what: name, fields: undefined };
    const message = this.#protocols.messageOf(kindOf(to), type);
    if (message === undefined) return { what: `${idOf(type)} of protocol tag ${tagOf(type)}`, fields: undefined };
    return { what: message.name, fields: this.#fields(message.layout, segment, payloadWord, payloadWords) };
  }

  #fields(layout: Layout | undefined, segment: Segment, word: number, words: number): unknown {
    if (layout === undefined || layout.bytes > words * 4) return undefined;
    let codec = this.#codecs.get(layout);
    if (codec === undefined) this.#codecs.set(layout, (codec = payloadCodec(layout, PLAIN_DOOR)));
    try {
      const value: unknown = codec.read(segment, word * 4, words * 4);
      return value instanceof Uint8Array ? { bytes: value.length } : value;
    } catch (error) {
      // Written over while it was read, or no sender's.
      if (error instanceof SchemaError || error instanceof RangeError) return undefined;
      throw error;
    }
  }
}

function kindOf(node: string): string {
  return node.replace(/-\d+$/, '');
}
