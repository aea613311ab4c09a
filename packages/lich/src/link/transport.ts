/** What carries frames between hosts. The streams (sender.ts, receiver.ts) number, acknowledge and repeat what they send,
 * so a transport may lose, double, delay and reorder frames; it must not change them: what was changed on the way is
 * found by the frame's checksum, at the cost of the connection.
 *
 * testing/transports.test-bed.ts has what every transport must do. */
import type { LinkError } from './errors.ts';

/** One way to one other host, from the moment at which that host has proved who it is. */
export interface Connection {
  /** As it was proved. */
  readonly host: string;
  /** Did this side call the other? It speaks first then. */
  readonly dialled: boolean;
  /** Give it a whole frame, which is not used by the caller any more.
   * @returns false when enough waits: send no more before `onDrain`. The frame was taken all the same. */
  send(frame: Uint8Array): boolean;
  /** End it: what was given before is sent if that can be done in a moment. `onClosed` is told, once, later. */
  close(why: LinkError): void;
  /** Larger frames that come end the connection. HELLO_BYTES_MAX at first. */
  maxFrameBytes: number;
  /** No larger frame can be sent. */
  readonly mostFrameBytes: number;
  /** Told each whole frame; good in the call alone, begins at a multiple of four bytes. What it throws ends the connection
   * with it. */
  onFrame: (frame: Uint8Array) => void;
  /** There is room again. */
  onDrain: () => void;
  /** Once. Nothing is told after it. */
  onClosed: (why: LinkError) => void;
}

/** Told what happens. None of them throws. */
export interface TransportEvents {
  /** There is a way to that host, besides the one that there may have been: the newest counts. `onFrame` and the others are
   * set in this call; the first frame comes after it. */
  connected(connection: Connection): void;
  /** Something failed before there was a connection.
   * @param host undefined where that is not known */
  failed(host: string | undefined, why: LinkError): void;
}

/** Where a host is. */
export interface HostAddress {
  /** How others reach it, where they do so themselves: `10.0.0.1:7400`, `[fd00::1]:7400`, `a.example:7400`. */
  readonly address?: string;
  /** Where it listens, if that is not the same. */
  readonly listen?: string;
}

/** Keeps connections to the other hosts: one for each pair. */
export interface Transport {
  /** Begin to listen and to call. @throws LinkError `LINK_LISTEN`, `LINK_INSECURE`, `LINK_BAD_OPTION` */
  open(events: TransportEvents): Promise<void>;
  /** Where it listens, once it is open. */
  readonly address: string;
  /** End all and wait for nobody. */
  close(): Promise<void>;
}

/** What every transport is made with. */
export interface TransportOptions {
  /** This host. */
  readonly host: string;
  readonly cluster: string;
  /** All hosts, this one among them. */
  readonly hosts: ReadonlyMap<string, HostAddress>;
}
