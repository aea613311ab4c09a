/** Metrics of a cluster in Prometheus' text format, from shared memory: what nodes count (counters.ts), and what their
 * segments show to whoever looks. Nobody is asked, so a node that hangs, or is dead, has its figures all the same. */
import * as fs from 'node:fs';
import { BusLook, LATENCY_US } from '../../bus/index.ts';
import { attachSegment, OwnerLock, type Segment, ShmError } from '../../shm/index.ts';
import { StateError, type Survey, surveyOf } from '../../state/index.ts';
import { HEARTBEAT, type Phase, PHASES, phaseOf } from '../node-words.ts';
import { readCounters } from './counters.ts';

/** One value. */
export interface Sample {
  /** Without labels: `lich_node_epoch`. */
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Described {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
}

const METRICS: Readonly<Record<string, Described>> = {
  lich_node_up: { type: 'gauge', help: 'Is the node owned by a process, and does it serve?' },
  lich_node_phase: {
    type: 'gauge',
    help: `Where its life is at: ${PHASES.map((name, k) => `${k} ${name}`).join(', ')}.`,
  },
  lich_node_epoch: { type: 'gauge', help: 'Number of its life.' },
  lich_node_turns_total: { type: 'counter', help: 'Turns of its loop; wraps at 2^32.' },
  lich_commits_total: { type: 'counter', help: 'Transactions committed, over all lives.' },
  lich_messages_total: { type: 'counter', help: 'What the node did with messages and ticks, over all lives.' },
  lich_flows: { type: 'gauge', help: 'Flows that have not ended, and those of them that wait for other code.' },
  lich_flows_total: { type: 'counter', help: 'What became of flows, over all lives.' },
  lich_lives_total: { type: 'counter', help: 'Lives begun, by reason.' },
  lich_takeover_ms_total: { type: 'counter', help: 'Milliseconds spent to begin lives, by phase.' },
  lich_takeover_last_ms: { type: 'gauge', help: 'Milliseconds spent to begin the last life, by phase.' },
  lich_takeover_epoch: { type: 'gauge', help: 'The life that the last phases are of.' },
  lich_lines_dropped_total: { type: 'counter', help: 'Log lines that had no room in the ring.' },
  lich_segment_bytes: { type: 'gauge', help: 'Memory that a segment uses.' },
  lich_pool_records: { type: 'gauge', help: 'Records that live.' },
  lich_pool_capacity: { type: 'gauge', help: 'Records that fit; 0 = it grows.' },
  lich_heap_bytes: { type: 'gauge', help: 'Bytes of the heap, by what they are: used, free, never.' },
  lich_process_private_bytes: { type: 'gauge', help: 'Memory of the owning process, segments not counted.' },
  lich_process_cpu_seconds_total: { type: 'counter', help: 'Processor time of the owning process.' },
  lich_bus_messages_total: { type: 'counter', help: 'Messages from a node that another one handled, over all lives.' },
  lich_bus_bytes_total: { type: 'counter', help: 'Bytes of them, padding included.' },
  lich_bus_waiting_bytes: { type: 'gauge', help: 'Bytes of records that were sent and are not handled yet.' },
  lich_bus_oldest_seconds: { type: 'gauge', help: 'About how long the oldest of them waits.' },
  lich_bus_ring_bytes: { type: 'gauge', help: 'Memory of the rings from a node to another.' },
  lich_bus_latency_seconds: { type: 'histogram', help: 'Samples: from shown to handled.' },
  lich_exits_total: { type: 'counter', help: 'Processes of the node that ended while this supervisor ran.' },
  lich_log_lost_bytes_total: { type: 'counter', help: 'Bytes of log lines overwritten before they were collected.' },
};

/** Looks at the nodes of a directory. */
export class MetricsSource {
  readonly #dir: string;
  readonly #states = new Map<string, Segment>();
  readonly #bus: BusLook;

  constructor(dir: string) {
    this.#dir = dir;
    this.#bus = new BusLook(dir);
  }

  samples(names: Iterable<string>): Sample[] {
    const out: Sample[] = [];
    for (const node of names) {
      try {
        this.#node(node, out);
      } catch (error) {
        // Removed, made anew or damaged: the others are shown.
        if (!(error instanceof ShmError || error instanceof StateError)) throw error;
      }
    }
    return out;
  }

  /** What goes from one node to another. */
  busSamples(): Sample[] {
    const out: Sample[] = [];
    for (const pair of this.#bus.pairs({ count: false })) {
      const labels = { from: pair.from, to: pair.to };
      const add = (metric: string, value: number): void => void out.push({ metric, value, labels });
      add('lich_bus_messages_total', pair.messages);
      add('lich_bus_bytes_total', pair.bytes);
      add('lich_bus_waiting_bytes', pair.waitingBytes);
      add('lich_bus_oldest_seconds', (pair.oldestMs ?? 0) / 1_000);
      add('lich_bus_ring_bytes', pair.ringBytes);
      let count = 0;
      for (const [k, samples] of pair.latency.entries()) {
        count += samples;
        const le = k < LATENCY_US.length ? String(LATENCY_US[k]! / 1e6) : '+Inf';
        out.push({ metric: 'lich_bus_latency_seconds_bucket', value: count, labels: { ...labels, le } });
      }
      add('lich_bus_latency_seconds_count', count);
    }
    return out;
  }

