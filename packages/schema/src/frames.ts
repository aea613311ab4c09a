/** Frames between client and gateway: one binary WebSocket message each, the first byte says which.
 *
 *   client -> gateway
 *     1 HELLO    u8 version, text protocolHash, text stateHash, bytes token (0 or 16), varint lastSeq (0 = none)
 *     2 MESSAGE  varint n (1, 2, 3 … per session, resent unchanged), varint ackSeq, varint message id, payload
 *     3 ACK      varint seq
 *     4 BYE      the player leaves now
 *   gateway -> client
 *     1 WELCOME  bytes token (16), u8 resumed, varint lastN, varint seq, varint pool index + 1 (0 = no record), varint slot,
 *                varint generation, varint tickHz * 1000
 *     2 OUT      varint seq, varint ackN, u8 kind, body
 *        1 PICTURE  all in view (sync.ts)
 *        2 DELTA    what changed (sync.ts)
 *        3 EVENT    varint message id, payload
 *        4 REPLY    varint n, u8 ok, then the reply's payload, or text code, text message
 *        5 EPOCH    varint epoch, text reason
 *     3 TAKEN    varint n
 *
 * seq only grows and has gaps; n has none. ackSeq is the last seq that the client handled.
 *
 * ackN, and the n of TAKEN: all messages up to it are taken, which means that they will be done whatever process is
 * killed; 0 says nothing. In a PICTURE it means more: they were done before it was made, and their replies have a seq
 * below its own. (Frames that go to everybody are the same bytes for all, so what is taken is said beside them.) */
import type { Ref } from './ref-value.ts';
import { malformed, Reader, type Writer } from './wire.ts';

/** Version of the client frames: HELLO says it, and a gateway takes no other. */
export const WIRE_VERSION = 1;
/** Bytes of a session token. */
export const TOKEN_BYTES = 16;

/** Why a gateway closed a socket. A client reconnects after codes where `mayRetry` says so. */
export const CloseCode = {
  /** A frame that does not decode, or one that is not allowed now. */
  MALFORMED: 4400,
  /** The token is not one of a session here. */
  BAD_TOKEN: 4401,
  /** Wire version, protocol or synced state differ: the client must be updated. */
  PROTOCOL_DIFFERS: 4406,
  /** More frames a second than the gateway allows. */
  TOO_FAST: 4408,
  /** A newer socket has taken the session. */
  REPLACED: 4409,
  /** The session ended: the player left, or was away too long. */
  SESSION_ENDED: 4410,
  /** Output for this session was lost and cannot be made up. */
  OUTPUT_LOST: 4412,
  /** A frame larger than the gateway allows. */
  FRAME_TOO_LARGE: 4413,
  /** The gateway holds all the sessions that it may. */
  TOO_MANY_SESSIONS: 4429,
  /** No service answers behind the gateway. */
  NO_SCENE: 4503,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];
/** `MALFORMED`, `BAD_TOKEN`, … */
export type CloseName = keyof typeof CloseCode;

/** The name of a close code, or undefined for one that is not ours. */
export function closeNameOf(code: number): CloseName | undefined {
  return (Object.keys(CloseCode) as CloseName[]).find(name => CloseCode[name] === code);
}

/** Whether connecting again with the same token can help. Codes that are not ours (a lost connection) may be retried. */
export function mayRetry(code: number): boolean {
  switch (code) {
    case CloseCode.NO_SCENE:
    case CloseCode.TOO_FAST:
    case CloseCode.TOO_MANY_SESSIONS:
    case CloseCode.OUTPUT_LOST:
      return true;
    default:
      return closeNameOf(code) === undefined;
  }
}

const HASH_UNITS_MAX = 64;
/** Longest reason of an EPOCH, in UTF-16 units. */
export const REASON_UNITS_MAX = 64;
/** Longest code of a refused REPLY, in UTF-16 units. */
export const ERROR_CODE_UNITS_MAX = 64;
/** Longest message of a refused REPLY, in UTF-16 units. */
export const ERROR_MESSAGE_UNITS_MAX = 1024;

const HELLO = 1;
const MESSAGE = 2;
const ACK = 3;
const BYE = 4;
const WELCOME = 1;
const OUT = 2;
const TAKEN = 3;

/** What an OUT frame carries. */
export const OutKind = { PICTURE: 1, DELTA: 2, EVENT: 3, REPLY: 4, EPOCH: 5 } as const;
export type OutKind = (typeof OutKind)[keyof typeof OutKind];

