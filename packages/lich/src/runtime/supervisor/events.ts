/** What a supervisor saw or did; pids are of this host. */
export type SupervisorEvent =
  | { readonly type: 'started'; readonly node: string; readonly pid: number }
  /** A process that another supervisor had started is watched by this one. */
  | { readonly type: 'adopted'; readonly node: string; readonly pid: number }
  | { readonly type: 'ready'; readonly node: string; readonly address: string | undefined; readonly pid: number }
  | {
      readonly type: 'exited';
      readonly node: string;
      readonly pid: number;
      /** Neither signal nor code: it was adopted, and nobody says. */
      readonly signal: string | undefined;
      readonly code: number | undefined;
      readonly logFile: string;
    }
  | { readonly type: 'takeover'; readonly node: string; readonly pid: number }
  /** It showed no sign of life, and is killed. */
  | { readonly type: 'hung'; readonly node: string; readonly pid: number; readonly polls: number }
  /** It has more memory for itself than its entry allows, and has to end. */
  | {
      readonly type: 'memory';
      readonly node: string;
      readonly pid: number;
      readonly bytes: number;
      readonly limitBytes: number;
    }
  /** It dies again and again: the next start waits. */
  | { readonly type: 'backOff'; readonly node: string; readonly crashes: number; readonly delayMs: number }
  /** It died `crashes` times in a row: nothing is started any more. The state is left as it is. */
  | { readonly type: 'down'; readonly node: string; readonly crashes: number; readonly why: string }
  /** The same, and it goes on from a dump; the state that killed was moved to `evidence`. */
  | { readonly type: 'restored'; readonly node: string; readonly dump: string; readonly evidence: string }
  /** Its processes were ended because somebody asked for it, or because the topology has no such node any more. */
  | { readonly type: 'stopped'; readonly node: string; readonly why: string }
  /** The topology has no such node any more, and messages wait for it. */
  | {
      readonly type: 'waits';
      readonly node: string;
      readonly from: string;
      readonly messages: number;
      readonly bytes: number;
    }
  | { readonly type: 'gaveUp'; readonly node: string; readonly logFile: string };
