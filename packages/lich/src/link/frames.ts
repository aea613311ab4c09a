/** What two links say to each other. Little-endian; a frame is a multiple of four bytes, so that records in it can be read
 * as words.
 *
 *   OFFSET  SIZE  FIELD     MEANING
 *        0     4  bytes     of the whole frame, this field and the checksum among them
 *        4     1  kind      HELLO … BYE
 *        5     1  priority  of DATA: 0 or 1; else 0
 *        6     2  count     of NODES and ACK: entries; else 0
 *        8        body
 *   bytes-4     4  crc32     of all before it
 *
 *   HELLO  the first frame of each side; the one that dialled speaks first, and the other says nothing before
 *     [version u32][epoch u32][created f64][cluster][host]        texts: [bytes u8][UTF-8], zeros up to 4
 *   NODES  all nodes of that host; again when one of them changed, and now and then. Of one link's life the highest serial
 *          counts
 *     [epoch u32][serial u32] count × [id u32][presence u8][name][created f64]            name and presence share their zeros up to 4
 *   DATA   records of one stream, whole, without padding: the last one ends at `end`, and there is none between `start` and
 *          the first one
 *     [from u32][to u32][life f64][start u32][end u32][records]
 *   ACK    of streams the other way: what is committed, and how much more there is room for
 *     count × [from u32][to u32][life f64][got u32][room u32][flags u32]
 *   PING, PONG  [token u32]
 *   BYE    why the connection is closed: [code][message]
 *
 * `from`, `to` are node ids. A stream is (from, to, priority) in one life of the pair: `life` is a number that both sides
 * find for the four segments that the stream goes through, and who does not know of a new one yet takes no frame of the old
 * one for it. Positions are those of the sender's stream (words, u32, they wrap).
 *
 * Every field is checked when a frame is read: what passes `decode` would be written again as the same bytes. */
import { crc32 } from 'node:zlib';
import { LinkError } from './errors.ts';

/** Raised when a frame changes its meaning. Two links of different versions do not connect. */
export const LINK_VERSION = 1;

export const HELLO = 1;
export const NODES = 2;
export const DATA = 3;
export const ACK = 4;
export const PING = 5;
export const PONG = 6;
export const BYE = 7;

/** No larger frame is read. A record that does not fit into one cannot leave its host. */
export const FRAME_BYTES_MAX = 16 * 1_048_576;
/** Before the other side has said a good HELLO. */
export const HELLO_BYTES_MAX = 640;
/** Bytes that every frame has. */
export const FRAME_OVERHEAD = 12;
const HEAD = 8;
const DATA_HEAD = HEAD + 24;
/** Bytes of a DATA frame besides its records. */
export const DATA_OVERHEAD = DATA_HEAD + 4;
const ACK_BYTES = 28;
/** Acknowledgements that one frame takes. */
export const ACKS_MAX = 1_024;
/** Nodes of one host. */
export const NODES_MAX = 4_096;
const RECORD_WORDS_MIN = 4;
/** Between two positions of one stream that are compared. */
const RANGE_WORDS_MAX = 0x3fff_ffff;

/** ACK flags. */
const ACK_CONTROL = 1;
const ACK_GAP = 2;

/** What a host says about one of its nodes. */
export interface NodeInfo {
  readonly id: number;
  readonly name: string;
  /** When its lanes segment was made, ms; 0 = it never started, or was removed. */
  readonly created: number;
  readonly presence: Presence;
}

/** As in runtime/presence.ts, on its own host. */
export type Presence = 'in' | 'out' | 'gone';
const PRESENCES: readonly Presence[] = ['gone', 'out', 'in'];

export interface HelloFrame {
  readonly kind: typeof HELLO;
  readonly version: number;
  readonly cluster: string;
  readonly host: string;
  /** When the lanes segment of that link was made. */
  readonly created: number;
  /** Which life of the link speaks. */
  readonly epoch: number;
}

export interface NodesFrame {
  readonly kind: typeof NODES;
  /** That of HELLO. */
  readonly epoch: number;
  readonly serial: number;
  readonly nodes: readonly NodeInfo[];
}

export interface DataFrame {
  readonly kind: typeof DATA;
  readonly from: number;
  readonly to: number;
  readonly priority: number;
  /** 1 to 2^53 - 1 */
  readonly life: number;
  readonly start: number;
  readonly end: number;
  /** Words of whole records; a view of the frame. */
  readonly records: Int32Array;
}