export interface HelloFrame {
  readonly type: 'hello';
  /** When it is not `WIRE_VERSION`, the other members are empty. */
  readonly version: number;
  readonly protocolHash: string;
  readonly stateHash: string;
  /** Undefined for a new session. */
  readonly token: Uint8Array | undefined;
  readonly lastSeq: number;
}
export interface MessageFrame {
  readonly type: 'message';
  readonly n: number;
  readonly ackSeq: number;
  readonly id: number;
  /** In place: valid as long as the frame's bytes are. */
  readonly payload: Uint8Array;
}
export interface AckFrame {
  readonly type: 'ack';
  readonly seq: number;
}
export interface ByeFrame {
  readonly type: 'bye';
}
/** What a client sends, decoded. */
export type ClientFrame = HelloFrame | MessageFrame | AckFrame | ByeFrame;

export interface WelcomeFrame {
  readonly type: 'welcome';
  readonly token: Uint8Array;
  /** False when the session is new, also when a token was given that is not known any more. */
  readonly resumed: boolean;
  /** Highest n that was accepted: the client resends from the next. */
  readonly lastN: number;
  /** HELLO's lastSeq when all output after it follows. 0 when that is gone or was another gateway's: any seq may follow,
   * and the first output is a PICTURE. */
  readonly seq: number;
  /** The player's record and the index of its pool in `state.pools`, undefined when there is none. */
  readonly me: (Ref & { readonly poolIndex: number }) | undefined;
  readonly tickHz: number;
}
export interface OutFrame {
  readonly type: 'out';
  readonly seq: number;
  readonly ackN: number;
  readonly kind: OutKind;
  /** In place: valid as long as the frame's bytes are. */
  readonly body: Uint8Array;
}
export interface TakenFrame {
  readonly type: 'taken';
  readonly n: number;
}
/** What a gateway sends, decoded. */
export type GatewayFrame = WelcomeFrame | OutFrame | TakenFrame;

// client -> gateway

/** The first frame of a connection. */
export function writeHello(writer: Writer, hello: Omit<HelloFrame, 'type' | 'version'>): void {
  writer.u8(HELLO);
  writer.u8(WIRE_VERSION);
  writer.text(hello.protocolHash);
  writer.text(hello.stateHash);
  writer.bytes(hello.token ?? new Uint8Array(0));
  writer.varint(hello.lastSeq);
}

/** The payload follows, by `payloadCodecOf(message).write`. */
export function writeMessage(writer: Writer, n: number, ackSeq: number, id: number): void {
  writer.u8(MESSAGE);
  writer.varint(n);
  writer.varint(ackSeq);
  writer.varint(id);
}

/** All output up to `seq` was handled. */
export function writeAck(writer: Writer, seq: number): void {
  writer.u8(ACK);
  writer.varint(seq);
}

/** The player leaves now. */
export function writeBye(writer: Writer): void {
  writer.u8(BYE);
}

/** Decode what a client sent. The payload of a message is checked by its codec, not here.
 * @throws SchemaError `SCHEMA_WIRE` */
export function readClientFrame(bytes: Uint8Array): ClientFrame {
  const reader = new Reader(bytes);
  const type = reader.u8();
  switch (type) {
    case HELLO: {
      const version = reader.u8();
      if (version !== WIRE_VERSION)
        return { type: 'hello', version, protocolHash: '', stateHash: '', token: undefined, lastSeq: 0 };
      const protocolHash = reader.text(HASH_UNITS_MAX);
      const stateHash = reader.text(HASH_UNITS_MAX);
      const token = reader.bytes(TOKEN_BYTES);
      if (token.length !== 0 && token.length !== TOKEN_BYTES) malformed(`a token of ${token.length} bytes`, reader.at);
      const lastSeq = reader.varint();
      reader.end();
      return {
        type: 'hello',
        version,
        protocolHash,
        stateHash,
        token: token.length === 0 ? undefined : token,
        lastSeq,
      };
    }
    case MESSAGE: {
      const n = reader.varint();
      if (n === 0) malformed('messages are numbered from 1', reader.at);
      return { type: 'message', n, ackSeq: reader.varint(), id: reader.varint(), payload: reader.rest() };
    }
    case ACK: {
      const seq = reader.varint();
      reader.end();
      return { type: 'ack', seq };
    }
    case BYE:
      reader.end();
      return { type: 'bye' };
    default:
      return malformed(`frame type ${type}`, 0);
  }
}

// gateway -> client

/** The session is taken. @throws TypeError for a token that is not 16 bytes */
export function writeWelcome(writer: Writer, welcome: Omit<WelcomeFrame, 'type'>): void {
  if (welcome.token.length !== TOKEN_BYTES)
    throw new TypeError(`a token has ${TOKEN_BYTES} bytes, not ${welcome.token.length}`);
  writer.u8(WELCOME);
  writer.bytes(welcome.token);
  writer.u8(welcome.resumed ? 1 : 0);
  writer.varint(welcome.lastN);
  writer.varint(welcome.seq);
  writer.varint(welcome.me === undefined ? 0 : welcome.me.poolIndex + 1);
  writer.varint(welcome.me?.slot ?? 0);
  writer.varint(welcome.me?.generation ?? 0);
  writer.varint(Math.round(welcome.tickHz * 1000));
}

