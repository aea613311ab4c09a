/** How a benchmark is written. `benchmarks/<topic>/topic.ts` exports `defineTopic({…})` as its default; its contenders
 * are files beside it (`ours.ts`, `peer-lmdb.ts`, …), each with a function as its default export that does one trial
 * and returns what it measured. Every trial runs in a process of its own, and the contenders of a comparison take
 * turns, so that what else the machine does hits all of them: a figure is a ratio measured in one run. */
import { type TrialOptions, PeerMissing, runTrial } from './trial.ts';

export type Size = 'small' | 'full';

/** The goal of a row that is there to be known and promises nothing. */
export const INFO = 0;

/** One comparison, done. `small` is for `npm test`, which proves that it runs, and is no measurement. */
export interface Row {
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
  /** Whom we stand beside; `goal` where there is nobody, and then `peerValue` is the figure to hold. */
  readonly peer: string;
  readonly peerValue: number;
  /** Which direction is better. */
  readonly better: 'more' | 'less';
  /** How many times better than the peer we have to be; below 1 = so much worse is accepted. */
  readonly goal: number;
  /** Smallest and largest of the single trials, ours and the peer's. */
  readonly spread?: { readonly ours: readonly [number, number]; readonly peer?: readonly [number, number] };
  /** Said below the table: why a goal is missed, what the figure does not tell. */
  readonly note?: string;
}

/** A comparison that could not be made here; shown as one line. */
export interface Skip {
  readonly metric: string;
  readonly peer: string;
  readonly skipped: string;
}

export interface Topic {
  /** The name of the folder. */
  readonly name: string;
  /** One sentence: what is measured. */
  readonly summary: string;
  rows(size: Size): AsyncIterable<Row | Skip>;
}

export const defineTopic = (topic: Topic): Topic => topic;

/** What a trial gives back: a figure for each metric, and `work`, a digest of what was computed. Contenders that did
 * the same work must have the same `work`. */
export interface Measured {
  readonly figures: Readonly<Record<string, number>>;
  readonly work?: string | number;
}

/** A contender: a file beside the topic, without its ending, and what its function is called with (JSON). */
export interface Contender {
  readonly file: string;
  readonly input?: unknown;
  readonly options?: TrialOptions;
}

export interface Metric {
  /** Key in `figures`. */
  readonly figure: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: 'more' | 'less';
  readonly goal: number;
  readonly note?: string;
  /** Ours is the worst of the trials instead of their median, e.g. for a p99 to hold in each. */
  readonly worst?: boolean;
}

/** How many times better than the peer, above 1 = better, for costs too. */
export const ratioOf = (row: Pick<Row, 'ours' | 'peerValue' | 'better'>): number =>
  row.better === 'more' ? row.ours / row.peerValue : row.peerValue / row.ours;

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

const rangeOf = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];

/** One figure of all trials: their median, or the worst one. */
function summary(trials: readonly Measured[], { figure, better, worst }: Metric): { value: number; all: number[] } {
  const all = trials.map(({ figures }) => {
    if (typeof figures[figure] !== 'number') throw new TypeError(`a trial measured no \`${figure}\``);
    return figures[figure];
  });
  return { value: !worst ? median(all) : better === 'more' ? Math.min(...all) : Math.max(...all), all };
}

export interface Comparison {
  /** `import.meta.dirname` of the topic: where the contenders' files are. */
  readonly folder: string;
  readonly ours: Contender;
  /** By the name that the table shows. */
  readonly peers: Readonly<Record<string, Contender>>;
  /** The metrics beside each peer; a goal may differ from peer to peer. */
  readonly metrics: (peer: string) => readonly Metric[];
  /** Trials of each contender. Default 5; 1 in the small size. */
  readonly rounds?: number;
}

/** Runs ours and the peers in turns and yields a row for each metric and peer. A peer that is not installed is a skip. */
export async function* compare(size: Size, comparison: Comparison): AsyncGenerator<Row | Skip> {
  const { folder, ours, peers, metrics } = comparison;
  const rounds = size === 'small' ? 1 : (comparison.rounds ?? 5);
  const missing = new Map<string, string>();
  const mine: Measured[] = [];
  const theirs = new Map<string, Measured[]>(Object.keys(peers).map(name => [name, []]));
  for (let round = 0; round < rounds; round++) {
    mine.push(await runTrial(folder, ours));
    for (const [name, peer] of Object.entries(peers)) {
      if (missing.has(name)) continue;
      try {
        theirs.get(name)!.push(await runTrial(folder, peer));
      } catch (error) {
        if (!(error instanceof PeerMissing)) throw error;
        missing.set(name, error.message);
      }
    }
  }
  for (const [name, trials] of theirs) {
    for (const metric of metrics(name)) {
      if (missing.has(name)) {
        yield { metric: metric.metric, peer: name, skipped: missing.get(name)! };
        continue;
      }
      for (const trial of trials) sameWork(mine[0], trial, name);
      const our = summary(mine, metric);
      const their = summary(trials, { ...metric, worst: false });
      const { unit, better, goal, note } = metric;
      const spread = { ours: rangeOf(our.all), peer: rangeOf(their.all) };
      yield {
        metric: metric.metric,
        unit,
        ours: our.value,
        peer: name,
        peerValue: their.value,
        better,
        goal,
        spread,
        note,
      };
    }
  }
}

function sameWork(our: Measured, their: Measured, name: string): void {
  if (our.work === undefined || their.work === undefined || our.work === their.work) return;
  throw new Error(`the contenders did different work: ours ${our.work}, ${name} ${their.work}`);
}

/** Where there is no peer: runs ours alone and holds each figure against a number. `goal` of the metric is that
 * number here; the row's goal is 1. */
export async function* hold(
  size: Size,
  {
    folder,
    ours,
    metrics,
    rounds = 5,
  }: Omit<Comparison, 'peers' | 'metrics'> & { readonly metrics: readonly Metric[] },
): AsyncGenerator<Row> {
  const trials: Measured[] = [];
  for (let round = 0; round < (size === 'small' ? 1 : rounds); round++) trials.push(await runTrial(folder, ours));
  for (const metric of metrics) {
    const { value, all } = summary(trials, metric);
    const { unit, better, goal, note } = metric;
    const spread = { ours: rangeOf(all) };
    yield { metric: metric.metric, unit, ours: value, peer: 'goal', peerValue: goal, better, goal: 1, spread, note };
  }
}
