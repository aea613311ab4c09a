/** Protocols of other versions of a service, as far as its messages are the same: what is under way in lanes when code is
 * deployed was sent under the tag of before, and a sender may be deployed before its receiver.
 *
 *   <dir>/protocols/<service>.<tag>.json     by message id: [name, shape]; null for own messages, which are in no lane
 *
 * Written by each process of the service when it starts, and by each candidate for all services of its build; never
 * changed. A message that is not there, or has another shape now, is refused by the receiver as any that it does not know. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { catalogOfStruct, hashOf, type MessageSpec, type Protocol, structsIn } from '@lich/schema';
import { idOf, tagOf, typeOf } from '../bus/index.ts';
import type { Service } from './service.ts';
import { tagOfProtocol } from './system-messages.ts';

type Said = readonly ([name: string, shape: string] | null)[];

function pathOf(dir: string, service: string, tag: number): string {
  return join(dir, 'protocols', `${service}.${tag}.json`);
}

/** Equal = the same bytes with the same meaning. */
export function shapeOf({ role, layout, reply }: MessageSpec): string {
  const layouts = reply === undefined ? [layout] : [layout, reply];
  const structs = [...structsIn(layouts).values()].map(catalogOfStruct);
  return hashOf({ role, structs, fields: layouts.map(catalogOfStruct) }, ['was', 'id', 'chart']);
}

/** Let other versions of the service find out what this one's message ids mean. */
export function rememberProtocol(dir: string, { name, protocol }: Pick<Service, 'name' | 'protocol'>): void {
  const path = pathOf(dir, name, tagOfProtocol(protocol));
  if (existsSync(path)) return;
  const said: Said = protocol.messages.map(message =>
    message.role === 'own' ? null : [message.name, shapeOf(message)],
  );
  mkdirSync(join(dir, 'protocols'), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.tmp`;
  writeFileSync(draft, JSON.stringify(said), { mode: 0o600 });
  renameSync(draft, path);
}

/** What other versions of one service's protocol mean by their types. */
export class FormerProtocols {
  readonly #dir: string;
  readonly #service: string;
  readonly #protocol: Protocol;
  readonly #tag: number;
  /** By tag: types of now, by the id of before; 0 = nothing of now. */
  readonly #known = new Map<number, readonly number[]>();

  constructor(dir: string, { name, protocol }: Service) {
    this.#dir = dir;
    this.#service = name;
    this.#protocol = protocol;
    this.#tag = tagOfProtocol(protocol);
  }

  /** @returns the type that this code has for a message of another version; `type` itself when it has none */
  typeNow(type: number): number {
    const tag = tagOf(type);
    const types = this.#known.get(tag) ?? this.#read(tag);
    return types?.[idOf(type)] || type;
  }

  #read(tag: number): readonly number[] | undefined {
    let said: Said;
    try {
      said = JSON.parse(readFileSync(pathOf(this.#dir, this.#service, tag), 'utf8')) as Said;
    } catch {
      // Another service's, or of a version that has never run here.
      return undefined;
    }
    const types = said.map(each => {
      const now = each === null ? undefined : this.#protocol.byName.get(each[0]);
      return now === undefined || shapeOf(now) !== each![1] ? 0 : typeOf(this.#tag, now.id);
    });
    this.#known.set(tag, types);
    return types;
  }
}
