/** A client's socket as the gateway's logic sees it: `ws-server.ts` makes them, tests fake them. */
export interface ClientSocket {
  /** @param frame not changed afterwards; it may be shared by sockets */
  send(frame: Uint8Array): void;
  /** Say why, after what was sent before. */
  close(code: number, reason: string): void;
  /** Drop the connection. */
  terminate(): void;
  /** Take nothing more from it for now: what it sends waits in the network. */
  pause(): void;
  resume(): void;
  ping(): void;
  /** Frames sent between the two go out in one write. */
  cork(): void;
  uncork(): void;
  /** Bytes that were sent and that the network has not taken. */
  readonly bufferedBytes: number;
  /** Bytes that the network has taken since the connection began. */
  readonly flushedBytes: number;
}
