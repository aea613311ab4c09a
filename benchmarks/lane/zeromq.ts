/** The part of zeromq.js that is used. */
import { loadPeer } from '../lib/trial.ts';

export interface Socket {
  bind(address: string): Promise<void>;
  /** What it is bound to. */
  readonly lastEndpoint: string;
  connect(address: string): void;
  send(message: Uint8Array): Promise<void>;
  receive(): Promise<Uint8Array[]>;
  close(): void;
}

export interface ZeroMq {
  Push: new (options?: object) => Socket;
  Pull: new (options?: object) => Socket;
  Pair: new (options?: object) => Socket;
}

export const zeromq = (): Promise<ZeroMq> => loadPeer<ZeroMq>('zeromq');

/** Messages that may wait on each side. */
export const SEND = { sendHighWaterMark: 100_000, linger: 0 };
export const RECEIVE = { receiveHighWaterMark: 100_000, linger: 0 };
