import { defineTopic, INFO, type Row, type Size, type Skip } from '../lib/bench.ts';
import { PeerMissing, runTrial } from '../lib/trial.ts';
import type { At, OursInput } from './ours.ts';
import { histogramOf, type TakeoverInput } from './world.ts';

/** At most so long, ms. */
const FRAME = 16.7;
const COLD = 300;
/** Watchdog of a trial: each kill waits for the next standby to have rehearsed. */
const TRIAL_MS = 3_600_000;
/** A message of the first 1,000 may take so many times that of the steady state. */
const COLD_CODE = 3;

/** Of a world: MiB; kills of each case with a standby, fewer where it is only shown; restarts of each peer. */
interface WorldSize {
  readonly mib: number;
  readonly kills: number;
  readonly peerKills: number;
}

const sizes: Record<Size, readonly WorldSize[]> = {
  small: [{ mib: 1, kills: 2, peerKills: 1 }],
  full: [
    { mib: 16, kills: 100, peerKills: 5 },
    { mib: 1_024, kills: 50, peerKills: 3 },
  ],
};

const CASES: readonly { what: string; kind: OursInput['kind']; at: At; goal: number; share: number }[] = [
  { what: 'at rest', kind: 'warm', at: 'rest', goal: FRAME, share: 1 },
  { what: 'at full load', kind: 'warm', at: 'load', goal: FRAME, share: 1 },
  { what: 'both cores busy', kind: 'warm', at: 'hogs', goal: FRAME, share: 0.25 },
  { what: 'at full load, unrehearsed', kind: 'unrehearsed', at: 'load', goal: FRAME, share: 0.1 },
  { what: 'no standby', kind: 'cold', at: 'rest', goal: COLD, share: 0.05 },
];

const PEERS = [
  { file: 'peer-file', name: 'fork and load a file' },
  { file: 'peer-cluster', name: 'node:cluster and a file' },
  { file: 'peer-redis', name: 'redis-server' },
];

export default defineTopic({
  name: 'takeover',
  summary:
    'from the SIGKILL of a node with many records to the first message that its next life handles, and the 1,000 after',
  async *rows(size) {
    const folder = import.meta.dirname;
    for (const { mib, kills, peerKills } of sizes[size]) {
      const peers: { name: string; p50: number; range: readonly [number, number] }[] = [];
      for (const { file, name } of PEERS) {
        try {
          const input: TakeoverInput = { size, mib, kills: peerKills };
          const { figures } = await runTrial(folder, { file, input });
          peers.push({ name, p50: figures.p50, range: [figures.min, figures.max] });
        } catch (error) {
          if (!(error instanceof PeerMissing)) throw error;
          yield { metric: `${mib} MiB, p50`, peer: name, skipped: error.message } satisfies Skip;
        }
      }
      for (const { what, kind, at, goal, share } of CASES) {
        const input: OursInput = { size, mib, kills: Math.ceil(kills * share), kind, at };
        const { figures } = await runTrial(folder, { file: 'ours', input, options: { timeoutMs: TRIAL_MS } });
        const ours = [figures.min, figures.max] as const;
        const row = { unit: 'ms', better: 'less', spread: { ours } } as const;
        const isHeld = kind !== 'unrehearsed';
        yield {
          ...row,
          metric: `${mib} MiB, ${what}, p99 of ${input.kills}`,
          ours: figures.p99,
          peer: 'goal',
          peerValue: goal,
          goal: isHeld ? 1 : INFO,
          note: histogramOf(figures),
        } satisfies Row;
        if (at === 'load')
          yield {
            metric: `${mib} MiB, ${what}, a message of the first 1,000`,
            unit: 'us',
            better: 'less',
            ours: figures.firstUs,
            peer: 'steady state',
            peerValue: figures.steadyUs,
            goal: isHeld ? 1 / COLD_CODE : INFO,
          } satisfies Row;
        if (at !== 'rest') continue;
        for (const peer of peers)
          yield {
            ...row,
            metric: `${mib} MiB, ${what}, p50`,
            ours: figures.p50,
            peer: peer.name,
            peerValue: peer.p50,
            goal: INFO,
            spread: { ours, peer: peer.range },
          } satisfies Row;
      }
    }
  },
});
