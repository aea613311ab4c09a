/** Topics, from the subscriber's side: what the code says that it hears is told to each instance of the publishing service, the
 * new ones too, and told again when either side has become another one.
 *
 *   $heard  u32, one per node index   hash of what this node has told that one that it hears, and of the two creations that
 *                                     it holds between; 0 = nothing
 *
 * The publisher keeps it (topics.ts), so it is told once, not in each life: in one commit with `$heard`. Code that hears
 * something else, or nothing any more, finds another hash than it would have said, and says so. */
import { array, type Protocol, SchemaError, u32 } from '@lich/schema';
import { BusError, FULL, HANDLED, type PayloadCodec, payloadCodec, rootWord, typeOf } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import type { AnyHears } from './hear.ts';
import { instanceOf } from './members.ts';
import { hashOfName } from './names.ts';
import { refusePromise } from './promise.ts';
import type { Service, Target } from './service.ts';
import { MISSED, PUBLICATION, SUBSCRIBE, tagOfProtocol, type Why } from './system-messages.ts';

/** Root fields of a service. */
export function heardFields(nodes: number) {
  return { $heard: array(u32, nodes) };
}

const NO_DOOR = { resolve: () => undefined };
/** Words that may be logged for a publication after its handler. */
const ROOM_TO_FINISH = 16;

interface Place {
  readonly name: string;
  readonly hash: number;
  readonly of: Target<Protocol>;
  readonly topic: number;
  /** As this code knows the topic. */
  readonly type: number;
  readonly codec: PayloadCodec;
  readonly hears: AnyHears;
}

export interface HearingOptions {
  readonly core: Core;
  readonly service: Service;
  /** What handlers are given. */
  readonly context: unknown;
  readonly counts: { handled: number; ignored: number };
  /** Undo the open transaction, say so, and open another one. */
  readonly undo: (error: unknown, name: string) => void;
  readonly refuse: (sender: number, type: number, a: number, b: number, why: Why) => number;
}

export class Hearing {
  readonly #o: HearingOptions;
  readonly #heard: number;
  /** By hash of its name. */
  readonly #places = new Map<number, Place>();
  /** By service: what each of its instances is told. */
  readonly #wanted = new Map<string, { readonly words: readonly number[]; readonly hash: number }>();
  /** There was no room to say so. */
  #again = false;

  constructor(o: HearingOptions) {
    this.#o = o;
    const { layouts, segment } = o.core.store;
    this.#heard = rootWord(layouts.root, segment.regions.get('root')!.offset, '$heard');
    for (const [name, hears] of Object.entries(o.service.spec.hears ?? {})) this.#add(placeOf(name, hears));
    const words = new Map<string, number[]>();
    for (const { of, topic, hash } of this.#places.values())
      words.set(of.name, [...(words.get(of.name) ?? []), topic, hash]);
    for (const [service, list] of words) this.#wanted.set(service, { words: list, hash: hashOfName(list.join(' ')) });
  }

  #add(place: Place): void {
    const other = this.#places.get(place.hash);
    if (other !== undefined)
      throw new RuntimeError(
        'RUNTIME_BAD_SERVICE',
        `hears.${place.name} and hears.${other.name} have one hash: rename one`,
      );
    this.#places.set(place.hash, place);
  }

  /** @returns the service whose topic is heard there */
  heardAt(place: number): Target<Protocol> | undefined {
    return this.#places.get(place)?.of;
  }

