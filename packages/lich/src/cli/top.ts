/** `lich top`: nodes and what goes between them, now. Live in a terminal; plain text, once, into a pipe. */
import { parseArgs } from 'node:util';
import { BusLook, type PairLook } from '../bus/index.ts';
import { MetricsSource, type Phase, PHASES } from '../runtime/index.ts';
import { listSegments } from '../shm/index.ts';
import { useDir } from './source.ts';
import { print } from './text.ts';
import { type Frame, linesOf, type NodeRow, type PairRow } from './top-view.ts';
import { UsageError } from './usage.ts';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const TO_LINE_END = '\x1b[K';
const TO_END = '\x1b[J';

/** q, Q, Ctrl-C, Ctrl-D. */
const ENDS = [0x71, 0x51, 0x03, 0x04];

/** What was read at one moment. */
interface Reading {
  readonly atMs: number;
  readonly samples: ReadonlyMap<string, ReadonlyMap<string, number>>;
  readonly stateBytes: ReadonlyMap<string, number>;
  readonly pairs: readonly PairLook[];
}

/** @returns 1 when there are no nodes */
export async function top(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      dir: { type: 'string' },
      every: { type: 'string', default: '1' },
      times: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const seconds = Number(values.every);
  if (!(seconds >= 0.1 && seconds <= 3600))
    throw new UsageError(`--every wants seconds 0.1..3600, not ${values.every}`);
  const isLive = process.stdout.isTTY && !values.json && values.times === undefined;
  const times = values.times === undefined ? (isLive ? Number.POSITIVE_INFINITY : 1) : Number(values.times);
  if (!(times >= 1)) throw new UsageError(`--times wants a number, not ${values.times}`);
  const watch = new Watch(useDir(values.dir));
  try {
    if (watch.names().length === 0) {
      print(`there are no nodes in ${watch.dir}`);
      return 1;
    }
    watch.begin();
    if (isLive) await live(watch, seconds * 1_000);
    else {
      for (let n = 0; n < times; n++) {
        await new Promise(resolve => setTimeout(resolve, seconds * 1_000));
        const frame = watch.next();
        if (values.json) print(JSON.stringify(frame));
        else for (const line of linesOf(frame, { width: widthOf(), height: 10_000 })) print(line);
        if (n + 1 < times && !values.json) print();
      }
    }
    return 0;
  } finally {
    watch.close();
  }
}

const widthOf = (): number => (process.stdout.isTTY ? (process.stdout.columns ?? 80) : Number.POSITIVE_INFINITY);

/** Until `q` or Ctrl-C. */
async function live(watch: Watch, everyMs: number): Promise<void> {
  const { stdin, stdout } = process;
  let frame: Frame | undefined;
  const draw = (): void => {
    const height = (stdout.rows ?? 24) - 1;
    const lines = frame === undefined ? ['looking …'] : linesOf(frame, { width: stdout.columns ?? 80, height });
    stdout.write(`${HOME}${lines.map(line => `${line}${TO_LINE_END}\r\n`).join('')}q ends it${TO_LINE_END}${TO_END}`);
  };
  let end!: () => void;
  const ended = new Promise<void>(resolve => (end = resolve));
  const onKey = (keys: Buffer): void => {
    if (keys.some(key => ENDS.includes(key))) end();
  };
  const isRaw = stdin.isTTY;
  if (isRaw) stdin.setRawMode(true);
  stdin.on('data', onKey);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
  stdout.on('resize', draw);
  stdout.write(ENTER);
  draw();
  const timer = setInterval(() => {
    frame = watch.next();
    draw();
  }, everyMs);
  try {
    await ended;
  } finally {
    clearInterval(timer);
    stdout.off('resize', draw);
    stdout.write(LEAVE);
    if (isRaw) stdin.setRawMode(false);
    stdin.off('data', onKey);
    stdin.pause();
  }
}

/** Readings, and what changed from one to the next. */
class Watch {
  readonly dir: string;
  readonly #bus: BusLook;
  readonly #metrics: MetricsSource;
  #last: Reading | undefined;

  constructor(dir: string) {
    this.dir = dir;
    this.#bus = new BusLook(dir);
    this.#metrics = new MetricsSource(dir);
  }

  names(): string[] {
    return listSegments(this.dir).flatMap(({ name, segments }) => (segments.length > 0 ? [name] : []));
  }

  begin(): void {
    this.#last = this.#read();
  }

  #read(): Reading {
    const names = this.names();
    const samples = new Map<string, Map<string, number>>(names.map(name => [name, new Map()]));
    const stateBytes = new Map<string, number>();
    for (const sample of this.#metrics.samples(names)) {
      const node = sample.labels.node!;
      samples.get(node)?.set(sample.metric, sample.value);
      if (sample.metric === 'lich_segment_bytes') stateBytes.set(node, (stateBytes.get(node) ?? 0) + sample.value);
    }
    return { atMs: performance.now(), samples, stateBytes, pairs: this.#bus.pairs({ count: false }) };
  }

  next(): Frame {
    const last = this.#last!;
    const now = this.#read();
    this.#last = now;
    const seconds = (now.atMs - last.atMs) / 1_000;
    const before = new Map(last.pairs.map(pair => [`${pair.from} ${pair.to}`, pair]));
    const pairs = now.pairs.map((pair): PairRow => {
      const then = before.get(`${pair.from} ${pair.to}`);
      // A pair that is new began within the interval; one that was made anew began again at 0.
      const grew = (of: 'messages' | 'bytes'): number => Math.max(0, pair[of] - (then?.[of] ?? 0)) / seconds;
      const latency = pair.latency.map((samples, k) => Math.max(0, samples - (then?.latency[k] ?? 0)));
      return { ...pair, latency, messagesPerS: grew('messages'), bytesPerS: grew('bytes') };
    });
    const nodes = [...now.samples].map(([name, values]): NodeRow => {
      const then = last.samples.get(name);
      const grew = (metric: string): number | undefined => {
        const value = values.get(metric);
        const value0 = then?.get(metric);
        return value === undefined || value0 === undefined ? undefined : Math.max(0, value - value0) / seconds;
      };
      const sum = (of: PairRow[], what: 'messagesPerS' | 'waitingBytes'): number => of.reduce((s, p) => s + p[what], 0);
      const incoming = pairs.filter(({ to }) => to === name);
      return {
        name,
        status: statusOf(values),
        life: values.get('lich_node_epoch') ?? 0,
        cpu: grew('lich_process_cpu_seconds_total'),
        ownBytes: values.get('lich_process_private_bytes') ?? 0,
        stateBytes: now.stateBytes.get(name) ?? 0,
        commitsPerS: grew('lich_commits_total') ?? 0,
        inPerS: sum(incoming, 'messagesPerS'),
        outPerS: sum(
          pairs.filter(({ from }) => from === name),
          'messagesPerS',
        ),
        waitingBytes: sum(incoming, 'waitingBytes'),
      };
    });
    return { dir: this.dir, atMs: Date.now(), nodes, pairs };
  }

  close(): void {
    this.#bus.close();
    this.#metrics.close();
  }
}

/** A node that nobody owns shows the phase in which it was left. */
function statusOf(values: ReadonlyMap<string, number>): Phase | 'out' {
  if (values.get('lich_node_up') === 1) return 'serving';
  const isOwned = values.has('lich_process_private_bytes');
  const phase = PHASES[values.get('lich_node_phase') ?? 0] ?? 'none';
  return isOwned && phase !== 'serving' ? phase : 'out';
}