export interface AckEntry {
  readonly from: number;
  readonly to: number;
  readonly priority: number;
  /** 1 to 2^53 - 1 */
  readonly life: number;
  /** All before this position is committed. */
  readonly got: number;
  /** Words that may follow. */
  readonly room: number;
  /** Something that lies beyond `got` came without what is before it. */
  readonly gap: boolean;
}

export interface AckFrame {
  readonly kind: typeof ACK;
  readonly acks: readonly AckEntry[];
}

export interface PingFrame {
  readonly kind: typeof PING | typeof PONG;
  readonly token: number;
}

export interface ByeFrame {
  readonly kind: typeof BYE;
  readonly code: string;
  readonly message: string;
}

export type Frame = HelloFrame | NodesFrame | DataFrame | AckFrame | PingFrame | ByeFrame;

/** What a host may be called, in a topology too. */
export const HOST_NAME = /^[a-z][a-z0-9-]{0,30}$/;
const NODE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const TEXT_BYTES_MAX = 255;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const padded = (bytes: number): number => (bytes + 3) & ~3;

// Writing.

/** A frame that is being written: made with its size, which is known. */
class Draft {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at = HEAD;

  constructor(kind: number, bodyBytes: number, priority = 0, count = 0) {
    const size = HEAD + bodyBytes + 4;
    if (size > FRAME_BYTES_MAX)
      throw new LinkError('LINK_RECORD_TOO_LARGE', `a frame of ${size} bytes; the largest has ${FRAME_BYTES_MAX}`);
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
    this.#view.setUint32(0, size, true);
    this.#view.setUint8(4, kind);
    this.#view.setUint8(5, priority);
    this.#view.setUint16(6, count, true);
  }

