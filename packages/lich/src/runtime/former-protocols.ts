/** Protocols of other versions of a service: what is under way in lanes when code is deployed was sent by the version of
 * before, and two versions of a service, or of who speaks with it, may run side by side for as long as a fleet likes.
 *
 *   <dir>/protocols/<service>-<tag>.json     what the message ids of that version mean
 *
 * Written by each process of the service when it starts, by each candidate for all services of its build, and by whoever
 * says something to a service, when it does so first; never changed. So each side finds there what the other one means. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  catalogOfStruct,
  hashOf,
  type MessageLayout,
  type MessageSpec,
  type Protocol,
  structsFrom,
  structsIn,
  wholeLayout,
  type WholePayload,
} from '@lich/schema';
import { idOf, tagOf, typeOf } from '../bus/index.ts';
import { writeWhole } from '../shm/index.ts';
import { RuntimeError } from './errors.ts';
import { tagOfProtocol } from './system-messages.ts';

/** A message of another version. */
export interface FormerMessage {
  readonly name: string;
  readonly role: MessageSpec['role'];
  readonly layout: MessageLayout;
  readonly reply: MessageLayout | undefined;
}

interface SaidMessage {
  readonly name: string;
  readonly role: MessageSpec['role'];
  readonly whole?: WholePayload;
  readonly wholeReply?: WholePayload;
}

/** A file. By message id; null for own messages, which are in no lane. */
interface Said {
  readonly hash: string;
  readonly structs: readonly object[];
  readonly messages: readonly (SaidMessage | null)[];
}

function pathOf(dir: string, service: string, tag: number): string {
  return join(dir, 'protocols', `${service}-${tag}.json`);
}

/** Equal = the same bytes with the same meaning. */
export function shapeOf({ role, layout, reply }: Pick<MessageSpec, 'role' | 'layout' | 'reply'>): string {
  const layouts = reply === undefined ? [layout] : [layout, reply];
  const structs = [...structsIn(layouts).values()].map(catalogOfStruct);
  const fields = layouts.map(each => ({ ...catalogOfStruct(each), whole: each.whole }));
  return hashOf({ role, structs, fields }, ['was', 'id', 'chart']);
}

function describe({ hash, messages }: Protocol): Said {
  const said = messages.filter(({ role }) => role !== 'own');
  const layouts = said.flatMap(({ layout, reply }) => (reply === undefined ? [layout] : [layout, reply]));
  // Under names that no class has.
  const named = said.flatMap(({ id, layout, reply }) => [
    { ...catalogOfStruct(layout), name: `${id}` },
    ...(reply === undefined ? [] : [{ ...catalogOfStruct(reply), name: `${id}.reply` }]),
  ]);
  return {
    hash,
    structs: [...[...structsIn(layouts).values()].map(catalogOfStruct), ...named],
    messages: messages.map(({ name, role, layout, reply }) =>
      role === 'own' ? null : { name, role, whole: layout.whole, wholeReply: reply?.whole },
    ),
  };
}

/** Let other versions find out what this one's message ids mean.
 * @throws RuntimeError `RUNTIME_BAD_SERVICE` where another version has the tag of this one */
export function rememberProtocol(dir: string, { name, protocol }: { name: string; protocol: Protocol }): void {
  const tag = tagOfProtocol(protocol);
  const path = pathOf(dir, name, tag);
  if (existsSync(path)) {
    const { hash } = JSON.parse(readFileSync(path, 'utf8')) as Said;
    if (hash === protocol.hash) return;
    throw new RuntimeError(
      'RUNTIME_BAD_SERVICE',
      `two versions of the protocol of ${name} have tag ${tag}, so neither would know whose messages it has: declare one more message`,
    );
  }
  mkdirSync(join(dir, 'protocols'), { recursive: true, mode: 0o700 });
  writeWhole(path, JSON.stringify(describe(protocol)));
}

/** What versions of services meant, as far as they were noted in this directory. */
export class FormerProtocols {
  readonly #dir: string;
  readonly #known = new Map<string, readonly (FormerMessage | undefined)[]>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** What a type word of that service means. @returns undefined for a version that was never here, or has no such message */
  messageOf(service: string, type: number): FormerMessage | undefined {
    const path = pathOf(this.#dir, service, tagOf(type));
    const known = this.#known.get(path) ?? this.#read(path);
    return known?.[idOf(type)];
  }

  #read(path: string): readonly (FormerMessage | undefined)[] | undefined {
    let said: Said;
    try {
      said = JSON.parse(readFileSync(path, 'utf8')) as Said;
    } catch {
      // Not there yet, perhaps: looked for again with the next message.
      return undefined;
    }
    const structs = structsFrom(said.structs);
    const layoutOf = (name: string, whole: WholePayload | undefined): MessageLayout | undefined =>
      whole === undefined ? structs.get(name) : wholeLayout(name, whole);
    const messages = said.messages.map((each, id): FormerMessage | undefined => {
      if (each === null) return undefined;
      const { name, role } = each;
      const reply = role === 'request' ? layoutOf(`${id}.reply`, each.wholeReply) : undefined;
      return { name, role, layout: layoutOf(`${id}`, each.whole)!, reply };
    });
    this.#known.set(path, messages);
    return messages;
  }
}

/** The same message, as this code has it. @returns undefined when it has none of that name and role */
export function messageNow(protocol: Protocol, former: FormerMessage): (MessageSpec & { type: number }) | undefined {
  const now = protocol.byName.get(former.name);
  return now?.role === former.role ? { ...now, type: typeOf(tagOfProtocol(protocol), now.id) } : undefined;
}
