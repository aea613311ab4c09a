/** Timers of the runtime's own: they wait in the wheel among the own messages, under numbers that no message is given. */
import { TYPE_MASK } from '../state/index.ts';

/** A machine's state is over, see machine-timeouts.ts. */
export const TIMEOUT = TYPE_MASK;
/** A request has not been answered in time, see requests.ts. */
export const ASK = TYPE_MASK - 1;
/** An answer had no room in its lane, see replies.ts. */
export const LATE_REPLY = TYPE_MASK - 2;

/** Numbers of messages are below. */
export const RUNTIME_NUMBERS = TYPE_MASK - 15;

/** What is done about one kind of them. */
export interface RuntimeTimer {
  /** In the log, after "handler". */
  readonly what: string;
  /** Its time stands still while no process runs. */
  readonly shifts: boolean;
  /** It is due, a transaction is open: take it out of the wheel, or move it. After a throw it is taken out. */
  fire(slot: number): void;
}
