/** What a storm found: the last line of `npm run storm -- --json`. */
import type { Spread } from './figures.ts';

/** Whom a kill hits: the scene's owner, the same before a standby is warm again, its standby, a gateway. */
export type Target = 'scene' | 'again' | 'standby' | 'gateway';

export interface StormResult {
  readonly kills: number;
  /** Kills of the scene after which another process went on. */
  readonly takeovers: number;
  /** ms from the SIGKILL to the first output of the next life, as each bot saw it, where a standby was warm. */
  readonly sinceKillMs: Spread;
  /** ms of the silence before that output: the ordinary time between two frames, 16.7 ms, is part of it. */
  readonly gapMs: Spread;
  /** The same where no standby was warm. */
  readonly coldGapMs: Spread;
  /** Messages that did not take effect, and that took effect twice. */
  readonly lost: number;
  readonly doubled: number;
  /** Rules that a snapshot from outside broke. */
  readonly torn: number;
  /** Sockets closed while their gateway lived. */
  readonly disconnects: number;
  /** Damaged structures, and processes that ended by themselves. */
  readonly violations: number;
  readonly killed: Readonly<Record<Target, number>>;
  readonly bots: number;
  readonly seed: number;
  readonly seconds: number;
  /** Handled by the scene. */
  readonly messages: number;
  /** Counters of the server that were held against a ledger. */
  readonly checks: number;
  readonly snapshots: number;
}
