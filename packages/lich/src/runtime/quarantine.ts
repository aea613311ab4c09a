/** The quarantine of a cluster: what kept ending a process. One folder each:
 *
 *   <dir>/quarantine/<id>/entry.json   what it is, with the bytes of a message's payload (base64); written by the owner
 *                         state.dump   the state before it     | the capsule: added by the supervisor, off the path, where it
 *                         about.json   versions, crash output  | could (supervisor/capsules.ts)
 *
 * The entry is written before the commit that moves past the message, or suspends the record, and under a name that
 * follows from what it is: a kill in between writes the same file again. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { payloadCodecOf, type Protocol, Reader } from '@lich/schema';
import { idOf, payloadCodec, type Priority, tagOf } from '../bus/index.ts';
import { type Segment, writeWhole } from '../shm/index.ts';
import { WORDS } from '../state/index.ts';
import { arraysOf } from '../state/internal.ts';
import type { Config } from './config.ts';
import type { Core } from './core.ts';
import { RuntimeError } from './errors.ts';
import type { Service } from './service.ts';
import { noteContained } from './supervised.ts';
import { INPUT, tagOfProtocol } from './system-messages.ts';

/** What the owner says of anything that it sets aside. */
export interface EntryHead {
  /** Of the folder. */
  readonly id: string;
  readonly node: string;
  /** The life that set it aside, and its service time then. */
  readonly epoch: number;
  readonly atMs: number;
  /** Commits until then. */
  readonly commitNo: number;
  /** Process that died last. */
  readonly diedPid: number;
  /** Deaths while it was being handled. */
  readonly deaths: number;
  /** For people: `hit`, `monsters[7]`. */
  readonly what: string;
  readonly service: string;
  /** The config of that life, and its hash. */
  readonly config: Config;
  readonly configHash: string;
  readonly nodeVersion: string;
}

/** A message, as its handler was given it. */
export interface MessageEntry extends EntryHead {
  readonly kind: 'message';
  /** Node that sent it; the node itself for own messages. */
  readonly from: string;
  readonly sender: number;
  /** Of the stream in which it came; absent for own messages. */
  readonly priority?: Priority;
  /** Message, by name where the protocol has it. */
  readonly type: number;
  readonly protocolTag: number;
  readonly messageId: number;
  readonly a: number;
  readonly b: number;
  /** base64 */
  readonly payload: string;
  /** What it says, for people: JSON, cut off where it is long. Absent where this code does not know the message. */
  readonly fields?: string;
}

/** A record that is suspended. */
export interface RecordEntry extends EntryHead {
  readonly kind: 'record';
  readonly pool: string;
  readonly slot: number;
  readonly generation: number;
  /** What visited it: `tick`, `spread`, `attempt`, `attempt in tick`, `onResume`. */
  readonly site: string;
  readonly siteCode: number;
}

export type Entry = MessageEntry | RecordEntry;

/** What is set aside, as its owner knows it. */
export interface SetAside {
  /** Node index of the sender: what it sent is what is being delivered. Absent for own messages. */
  readonly sender?: number;
  readonly type: number;
  readonly a: number;
  readonly b: number;
  /** Deaths while it was being handled. */
  readonly tries: number;
}

interface About {
  readonly service: Service;
  readonly config: Config;
}
const about = new WeakMap<Core, About>();

/** Say what runs in this node, for its entries. */
export function isRun(core: Core, service: Service, config: Config): void {
  about.set(core, { service, config });
}

function senderOf(core: Core, index?: number): Pick<MessageEntry, 'from' | 'sender' | 'priority'> {
  const { bus, directory, name, self } = core;
  if (index === undefined) return { from: name, sender: self.index };
  const from = directory.byIndex(index)?.name ?? String(index);
  return { from, sender: index, priority: bus.priorityOf(bus.inbox.stream) };
}

/** Set a message aside, before the commit that moves past it. */
export function setAside(core: Core, what: SetAside, payload: Uint8Array): void {
  const { suspect } = core.blame;
  const messageId =
    what.type === INPUT ? new DataView(payload.buffer, payload.byteOffset).getUint32(12, true) : idOf(what.type);
  const name = about.get(core)?.service.protocol.messages[messageId]?.name ?? `message ${messageId}`;
  const place = suspect === undefined ? `${what.a >>> 0}.${what.b >>> 0}` : `${suspect.code}.${suspect.pos >>> 0}`;
  const entry = quarantine(core, {
    kind: 'message',
    what: name,
    id: `${name.replace(' ', '')}-${place}`,
    deaths: what.tries,
    ...senderOf(core, what.sender),
    type: what.type,
    protocolTag: tagOf(what.type),
    messageId,
    a: what.a,
    b: what.b,
    payload: Buffer.from(payload).toString('base64'),
    fields: fieldsOf(about.get(core)?.service.protocol, what.type, messageId, payload),
  });
  core.log.error('a message was set aside: it kept ending the process', entry);
}

const FIELDS_MOST = 2_000;
const PLAIN_REFS = { resolve: (pool: string, slot: number) => `${pool}[${slot}]` };

