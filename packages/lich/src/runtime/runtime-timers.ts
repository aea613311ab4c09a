/** Timers of the runtime's own: they wait in the wheel among the own messages, under numbers that no message is given. */
import { TYPE_MASK } from '../state/index.ts';

/** A machine's state is over, see machine-timeouts.ts. */
export const TIMEOUT = TYPE_MASK;
/** A request has not been answered in time, see requests.ts. */
export const ASK = TYPE_MASK - 1;
/** An answer had no room in its lane, see replies.ts. */
export const LATE_REPLY = TYPE_MASK - 2;

/** A flow goes on, or has slept, see flows/engine.ts. */
export const FLOW = TYPE_MASK - 3;
/** A flow's deadline is over. */
export const FLOW_LATE = TYPE_MASK - 4;

/** Numbers of messages are below. */
export const RUNTIME_NUMBERS = TYPE_MASK - 15;

/** What is done about one kind of them. */
export interface RuntimeTimer {
  /** In the log, after "handler". */
  readonly what: string;
  /** Its time stands still while no process runs. */
  readonly shifts: boolean;
  /** It is due, no transaction is open. Never throws. */
  prepare?(slot: number): void;
  /** It is due, a transaction is open: take it out of the wheel, or move it. After a throw it is taken out. */
  fire(slot: number): void;
  /** What `fire` did is undone, another transaction is open: take it out, or move it. */
  threw?(slot: number, error: unknown): void;
  /** It ended the process again and again, and is taken out. In a transaction. */
  suspend?(slot: number): void;
}
