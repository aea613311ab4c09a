import { closeNameOf } from '@lich/schema';

/** What a gateway did since its process began. */
export interface GatewayFigures {
  readonly name: string;
  readonly epoch: number;
  readonly sessions: number;
  readonly sockets: number;
  /** Sessions that wait for their client to come back. */
  readonly away: number;
  readonly framesIn: number;
  readonly framesOut: number;
  readonly bytesOut: number;
  /** Messages that were accepted already when they came (again). */
  readonly repeated: number;
  readonly joined: number;
  readonly resumed: number;
  readonly left: number;
  /** Pictures that were asked for because output was gone. */
  readonly pictures: number;
  /** Messages of nodes that a gateway does not take, and ones in bytes that are none. */
  readonly unknown: number;
  readonly illFormed: number;
  /** Sockets that the gateway closed, by the name of the close code. */
  readonly closed: Readonly<Record<string, number>>;
}

export class Counts {
  framesIn = 0;
  repeated = 0;
  joined = 0;
  resumed = 0;
  left = 0;
  pictures = 0;
  unknown = 0;
  illFormed = 0;
  readonly closed: Record<string, number> = {};

  close(code: number): void {
    const name = closeNameOf(code) ?? String(code);
    this.closed[name] = (this.closed[name] ?? 0) + 1;
  }
}