/** What a message says: it has kept ending the process, so whatever comes of reading it is no reason to stop. */
function fieldsOf(
  protocol: Protocol | undefined,
  type: number,
  messageId: number,
  payload: Uint8Array,
): string | undefined {
  const message = protocol?.messages[messageId];
  if (message === undefined) return undefined;
  try {
    let value: unknown;
    // [slot][generation][number][message][bytes] and what the client said: players.ts.
    if (type === INPUT) {
      const length = new DataView(payload.buffer, payload.byteOffset).getUint32(16, true);
      value = payloadCodecOf(message).read(new Reader(payload.slice(20, 20 + length)));
    } else {
      if (tagOf(type) !== tagOfProtocol(protocol!)) return undefined;
      const { buffer } = new Uint8Array(Math.ceil(payload.length / 16) * 16 + message.layout.bytes);
      new Uint8Array(buffer).set(payload);
      value = payloadCodec(message.layout, PLAIN_REFS, message.name).read(
        arraysOf(buffer) as unknown as Segment,
        0,
        payload.length,
      );
    }
    const text = JSON.stringify(value, (_, of: unknown) =>
      typeof of === 'bigint' ? String(of) : of instanceof Uint8Array ? Buffer.from(of).toString('hex') : of,
    );
    return text.length > FIELDS_MOST ? `${text.slice(0, FIELDS_MOST)}…` : text;
  } catch {
    return undefined;
  }
}

type Own = 'node' | 'epoch' | 'atMs' | 'commitNo' | 'diedPid' | 'service' | 'config' | 'configHash' | 'nodeVersion';

/** Write an entry. @returns what the log says of it */
export function quarantine(
  core: Core,
  entry: Omit<MessageEntry, Own> | Omit<RecordEntry, Own>,
): Record<string, unknown> {
  const { service, config } = about.get(core) ?? {};
  const id = `${core.name}-${entry.id}`;
  const folder = join(quarantineDir(core.dir), id);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const whole = {
    ...entry,
    id,
    node: core.name,
    epoch: core.life.epoch,
    atMs: core.now,
    commitNo: core.store.segment.f64[WORDS.COMMIT_NO >> 1],
    diedPid: core.blame.lastPid,
    service: service?.name ?? core.name,
    config: config ?? {},
    configHash: hashOfConfig(config ?? {}),
    nodeVersion: process.versions.node,
  };
  const path = join(folder, 'entry.json');
  writeWhole(path, `${JSON.stringify(whole, undefined, 1)}\n`);
  noteContained(core.store.segment, entry.deaths);
  const { config: _, ...said } = whole;
  return { ...said, file: path };
}

/** Of two configs that are equal it is equal. */
export function hashOfConfig(config: Config): string {
  const sorted = (value: unknown): unknown =>
    typeof value !== 'object' || value === null || Array.isArray(value)
      ? value
      : Object.fromEntries(
          Object.entries(value)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, item]) => [key, sorted(item)]),
        );
  return createHash('sha256')
    .update(JSON.stringify(sorted(config)))
    .digest('hex')
    .slice(0, 16);
}

export function quarantineDir(dir: string): string {
  return join(dir, 'quarantine');
}

/** One thing in quarantine, with what the supervisor added. */
export interface Quarantined {
  readonly entry: Entry;
  readonly folder: string;
  /** The state before it. */
  readonly dump: string | undefined;
  readonly about: CapsuleAbout | undefined;
}

/** What the supervisor adds to an entry. */
export interface CapsuleAbout {
  readonly topologyFile: string;
  /** Directory of the build that ran. */
  readonly build: string;
  readonly lich: string;
  readonly nodeVersion: string;
  /** Bound of the process, as the topology had it: a replay has the same. */
  readonly memoryMiB?: number;
  /** Nodes of the directory, by index. */
  readonly nodes: readonly { readonly name: string; readonly id: number; readonly index: number }[];
  /** How the last process ended. */
  readonly exit: string;
  /** End of the log of the node when it ended. */
  readonly lastWords: string;
  /** The dump was begun before the entry: what is in quarantine is still to be done in it. */
  readonly exact: boolean;
}

/** Everything in the quarantine of a directory, oldest first. */
export function listQuarantine(dir: string): Quarantined[] {
  let names: string[];
  try {
    names = readdirSync(quarantineDir(dir));
  } catch {
    return [];
  }
  return names
    .flatMap(name => readQuarantined(join(quarantineDir(dir), name)) ?? [])
    .sort((a, b) => a.entry.atMs - b.entry.atMs);
}

/** @param folder of a capsule @returns undefined when it is none */
export function readQuarantined(folder: string): Quarantined | undefined {
  const entry = readJson(join(folder, 'entry.json')) as Entry | undefined;
  if (entry === undefined) return undefined;
  const capsule = readJson(join(folder, 'about.json')) as CapsuleAbout | undefined;
  return { entry, folder, dump: capsule && join(folder, 'state.dump'), about: capsule };
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** @throws RuntimeError `RUNTIME_NOT_IN_QUARANTINE` */
export function findQuarantined(dir: string, id: string): Quarantined {
  const found = /^[\w.-]+$/.test(id) ? readQuarantined(join(quarantineDir(dir), id)) : undefined;
  if (found !== undefined) return found;
  const ids = listQuarantine(dir).map(({ entry }) => entry.id);
  throw new RuntimeError(
    'RUNTIME_NOT_IN_QUARANTINE',
    `${id} is not in the quarantine of ${dir}${ids.length === 0 ? ', which is empty' : `; there ${ids.length === 1 ? 'is' : 'are'} ${ids.join(', ')}`}`,
    { severity: 'warn' },
  );
}

/** Give it up: the folder, with its capsule. */
export function dropQuarantined({ folder }: Quarantined): void {
  rmSync(folder, { recursive: true, force: true });
}