  u8(value: number): void {
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  f64(value: number): void {
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  text(bytes: Uint8Array): void {
    this.u8(bytes.length);
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  align(): void {
    this.#at = padded(this.#at);
  }

  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  seal(): Uint8Array {
    const end = this.bytes.length - 4;
    if (this.#at !== end) throw new TypeError(`a frame of ${this.bytes.length} bytes was filled up to ${this.#at}`);
    this.#view.setUint32(end, crc32(this.bytes.subarray(0, end)), true);
    return this.bytes;
  }
}

function textBytes(text: string): Uint8Array {
  const bytes = encoder.encode(text);
  return bytes.length <= TEXT_BYTES_MAX ? bytes : bytes.subarray(0, wholeUtf8(bytes, TEXT_BYTES_MAX));
}

/** The end of the last character that is whole within `most` bytes. */
function wholeUtf8(bytes: Uint8Array, most: number): number {
  let end = most;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return end;
}

/** @param hello.cluster, hello.host at most 255 bytes each; what is longer is cut */
export function encodeHello(hello: Omit<HelloFrame, 'kind' | 'version'>, version = LINK_VERSION): Uint8Array {
  const cluster = textBytes(hello.cluster);
  const host = textBytes(hello.host);
  const draft = new Draft(HELLO, 16 + padded(2 + cluster.length + host.length));
  draft.u32(version);
  draft.u32(hello.epoch);
  draft.f64(hello.created);
  draft.text(cluster);
  draft.text(host);
  draft.align();
  return draft.seal();
}

/** @param nodes at most NODES_MAX */
export function encodeNodes(epoch: number, serial: number, nodes: readonly NodeInfo[]): Uint8Array {
  if (nodes.length > NODES_MAX) throw new RangeError(`${nodes.length} nodes of one host; at most ${NODES_MAX}`);
  const names = nodes.map(node => encoder.encode(node.name));
  const bytes = names.reduce((sum, name) => sum + 4 + padded(2 + name.length) + 8, 0);
  const draft = new Draft(NODES, 8 + bytes, 0, nodes.length);
  draft.u32(epoch);
  draft.u32(serial);
  for (const [k, node] of nodes.entries()) {
    draft.u32(node.id);
    draft.u8(PRESENCES.indexOf(node.presence));
    draft.text(names[k]!);
    draft.align();
    draft.f64(node.created);
  }
  return draft.seal();
}

/** @param records whole records, of `end - start` words at most; may lie in shared memory, and is copied
 * @throws LinkError `LINK_RECORD_TOO_LARGE` */
export function encodeData(data: Omit<DataFrame, 'kind' | 'records'>, records: Uint8Array): Uint8Array {
  const draft = new Draft(DATA, DATA_HEAD - HEAD + records.length, data.priority);
  draft.u32(data.from);
  draft.u32(data.to);
  draft.f64(data.life);
  draft.u32(data.start);
  draft.u32(data.end);
  draft.raw(records);
  return draft.seal();
}

/** @param acks 1 to ACKS_MAX */
export function encodeAcks(acks: readonly AckEntry[]): Uint8Array {
  if (acks.length === 0 || acks.length > ACKS_MAX) throw new RangeError(`${acks.length} acknowledgements in one frame`);
  const draft = new Draft(ACK, acks.length * ACK_BYTES, 0, acks.length);
  for (const ack of acks) {
    draft.u32(ack.from);
    draft.u32(ack.to);
    draft.f64(ack.life);
    draft.u32(ack.got);
    draft.u32(ack.room);
    draft.u32((ack.priority === 1 ? ACK_CONTROL : 0) | (ack.gap ? ACK_GAP : 0));
  }
  return draft.seal();
}

export function encodePing(kind: typeof PING | typeof PONG, token: number): Uint8Array {
  const draft = new Draft(kind, 4);
  draft.u32(token);
  return draft.seal();
}

/** @param code at most 255 bytes, as is `message`; what is longer is cut */
export function encodeBye(code: string, message: string): Uint8Array {
  const texts = [textBytes(code), textBytes(message)];
  const draft = new Draft(BYE, padded(2 + texts[0]!.length + texts[1]!.length));
  for (const text of texts) draft.text(text);
  draft.align();
  return draft.seal();
}

export function encode(frame: Frame): Uint8Array {
  switch (frame.kind) {
    case HELLO:
      return encodeHello(frame, frame.version);
    case NODES:
      return encodeNodes(frame.epoch, frame.serial, frame.nodes);
    case DATA:
      return encodeData(
        frame,
        new Uint8Array(frame.records.buffer, frame.records.byteOffset, frame.records.byteLength),
      );
    case ACK:
      return encodeAcks(frame.acks);
    case BYE:
      return encodeBye(frame.code, frame.message);
    default:
      return encodePing(frame.kind, frame.token);
  }
}

// Reading.

function bad(what: string): never {
  throw new LinkError('LINK_BAD_FRAME', what, { severity: 'warn' });
}

/** Walks over the body of a frame and reads nothing beyond it. */
class Body {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  readonly end: number;
  at = HEAD;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#what = what;
    this.end = bytes.length - 4;
  }

  #take(bytes: number): number {
    const at = this.at;
    if (at + bytes > this.end) bad(`${this.#what} is cut short at byte ${at}`);
    this.at = at + bytes;
    return at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** A time in ms: finite, not negative, and -0 is not 0. */
  time(field: string): number {
    const value = this.#view.getFloat64(this.#take(8), true);
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY) || Object.is(value, -0))
      bad(`${this.#what}: ${field} is ${value}`);
    return value;
  }

  life(): number {
    const value = this.#view.getFloat64(this.#take(8), true);
    if (!Number.isSafeInteger(value) || value <= 0) bad(`${this.#what}: life is ${value}`);
    return value;
  }

  text(field: string): string {
    const bytes = this.u8();
    const at = this.#take(bytes);
    try {
      return decoder.decode(this.#bytes.slice(at, at + bytes));
    } catch {
      return bad(`${this.#what}: ${field} is not UTF-8`);
    }
  }

  zeros(): void {
    while (this.at % 4 !== 0) if (this.u8() !== 0) bad(`${this.#what}: byte ${this.at - 1} is not 0`);
  }

  done(): void {
    if (this.at !== this.end) bad(`${this.#what} has ${this.end - this.at} bytes too many`);
  }
}

const NAMES: Readonly<Record<number, string>> = {
  [HELLO]: 'HELLO',
  [NODES]: 'NODES',
  [DATA]: 'DATA',
  [ACK]: 'ACK',
  [PING]: 'PING',
  [PONG]: 'PONG',
  [BYE]: 'BYE',
};

/** Read one whole frame.
 * @param bytes of exactly one frame, not in shared memory; the records of DATA are a view of them where they begin at a
 * multiple of four
 * @throws LinkError `LINK_BAD_FRAME` saying what is wrong. Nothing else. */
export function decode(bytes: Uint8Array): Frame {
  const size = bytes.length;
  if (size < FRAME_OVERHEAD || size % 4 !== 0 || size > FRAME_BYTES_MAX) bad(`a frame of ${size} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, size);
  if (view.getUint32(0, true) !== size) bad(`a frame of ${size} bytes says ${view.getUint32(0, true)}`);
  if (crc32(bytes.subarray(0, size - 4)) !== view.getUint32(size - 4, true)) bad(`wrong checksum of ${size} bytes`);
  const kind = view.getUint8(4);
  const priority = view.getUint8(5);
  const count = view.getUint16(6, true);
  const what = NAMES[kind] ?? bad(`a frame of kind ${kind}`);
  if (priority > (kind === DATA ? 1 : 0)) bad(`${what} of priority ${priority}`);
  if (count !== 0 && kind !== NODES && kind !== ACK) bad(`${what} with ${count} entries`);
  const body = new Body(bytes, what);
  switch (kind) {
    case HELLO:
      return readHello(body);
    case NODES:
      return readNodes(body, count);
    case DATA:
      return readData(body, bytes, priority);
    case ACK:
      return readAcks(body, count);
    case BYE:
      return readBye(body);
    default:
      return readPing(body, kind as typeof PING | typeof PONG);
  }
}

function readHello(body: Body): HelloFrame {
  const version = body.u32();
  const epoch = body.u32();
  const created = body.time('created');
  const cluster = body.text('cluster');
  const host = body.text('host');
  body.zeros();
  body.done();
  if (!HOST_NAME.test(host)) bad(`HELLO of host ${JSON.stringify(host)}`);
  if (created === 0) bad('HELLO of a link without lanes');
  return { kind: HELLO, version, epoch, created, cluster, host };
}

function readNodes(body: Body, count: number): NodesFrame {
  if (count > NODES_MAX) bad(`NODES with ${count} entries`);
  const epoch = body.u32();
  const serial = body.u32();
  const nodes: NodeInfo[] = [];
  const ids = new Set<number>();
  const names = new Set<string>();
  for (let k = 0; k < count; k++) {
    const id = body.u32();
    const presence = PRESENCES[body.u8()] ?? bad('NODES: no such presence');
    const name = body.text('name');
    body.zeros();
    const created = body.time('created');
    if (!NODE_NAME.test(name)) bad(`NODES: a node cannot be called ${JSON.stringify(name)}`);
    if (ids.has(id) || names.has(name)) bad(`NODES: ${name} or its id comes twice`);
    ids.add(id);
    names.add(name);
    nodes.push({ id, name, created, presence });
  }
  body.done();
  return { kind: NODES, epoch, serial, nodes };
}

function readData(body: Body, bytes: Uint8Array, priority: number): DataFrame {
  const from = body.u32();
  const to = body.u32();
  const life = body.life();
  const start = body.u32();
  const end = body.u32();
  if (from === to) bad('DATA from a node to itself');
  const words = (body.end - body.at) / 4;
  const range = (end - start) >>> 0;
  if (words === 0 || words > range || range > RANGE_WORDS_MAX) bad(`DATA from ${start} to ${end} has ${words} words`);
  const records = wordsOf(bytes, body.at, words);
  checkRecords(records);
  return { kind: DATA, from, to, priority, life, start, end, records };
}

function wordsOf(bytes: Uint8Array, at: number, words: number): Int32Array {
  const from = bytes.byteOffset + at;
  if (from % 4 === 0) return new Int32Array(bytes.buffer as ArrayBuffer, from, words);
  // A Buffer's `slice` is no copy.
  return new Int32Array(new Uint8Array(bytes.subarray(at, at + words * 4)).buffer);
}

/** Whole records, one behind the other, as the inbox of a node would ask of a lane. */
function checkRecords(records: Int32Array): void {
  let at = 0;
  while (at < records.length) {
    const length = records[at]!;
    if (length < RECORD_WORDS_MIN || length % RECORD_WORDS_MIN !== 0 || at + length > records.length)
      bad(`DATA: a record of ${length} words at word ${at} of ${records.length}`);
    at += length;
  }
}

function readAcks(body: Body, count: number): AckFrame {
  if (count === 0 || count > ACKS_MAX) bad(`ACK with ${count} entries`);
  const acks: AckEntry[] = [];
  for (let k = 0; k < count; k++) {
    const from = body.u32();
    const to = body.u32();
    const life = body.life();
    const got = body.u32();
    const room = body.u32();
    const flags = body.u32();
    if (flags > (ACK_CONTROL | ACK_GAP)) bad(`ACK with flags ${flags}`);
    if (room > RANGE_WORDS_MAX) bad(`ACK with room for ${room} words`);
    if (from === to) bad('ACK of a node to itself');
    acks.push({
      from,
      to,
      life,
      got,
      room,
      priority: flags & ACK_CONTROL,
      gap: (flags & ACK_GAP) !== 0,
    });
  }
  body.done();
  return { kind: ACK, acks };
}

function readPing(body: Body, kind: typeof PING | typeof PONG): PingFrame {
  const token = body.u32();
  body.done();
  return { kind, token };
}

function readBye(body: Body): ByeFrame {
  const code = body.text('code');
  const message = body.text('message');
  body.zeros();
  body.done();
  return { kind: BYE, code, message };
}