  /** Services whose topics are heard: others have to know which version of them this code means. */
  services(): Target<Protocol>[] {
    return [...new Set([...this.#places.values()].map(({ of }) => of))];
  }

  /** Tell those who do not know it yet, or know something else. Outside transactions.
   * @param changed somebody came, went, or became another one */
  step(changed: boolean): void {
    if (!changed && !this.#again) return;
    this.#again = false;
    const { core } = this.#o;
    for (const node of core.directory.all()) {
      const hash = this.#hashFor(node.index, instanceOf(node)?.service);
      if (hash === core.store.segment.u32[this.#heard + node.index]) continue;
      if (core.bus.inbox.metId(node.index) !== 0) core.transact(() => this.#tell(node.index, hash));
      // It was removed: should it come back, it knows nothing.
      else if (hash === 0) core.transact(() => core.store.log.write(this.#heard + node.index, 0));
    }
  }

  /** Of what that node is to know. 0 = that nothing of it is heard. */
  #hashFor(node: number, service = ''): number {
    const wanted = this.#wanted.get(service);
    const { inbox } = this.#o.core.bus;
    const life = inbox.metId(node);
    if (wanted === undefined || life === 0) return 0;
    return mixed(wanted.hash, life, inbox.metId(this.#o.core.self.index));
  }

  #tell(node: number, hash: number): void {
    const { core } = this.#o;
    const words = hash === 0 ? [] : this.#wanted.get(instanceOf(core.directory.byIndex(node)!)!.service)!.words;
    const at = this.#claim(node, (1 + words.length) * 4);
    if (at === FULL) {
      this.#again = true;
      return;
    }
    core.lanes.u32[at] = words.length / 2;
    for (let k = 0; k < words.length; k++) core.lanes.u32[at + 1 + k] = words[k]!;
    core.bus.outbox.commitClaim();
    core.store.log.write(this.#heard + node, hash | 0);
  }

  /** No room for a first lane is the same as a full one. */
  #claim(node: number, bytes: number): number {
    try {
      return this.#o.core.bus.outbox.claim(node, SUBSCRIBE, 0, 0, bytes);
    } catch (error) {
      if (error instanceof BusError && (error.code === 'BUS_NO_ROOM' || error.code === 'BUS_TOO_MANY_LANES'))
        return FULL;
      throw error;
    }
  }

  /** A PUBLICATION or MISSED, inside a transaction. @returns undefined for a type that is neither */
  deliver(
    sender: number,
    type: number,
    a: number,
    b: number,
    lanes: Segment,
    word: number,
    words: number,
  ): number | undefined {
    if (type !== PUBLICATION && type !== MISSED) return undefined;
    const { core, counts, undo } = this.#o;
    const place = this.#places.get(b >>> 0);
    // Of code before this one: the publisher is being told.
    if (place === undefined) {
      counts.ignored++;
      return HANDLED;
    }
    const from = core.directory.byIndex(sender)?.name ?? '';
    const call = this.#callOf(place, type, a, lanes, word, words, from);
    if (typeof call === 'string') return this.#o.refuse(sender, type, a, b, call);
    try {
      refusePromise(`hears.${place.name}`, call());
      core.store.log.mustHaveRoom(ROOM_TO_FINISH);
      counts.handled++;
    } catch (error) {
      undo(error, `hears.${place.name}`);
    }
    return HANDLED;
  }

  /** @returns what runs the handler, or why it cannot run */
  #callOf(
    { hears, type: known, codec }: Place,
    type: number,
    a: number,
    lanes: Segment,
    word: number,
    words: number,
    from: string,
  ): (() => unknown) | Why {
    const { context } = this.#o;
    if (type === MISSED) {
      if (words < 2) return 'illFormed';
      const count = lanes.u32[word] + lanes.u32[word + 1] * 2 ** 32;
      return () => hears.missed?.(context, count, from);
    }
    if (a !== known) return 'version';
    if (codec.bytes > words * 4) return 'illFormed';
    try {
      const payload = codec.read(lanes, word * 4, words * 4);
      return () => hears.handle(context, payload, from);
    } catch (error) {
      if (error instanceof SchemaError) return 'illFormed';
      throw error;
    }
  }
}

/** Of three words one, above 0. */
function mixed(x: number, y: number, z: number): number {
  let h = Math.imul(x ^ 0x9e37_79b9, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13) ^ y, 0xc2b2_ae35);
  h = Math.imul(h ^ (h >>> 16) ^ z, 0x27d4_eb2f);
  return (h ^ (h >>> 15)) >>> 0 || 1;
}

function placeOf(name: string, hears: AnyHears): Place {
  const { of, name: topic } = hears.topic;
  const { id, layout } = of.protocol.byName.get(topic)!;
  return {
    name,
    hash: hashOfName(name),
    of,
    topic: hashOfName(topic),
    type: typeOf(tagOfProtocol(of.protocol), id),
    codec: payloadCodec(layout, NO_DOOR, topic),
    hears,
  };
}