  #node(node: string, out: Sample[]): void {
    const add = (metric: string, value: number, labels: Readonly<Record<string, string>> = {}): void =>
      void out.push({ metric, value, labels: { node, ...labels } });
    const state = this.#map(node);
    if (state === undefined) {
      add('lich_node_up', 0);
      return;
    }
    const owner = OwnerLock.open(this.#dir, node).owner();
    const phase: Phase = phaseOf(state);
    add('lich_node_up', owner !== undefined && phase === 'serving' ? 1 : 0);
    add('lich_node_phase', PHASES.indexOf(phase));
    add('lich_node_epoch', state.epoch);
    add('lich_node_turns_total', state.u32[HEARTBEAT]);
    for (const kind of ['state', 'lanes', 'report'] as const) {
      const stat = fs.statSync(`${this.#dir}/${node}.${kind}`, { throwIfNoEntry: false });
      if (stat !== undefined) add('lich_segment_bytes', stat.blocks * 512, { segment: kind });
    }
    addSurvey(surveyOf(state), add);
    if (owner !== undefined) addProcess(owner.pid, add);
    const report = attachSegment({ dir: this.#dir, name: node, kind: 'report', readOnly: true });
    try {
      for (const { name, value } of readCounters(report)) {
        const { metric, labels } = parseName(name);
        add(metric, value, labels);
      }
    } finally {
      report.close();
    }
  }

  #map(node: string): Segment | undefined {
    const known = this.#states.get(node);
    if (known?.isCurrent()) return known;
    known?.close();
    this.#states.delete(node);
    try {
      const state = attachSegment({ dir: this.#dir, name: node, kind: 'state', readOnly: true });
      this.#states.set(node, state);
      return state;
    } catch (error) {
      if (error instanceof ShmError && error.code === 'SHM_NOT_FOUND') return undefined;
      throw error;
    }
  }

  close(): void {
    for (const state of this.#states.values()) state.close();
    this.#states.clear();
    this.#bus.close();
  }
}

type Add = (metric: string, value: number, labels?: Readonly<Record<string, string>>) => void;

function addSurvey({ commitNo, pools, heap }: Survey, add: Add): void {
  add('lich_commits_total', commitNo);
  for (const pool of pools) {
    add('lich_pool_records', pool.live, { pool: pool.name });
    add('lich_pool_capacity', pool.capacity, { pool: pool.name });
  }
  if (heap === undefined) return;
  add('lich_heap_bytes', heap.usedBytes, { what: 'used' });
  add('lich_heap_bytes', heap.freeBytes, { what: 'free' });
  add('lich_heap_bytes', heap.neverBytes, { what: 'never' });
}

/** Ticks of /proc/<pid>/stat in a second: 100 on all Linux that Node runs on. */
const CLOCK_HZ = 100;

function addProcess(pid: number, add: Add): void {
  try {
    const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1');
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const kib = Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    add('lich_process_private_bytes', kib * 1024);
    add('lich_process_cpu_seconds_total', (Number(fields[11]) + Number(fields[12])) / CLOCK_HZ);
  } catch {
    // It ended meanwhile, or lives in another pid namespace.
  }
}

/** `a{b="c"}` → a, { b: 'c' } */
function parseName(name: string): { metric: string; labels: Record<string, string> } {
  const [, metric = name, list = ''] = /^([^{]+)(?:\{(.*)\})?$/.exec(name) ?? [];
  return {
    metric,
    labels: Object.fromEntries([...list.matchAll(/(\w+)="([^"]*)"/g)].map(found => [found[1]!, found[2]!])),
  };
}

const escaped = (text: string): string => text.replace(/[\\"\n]/g, found => (found === '\n' ? '\\n' : `\\${found}`));

/** The text that a Prometheus server reads: version 0.0.4, samples of one metric together. */
export function prometheusText(samples: readonly Sample[]): string {
  const byMetric = new Map<string, string[]>();
  for (const { metric, labels, value } of samples) {
    const list = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    let lines = byMetric.get(metric);
    if (lines === undefined) byMetric.set(metric, (lines = []));
    lines.push(`${metric}{${list.join(',')}} ${value}`);
  }
  let out = '';
  let before = '';
  for (const [name, lines] of byMetric) {
    // Of a histogram there are several, and one description.
    const base = name.replace(/_(?:bucket|count)$/, '');
    const metric = METRICS[base]?.type === 'histogram' ? base : name;
    if (metric === before) {
      out += `${lines.join('\n')}\n`;
      continue;
    }
    before = metric;
    const { type, help } = METRICS[metric] ?? { type: metric.endsWith('_total') ? 'counter' : 'gauge', help: metric };
    out += `# HELP ${metric} ${help}\n# TYPE ${metric} ${type}\n${lines.join('\n')}\n`;
  }
  return out;
}
