import { CodedError } from '@lich/schema';

/** What can go wrong on the bus; docs/errors.md says when, and what to do. */
export type BusCode =
  | 'BUS_UNKNOWN_NODE'
  | 'BUS_NODE_ID_TAKEN'
  | 'BUS_TOO_MANY_NODES'
  | 'BUS_TOO_MANY_LANES'
  | 'BUS_NO_ROOM'
  | 'BUS_RECORD_TOO_LARGE'
  | 'BUS_CORRUPT_LANE'
  | 'BUS_BAD_RUN'
  | 'BUS_FULL'
  | 'BUS_REMEMBERED'
  | 'BUS_IDS'
  | 'BUS_WAITING'
  | 'BUS_UNDECLARED';

/** A message that cannot be sent, a node that is not there, a lane that cannot be read. */
export class BusError extends CodedError<BusCode> {}