/** The body follows, by `raw` or by one of the writers below. */
export function writeOut(writer: Writer, seq: number, ackN: number, kind: OutKind): void {
  writer.u8(OUT);
  writer.varint(seq);
  writer.varint(ackN);
  writer.u8(kind);
}

/** Messages up to n are taken: the client need not send them again. */
export function writeTaken(writer: Writer, n: number): void {
  writer.u8(TAKEN);
  writer.varint(n);
}

/** Start an EVENT body; the payload follows, by its codec. */
export function writeEvent(writer: Writer, id: number): void {
  writer.varint(id);
}

/** Start a REPLY body; the reply's payload follows, by `replyCodecOf(message).write`. */
export function writeReply(writer: Writer, n: number): void {
  writer.varint(n);
  writer.u8(1);
}

/** A REPLY body that says why there is none; texts past their limits are cut. */
export function writeReplyError(writer: Writer, n: number, code: string, message: string): void {
  writer.varint(n);
  writer.u8(0);
  writer.text(code.slice(0, ERROR_CODE_UNITS_MAX));
  writer.text(message.slice(0, ERROR_MESSAGE_UNITS_MAX));
}

/** An EPOCH body: the service lives its `epoch`-th life, for this reason. */
export function writeEpoch(writer: Writer, epoch: number, reason: string): void {
  writer.varint(epoch);
  writer.text(reason.slice(0, REASON_UNITS_MAX));
}

/** Decode what a gateway sent; bodies are decoded by `readSync`, `readEvent`, `readReply` and `readEpoch`.
 * @throws SchemaError `SCHEMA_WIRE` */
export function readGatewayFrame(bytes: Uint8Array): GatewayFrame {
  const reader = new Reader(bytes);
  const type = reader.u8();
  switch (type) {
    case WELCOME: {
      const token = reader.bytes(TOKEN_BYTES);
      if (token.length !== TOKEN_BYTES) malformed(`a token of ${token.length} bytes`, reader.at);
      const resumed = flag(reader);
      const lastN = reader.varint();
      const seq = reader.varint();
      const poolNumber = reader.varint();
      const slot = reader.varint();
      const generation = reader.varint();
      if (slot > 0xffff_ffff || generation > 0xffff_ffff) malformed('a ref past 32 bits', reader.at);
      if ((poolNumber === 0) !== (generation === 0)) malformed('half a ref', reader.at);
      const tickHz = reader.varint() / 1000;
      reader.end();
      return {
        type: 'welcome',
        token,
        resumed,
        lastN,
        seq,
        me: poolNumber === 0 ? undefined : { poolIndex: poolNumber - 1, slot, generation },
        tickHz,
      };
    }
    case OUT: {
      const seq = reader.varint();
      const ackN = reader.varint();
      const kind = reader.u8();
      if (kind < OutKind.PICTURE || kind > OutKind.EPOCH) malformed(`output kind ${kind}`, reader.at);
      return { type: 'out', seq, ackN, kind: kind as OutKind, body: reader.rest() };
    }
    case TAKEN: {
      const n = reader.varint();
      reader.end();
      return { type: 'taken', n };
    }
    default:
      return malformed(`frame type ${type}`, 0);
  }
}

/** The head of an EVENT body. @throws SchemaError `SCHEMA_WIRE` */
export function readEvent(body: Uint8Array): { readonly id: number; readonly payload: Uint8Array } {
  const reader = new Reader(body);
  return { id: reader.varint(), payload: reader.rest() };
}

/** A reply: its payload, or why there is none. */
export type ReplyBody =
  | { readonly n: number; readonly ok: true; readonly payload: Uint8Array }
  | { readonly n: number; readonly ok: false; readonly code: string; readonly message: string };

/** A REPLY body. @throws SchemaError `SCHEMA_WIRE` */
export function readReply(body: Uint8Array): ReplyBody {
  const reader = new Reader(body);
  const n = reader.varint();
  if (flag(reader)) return { n, ok: true, payload: reader.rest() };
  const code = reader.text(ERROR_CODE_UNITS_MAX);
  const message = reader.text(ERROR_MESSAGE_UNITS_MAX);
  reader.end();
  return { n, ok: false, code, message };
}

/** An EPOCH body. @throws SchemaError `SCHEMA_WIRE` */
export function readEpoch(body: Uint8Array): { readonly epoch: number; readonly reason: string } {
  const reader = new Reader(body);
  const epoch = reader.varint();
  const reason = reader.text(REASON_UNITS_MAX);
  reader.end();
  return { epoch, reason };
}

function flag(reader: Reader): boolean {
  const byte = reader.u8();
  return byte > 1 ? malformed(`${byte} is neither 0 nor 1`, reader.at) : byte === 1;
}
