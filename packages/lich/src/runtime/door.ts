/** What comes in another version than this code's is brought into this one's before anything looks at it: handlers, recordings
 * and the quarantine know one version alone. What cannot be is refused, with the field that is in the way.
 *
 *   command, request   the sender has another version of this service's protocol; for a request it must be able to read the
 *                      reply too, else it is not done
 *   ANSWER             the server has another version of its protocol than this asker
 *   PUBLICATION        the publisher has another version of its protocol than this subscriber */
import type { Protocol } from '@lich/schema';
import { HEADER_WORDS, RECORD_ALIGN_WORDS, tagOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import { arraysOf } from '../state/internal.ts';
import { problemOf } from './adapt.ts';
import type { Core } from './core.ts';
import { type FormerProtocols, messageNow } from './former-protocols.ts';
import { instanceOf } from './members.ts';
import type { Target } from './service.ts';
import { ANSWER, ANSWER_WORDS, PUBLICATION, SYSTEM_TAG, tagOfProtocol } from './system-messages.ts';
import { type Translate, translation } from './translate.ts';

/** What the door has to know of who lives behind it. */
export interface DoorOptions {
  readonly core: Core;
  /** Its own protocol. */
  readonly service: Target<Protocol>;
  /** @returns the type that was asked, of a request that waits */
  readonly askedOf: (sender: number, a: number, b: number) => number | undefined;
  /** @returns the service whose topic a place hears */
  readonly heardAt: (place: number) => Target<Protocol> | undefined;
  readonly former: FormerProtocols;
}

/** How one type of another version is taken. */
interface Way {
  /** As this code has it. */
  readonly type: number;
  readonly translate: Translate | undefined;
  readonly why: string | undefined;
}

export class Door {
  readonly #o: DoorOptions;
  readonly #tag: number;
  readonly #former: FormerProtocols;
  /** By service, and what was to become what. */
  readonly #ways = new Map<string, Way>();
  // The message that `open` was asked about, as this code has it.
  type = 0;
  a = 0;
  lanes!: Segment;
  word = 0;
  words = 0;
  /** Why it is refused; undefined when it is not. */
  why: string | undefined;

  constructor(o: DoorOptions) {
    this.#o = o;
    this.#tag = tagOfProtocol(o.service.protocol);
    this.#former = o.former;
  }

  /** @returns whether the message is of another version: then it is what the fields of this say, until the next call */
  open(sender: number, type: number, a: number, b: number, lanes: Segment, word: number, words: number): boolean {
    const tag = tagOf(type);
    if (tag === this.#tag) return false;
    if (tag !== SYSTEM_TAG) return this.#take(this.#ofOwn(type), type, a, lanes, word, words, 0);
    if (type === ANSWER) return this.#answer(sender, a, b, lanes, word, words);
    if (type !== PUBLICATION) return false;
    const publisher = this.#o.heardAt(b >>> 0);
    if (publisher === undefined || tagOf(a) === tagOfProtocol(publisher.protocol)) return false;
    const way = this.#ofOther(publisher, a);
    if (!this.#take(way, type, a, lanes, word, words, 0)) return false;
    this.type = PUBLICATION;
    this.a = way!.type;
    return true;
  }

  #answer(sender: number, a: number, b: number, lanes: Segment, word: number, words: number): boolean {
    const said = lanes.i32[word];
    const asked = words < ANSWER_WORDS ? undefined : this.#o.askedOf(sender, a, b);
    if (asked === undefined || asked === said) return false;
    const server = this.#o.core.directory.byIndex(sender);
    const service = server && instanceOf(server)?.service;
    if (service === undefined) return false;
    const way = this.#ofReply(service, said, asked);
    // Who waits is told that it is the answer to something else.
    if (way?.why !== undefined) return false;
    if (!this.#take(way, ANSWER, a, lanes, word, words, ANSWER_WORDS)) return false;
    this.type = ANSWER;
    this.lanes.i32[this.word] = asked;
    return true;
  }

  /** @param skip words of the payload before what is translated */
  #take(
    way: Way | undefined,
    type: number,
    a: number,
    lanes: Segment,
    word: number,
    words: number,
    skip: number,
  ): boolean {
    if (way === undefined) return false;
    [this.type, this.a, this.lanes, this.word, this.words, this.why] = [way.type, a, lanes, word, words, way.why];
    if (way.why !== undefined) {
      this.type = type;
      return true;
    }
    // The words before it may be changed: never in the sender's memory.
    if (way.translate === undefined && skip === 0) return true;
    try {
      const from = (word + skip) * 4;
      const room = (words - skip) * 4;
      const bytes = way.translate?.(lanes, from, room) ?? lanes.u8.slice(from, from + room);
      this.#show(lanes, word, skip, bytes);
    } catch {
      // Its bytes are none of that version either: whoever reads them finds that they are too few.
      this.#show(lanes, word, skip, NOTHING);
      this.words = skip;
    }
    return true;
  }

  #show(lanes: Segment, word: number, skip: number, bytes: Uint8Array): void {
    const words = (skip + ((bytes.length + 3) >> 2) + RECORD_ALIGN_WORDS - 1) & -RECORD_ALIGN_WORDS;
    const memory = arraysOf(new ArrayBuffer((words + HEADER_WORDS) * 4)) as unknown as Segment;
    for (let k = 0; k < skip; k++) memory.i32[k] = lanes.i32[word + k];
    memory.u8.set(bytes, skip * 4);
    [this.lanes, this.word, this.words] = [memory, 0, words];
  }

  /** A message to this service. */
  #ofOwn(type: number): Way | undefined {
    const { service } = this.#o;
    return this.#way(`${service.name} ${type}`, () => {
      const former = this.#former.messageOf(service.name, type);
      const now = former && messageNow(service.protocol, former);
      if (now === undefined) return undefined;
      const back = former!.reply && now.reply && problemOf(now.reply, former!.reply);
      const why = problemOf(former!.layout, now.layout) ?? (back === undefined ? undefined : `in its reply ${back}`);
      return {
        type: now.type,
        translate: why === undefined ? translation(former!.layout, now.layout) : undefined,
        why: inMessage(now.name, why),
      };
    });
  }

  /** A topic of another service. */
  #ofOther({ name, protocol }: Target<Protocol>, type: number): Way | undefined {
    return this.#way(`${name} ${type}`, () => {
      const former = this.#former.messageOf(name, type);
      const now = former && messageNow(protocol, former);
      if (now === undefined) return undefined;
      const why = problemOf(former!.layout, now.layout);
      return {
        type: now.type,
        translate: why === undefined ? translation(former!.layout, now.layout) : undefined,
        why: inMessage(now.name, why),
      };
    });
  }

  /** A reply of another service. */
  #ofReply(service: string, said: number, asked: number): Way | undefined {
    return this.#way(`${service} ${said} ${asked}`, () => {
      const [theirs, ours] = [this.#former.messageOf(service, said), this.#former.messageOf(service, asked)];
      if (theirs?.reply === undefined || ours?.reply === undefined || theirs.name !== ours.name) return undefined;
      const why = problemOf(theirs.reply, ours.reply);
      return {
        type: asked,
        translate: why === undefined ? translation(theirs.reply, ours.reply) : undefined,
        why: inMessage(ours.name, why),
      };
    });
  }

  #way(key: string, find: () => Way | undefined): Way | undefined {
    const known = this.#ways.get(key);
    if (known !== undefined) return known;
    const way = find();
    if (way !== undefined) this.#ways.set(key, way);
    return way;
  }
}

function inMessage(name: string, why: string | undefined): string | undefined {
  return why === undefined ? undefined : `${name}: ${why}`;
}

const NOTHING = new Uint8Array(0);
