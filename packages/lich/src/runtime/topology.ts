/** What runs: a value, checked when it is made.
 *
 *   export const zone = topology({
 *     gateway: { run: gateway({ ws: 7777 }), count: 2 },
 *     arena:   { run: './scene.ts', count: 4, standby: 1 },
 *   });
 *
 * Each entry becomes `count` nodes, `arena-1` … `arena-4`; each node is one process, and one more for each standby. */
import { DEFAULT_LIMITS, DEFAULT_WIDTHS, flawOfWidths, type IdWidths, mostOf } from '../bus/index.ts';
import { RuntimeError } from './errors.ts';
import type { Log } from './log.ts';
import type { Service } from './service.ts';

/** A part of the topology that is no service file: something the package provides (a gateway), or a program. */
export interface Runnable {
  readonly kind: 'gateway' | 'program' | 'link';
  /** What runs it: the URL of a module of the package, or a file relative to the topology. Its default export is called
   * with a `NodeContext`. */
  readonly module: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/** One kind of node. */
export interface TopologyEntry {
  /** A service file, relative to the topology file; or a runnable. */
  readonly run: string | Runnable;
  /** Where its nodes run, in a topology of several hosts: the name of one, or of several, which take turns: of
   * `['a', 'b']` the nodes 1, 3, 5 … run on `a`. */
  readonly host?: string | readonly string[];
  /** Nodes of this kind. 1..255, default 1. */
  readonly count?: number;
  /** Warm standbys for each node. 0 or 1, default 0. */
  readonly standby?: number;
  /** Do standbys run recent messages on a private copy of the state, so that their code is compiled before it is needed?
   * Takes the memory of the state once more, for about a second. Default true. */
  readonly rehearse?: boolean;
  /** Overrides of the service's config: an object, or a typed file relative to the topology file. */
  readonly config?: Readonly<Record<string, unknown>> | string;
  /** Path of the Node binary that runs these nodes, relative to the topology file. Default: the one that runs `lich up`. */
  readonly node?: string;
  /** Segment sizes and the like of these nodes. */
  readonly limits?: NodeLimits;
  /** MiB that each process may have for itself, segments not counted; one that has more is ended, and its node taken over.
   * Also the bound of its JavaScript heap. 64..1048576, default: no limit. */
  readonly memoryMiB?: number;
  /** Own deaths in a row (aborts, exits, hangs; not a plain SIGKILL, nor those for which a message was set aside) after
   * which the node is not started again and `onBadState` is done. 4..1000, default 10. */
  readonly maxCrashes?: number;
  /** What then: stay down (default), or go on from the newest dump in a folder, relative to the topology file. */
  readonly onBadState?: 'down' | { readonly dumps: string };
  /** Looks of the supervisor, two a second, without a sign of life after which an owner is killed. 0..100000, 0 = never;
   * default 10. */
  readonly hangPolls?: number;
  /** Kinds that these nodes talk with, in either direction: with `lanes: 'start'` there are lanes to and from their nodes,
   * and no others. */
  readonly talks?: readonly string[];
  /** May processes that abort write core dumps? The kernel writes one before it lets the node's lock go: players wait for it.
   * Default false. */
  readonly cores?: boolean;
}

/** Sizes of a node's segments, taken when they are made: changing them needs new segments. */
export interface NodeLimits {
  /** Bytes of the undo log, a power of two. Default 16 MiB. The largest transaction takes at most this. */
  readonly logBytes?: number;
  /** Bytes of the heap for all that grows (containers, pools, texts without a capacity), a multiple of 65,536. Default
   * 128 MiB when the state has something that grows, else none. Memory is taken as it is used. */
  readonly heapBytes?: number;
  /** Own messages that may wait: a bound for what posts too many. Default: what the heap holds. No part of the layout. */
  readonly timers?: number;
  /** Flows that may wait: a bound for what starts too many. Default: what the heap holds, at most 16,777,214. */
  readonly flows?: number;
  /** Bytes of the lanes' data region. Default 64 MiB (taken as needed). */
  readonly lanesBytes?: number;
  /** The largest lane. Default 16 MiB. */
  readonly maxLaneBytes?: number;
}

/** A machine, or a container: what shares memory. */
export interface TopologyHost {
  /** How the other hosts reach its link: `10.0.0.1:7400`. Not asked for by `nats`. */
  readonly address?: string;
  /** Where its link listens, if that is not the same. */
  readonly listen?: string;
}

/** What concerns all nodes. */
export interface TopologyOptions {
  /** The hosts, by name, with the addresses of their links: `{ a: '10.0.0.1:7400', b: '10.0.0.2:7400' }`. Each is started
   * from the same topology: `lich up topology.ts --host a`. Default: there is one, without a name. */
  readonly hosts?: Readonly<Record<string, string | TopologyHost>>;
  /** What joins the hosts: `tcp({ secret })`. Each host gets a node `link-1`. */
  readonly link?: Runnable;
  /** Links of two clusters do not connect. Default `lich`. */
  readonly cluster?: string;
  /** Have the supervisor answer a Prometheus server: `GET http://127.0.0.1:9464/metrics`. Default: it does not. */
  readonly metrics?: {
    /** 0..65535; 0 = any that is free, which `lich up` prints. */
    readonly port: number;
    /** Default 127.0.0.1. */
    readonly host?: string;
  };
  /** When a lane from a node to another is made: `'use'`, when the first message goes there, and given back when it is idle; or
   * `'start'`, for all that `talks` names, when a node starts, and kept: what needs more memory than there is does not start,
   * and what was not declared is refused with `BUS_UNDECLARED`. Default `'use'`. */
  readonly lanes?: 'use' | 'start';
  /** Bits of world, zone, kind and instance in a node id, 32 together. Default `[8, 8, 8, 8]`. Other widths move the ids of
   * nodes that are entered: refused with `BUS_WAITING` while messages wait. */
  readonly ids?: readonly [world: number, zone: number, kind: number, instance: number];
  /** Log files of each node. */
  readonly logs?: {
    /** A file that has grown beyond is rotated. 65536..2^31, default 8 MiB. */
    readonly maxBytes?: number;
    /** Rotated files that are kept. 0..1000, default 3. */
    readonly keep?: number;
  };
}

const TOPOLOGY: unique symbol = Symbol.for('lich.topology') as never;

/** A topology as checked. */
export interface Topology {
  readonly [TOPOLOGY]: true;
  readonly entries: ReadonlyMap<string, Required<Pick<TopologyEntry, 'run' | 'count' | 'standby'>> & TopologyEntry>;
  readonly options: TopologyOptions;
  /** Empty where there is one host. */
  readonly hosts: ReadonlyMap<string, TopologyHost>;
}

const SERVICE_FILE = /^\.{1,2}\/.+\.(ts|mts|js|mjs)$/;
const KNOWN = new Set([
  'run',
  'host',
  'count',
  'standby',
  'rehearse',
  'node',
  'config',
  'limits',
  'memoryMiB',
  'maxCrashes',
  'onBadState',
  'hangPolls',
  'talks',
  'cores',
]);
const LOG_BYTES_MAX = 2 ** 30;
/** A segment has at most 4 GiB, and other regions. */
const HEAP_BYTES_MAX = 2 ** 32 - 2 ** 26;
/** The next power of two would be a segment's all, and it has other regions. */
const LANES_BYTES_MAX = 2 ** 31;
const LIMITS: Record<keyof NodeLimits, true> = {
  logBytes: true,
  heapBytes: true,
  timers: true,
  flows: true,
  lanesBytes: true,
  maxLaneBytes: true,
};

/** @throws RuntimeError `RUNTIME_BAD_TOPOLOGY`, naming entry and field */
export function topology(entries: Readonly<Record<string, TopologyEntry>>, options: TopologyOptions = {}): Topology {
  const checked = new Map<string, Topology['entries'] extends ReadonlyMap<string, infer E> ? E : never>();
  checkOptions(options);
  if (!isObject(entries)) bad('', `is ${String(entries)}`, '{ arena: { run: "./scene.ts" } }');
  const names = Object.keys(entries);
  const hosts = hostsOf(options);
  if (names.length === 0) bad('', 'has no entry', '{ arena: { run: "./scene.ts" } }');
  if (names.length > 255) bad('', `has ${names.length} entries`, 'at most 255');
  for (const name of names) {
    if (!/^[a-z][a-z0-9]{0,23}$/.test(name)) bad(name, 'is no name for nodes', 'a-z, 0-9, at most 24, a letter first');
    const entry = entries[name]!;
    if (!isObject(entry)) bad(name, `is ${String(entry)}`, '{ run: "./scene.ts" }');
    for (const key of Object.keys(entry)) {
      if (!KNOWN.has(key)) bad(`${name}.${key}`, 'is not a field of a topology entry', [...KNOWN].join(', '));
    }
    const { run, count = 1, standby = 0 } = entry;
    if (typeof run === 'string') {
      if (!SERVICE_FILE.test(run)) bad(`${name}.run`, `is '${run}'`, "a service file such as './scene.ts'");
    } else if (run === null || typeof run !== 'object' || typeof run.module !== 'string') {
      bad(`${name}.run`, 'is neither a file nor a runnable', "'./scene.ts', gateway({…}) or program('./web.ts')");
    }
    wholeNumber(`${name}.count`, count, 1, Math.min(255, mostOf((options.ids ?? DEFAULT_WIDTHS)[3])));
    wholeNumber(`${name}.standby`, standby, 0, 1);
    if (entry.node !== undefined && !(typeof entry.node === 'string' && entry.node.includes('/')))
      bad(
        `${name}.node`,
        `is ${JSON.stringify(entry.node)}`,
        "the path of a Node binary such as '/opt/node-26/bin/node'",
      );
    for (const key of ['rehearse', 'cores'] as const) {
      const value: unknown = entry[key];
      if (value !== undefined && typeof value !== 'boolean')
        bad(`${name}.${key}`, `is ${String(value)}`, 'true or false');
    }
    if (typeof run !== 'string' && standby > 0)
      bad(`${name}.standby`, `is ${standby}`, '0: only services have standbys');
    checkHost(name, entry, count, hosts);
    if (entry.config !== undefined) checkConfig(name, entry);
    if (entry.limits !== undefined) checkLimits(name, entry.limits);
    checkSupervision(name, entry);
    if (entry.talks !== undefined) checkTalks(name, entry, entries, options);
    checked.set(name, { ...entry, run, count, standby });
  }
  if (hosts.size > 0) {
    // What a node can send its own link reads, and the other one takes in.
    const sizes = [...checked.values()].map(({ limits }) => limits?.maxLaneBytes ?? 0);
    const maxLaneBytes = Math.max(DEFAULT_LIMITS.maxLaneBytes, ...sizes);
    const host = [...hosts.keys()];
    checked.set(LINK, { run: options.link!, count: 1, standby: 0, host, limits: { maxLaneBytes } });
  }
  return { [TOPOLOGY]: true, entries: checked, options, hosts };
}

/** The kind of the nodes that join hosts: `link-1` on each of them. */
export const LINK = 'link';

const HOST_NAME = /^[a-z][a-z0-9-]{0,30}$/;

function hostsOf({ hosts = {}, link, cluster }: TopologyOptions): Map<string, TopologyHost> {
  const found = new Map<string, TopologyHost>();
  for (const [name, given] of Object.entries(hosts)) {
    const field = `options.hosts.${name}`;
    if (!HOST_NAME.test(name)) bad(field, 'is no name for a host', 'a-z, 0-9 and -, at most 31, a letter first');
    const host = typeof given === 'string' ? { address: given } : given;
    if (!isObject(host)) bad(field, `is ${String(host)}`, "an address such as '10.0.0.1:7400'");
    for (const [key, value] of Object.entries(host)) {
      if (key !== 'address' && key !== 'listen') bad(`${field}.${key}`, 'is no option', 'address, listen');
      if (typeof value !== 'string' || value === '') bad(`${field}.${key}`, `is ${String(value)}`, "'10.0.0.1:7400'");
    }
    found.set(name, host);
  }
  if (found.size > 0 && link?.kind !== 'link')
    bad('options.link', `is ${String(link?.kind)}`, 'a link: tcp({ secret })');
  if (found.size === 0 && link !== undefined)
    bad('options.link', 'has no hosts to join', "hosts: { a: '10.0.0.1:7400' }");
  if (cluster !== undefined && !(typeof cluster === 'string' && HOST_NAME.test(cluster)))
    bad('options.cluster', `is ${String(cluster)}`, 'a-z, 0-9 and -, at most 31, a letter first');
  return found;
}

function checkHost(name: string, { host }: TopologyEntry, count: number, hosts: ReadonlyMap<string, unknown>): void {
  const field = `${name}.host`;
  if (hosts.size === 0) {
    if (host !== undefined) bad(field, `is ${String(host)}`, 'none, as the topology has no hosts');
    return;
  }
  const names = [...hosts.keys()].join(', ');
  if (name === LINK) bad(name, 'is what joins the hosts', 'another name');
  const named = typeof host === 'string' ? [host] : host;
  if (!Array.isArray(named) || named.length === 0)
    bad(field, `is ${String(host)}`, `one of ${names}, or a list of them`);
  for (const each of named as readonly unknown[])
    if (!hosts.has(each as string)) bad(field, `has ${String(each)}`, `one of ${names}`);
  if ((named as readonly string[]).length > count)
    bad(field, `names ${named!.length} hosts for ${count} nodes`, 'a count of as many at least');
}

/** Where that node runs; undefined where there is one host. */
function hostOf({ host }: TopologyEntry, instance: number): string | undefined {
  return typeof host === 'string' ? host : host?.[(instance - 1) % host.length];
}

/** Was this made by `topology()`? Also true across copies of the package. */
export function isTopology(value: unknown): value is Topology {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[TOPOLOGY] === true;
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Those that are objects have these fields. */
const OPTIONS: Readonly<Record<string, readonly string[] | undefined>> = {
  metrics: ['port', 'host'],
  logs: ['maxBytes', 'keep'],
  lanes: undefined,
  ids: undefined,
};
/** Looked at by `hostsOf`. */
const HOST_OPTIONS = ['hosts', 'link', 'cluster'];

function checkOptions(options: TopologyOptions): void {
  const names = [...Object.keys(OPTIONS), ...HOST_OPTIONS].join(', ');
  if (!isObject(options)) bad('options', `are ${String(options)}`, `an object with ${names}`);
  for (const [name, value] of Object.entries(options)) {
    if (HOST_OPTIONS.includes(name)) continue;
    if (!(name in OPTIONS)) bad(`options.${name}`, 'is no option', names);
    const keys = OPTIONS[name];
    if (keys === undefined) continue;
    if (value !== undefined && !isObject(value))
      bad(`options.${name}`, `is ${String(value)}`, `an object with ${keys.join(', ')}`);
    for (const key of Object.keys((value ?? {}) as object)) {
      if (!keys.includes(key)) bad(`options.${name}.${key}`, 'is no option', keys.join(', '));
    }
  }
  const { metrics, logs = {}, lanes = 'use', ids = DEFAULT_WIDTHS } = options;
  if (lanes !== 'use' && lanes !== 'start') bad('options.lanes', `is ${JSON.stringify(lanes)}`, "'use' or 'start'");
  const flaw = flawOfWidths(ids);
  if (flaw !== undefined) bad('options.ids', `is ${flaw}`, '[8, 8, 8, 8]: bits of world, zone, kind and instance');
  if (metrics !== undefined) wholeNumber('options.metrics.port', metrics.port, 0, 65_535);
  if (metrics?.host !== undefined && typeof metrics.host !== 'string')
    bad('options.metrics.host', `is ${String(metrics.host)}`, 'a name or an address');
  if (logs.maxBytes !== undefined) wholeNumber('options.logs.maxBytes', logs.maxBytes, 65_536, 2 ** 31);
  if (logs.keep !== undefined) wholeNumber('options.logs.keep', logs.keep, 0, 1000);
}

function checkConfig(name: string, { config, run }: TopologyEntry): void {
  if (typeof run !== 'string') bad(`${name}.config`, 'has no service to go to', 'options in the runnable itself');
  if (typeof config === 'string' ? SERVICE_FILE.test(config) : isObject(config)) return;
  const shown = typeof config === 'string' ? `'${config}'` : String(config);
  bad(`${name}.config`, `is ${shown}`, "an object, or a file such as './scene.config.ts'");
}

function checkLimits(name: string, limits: NodeLimits): void {
  if (!isObject(limits)) bad(`${name}.limits`, `is ${String(limits)}`, Object.keys(LIMITS).join(', '));
  for (const [key, value] of Object.entries(limits)) {
    if (!(key in LIMITS)) bad(`${name}.limits.${key}`, 'is no limit', Object.keys(LIMITS).join(', '));
    wholeNumber(`${name}.limits.${key}`, value as number, 16, 2 ** 32);
  }
  for (const key of ['logBytes', 'lanesBytes', 'maxLaneBytes'] as const) {
    const value = limits[key];
    if (value !== undefined && (value < 65_536 || (value & (value - 1)) !== 0)) {
      bad(`${name}.limits.${key}`, `is ${value}`, 'a power of two of at least 65536');
    }
  }
  const { heapBytes = 0 } = limits;
  if (heapBytes % 65_536 !== 0 || heapBytes > HEAP_BYTES_MAX)
    bad(`${name}.limits.heapBytes`, `is ${heapBytes}`, `a multiple of 65536, at most ${HEAP_BYTES_MAX}`);
  const { logBytes = 0, lanesBytes = DEFAULT_LIMITS.dataBytes, maxLaneBytes = 0 } = limits;
  if (logBytes > LOG_BYTES_MAX) bad(`${name}.limits.logBytes`, `is ${logBytes}`, `at most ${LOG_BYTES_MAX}`);
  if (lanesBytes > LANES_BYTES_MAX) bad(`${name}.limits.lanesBytes`, `is ${lanesBytes}`, `at most ${LANES_BYTES_MAX}`);
  if (maxLaneBytes > lanesBytes)
    bad(`${name}.limits.maxLaneBytes`, `is ${maxLaneBytes}`, `at most lanesBytes, ${lanesBytes}`);
}

function checkTalks(
  name: string,
  { run, talks }: TopologyEntry,
  entries: Readonly<Record<string, TopologyEntry>>,
  { lanes }: TopologyOptions,
): void {
  const isProgram = (entry: TopologyEntry): boolean => typeof entry?.run === 'object' && entry.run?.kind === 'program';
  if (lanes !== 'start') bad(`${name}.talks`, 'says what nobody asks for', "it with topology(…, { lanes: 'start' })");
  if (isProgram({ run })) bad(`${name}.talks`, 'is for nodes with lanes', 'none: a program has no lanes');
  if (!Array.isArray(talks)) bad(`${name}.talks`, `is ${String(talks)}`, 'a list of kinds');
  for (const kind of talks) {
    if (typeof kind !== 'string' || !Object.hasOwn(entries, kind) || isProgram(entries[kind]!))
      bad(
        `${name}.talks`,
        `names ${JSON.stringify(kind)}`,
        `kinds of this topology: ${Object.keys(entries).join(', ')}`,
      );
  }
}

function checkSupervision(name: string, entry: TopologyEntry): void {
  const { memoryMiB, maxCrashes, hangPolls, onBadState } = entry;
  if (memoryMiB !== undefined) wholeNumber(`${name}.memoryMiB`, memoryMiB, 64, 2 ** 20);
  if (maxCrashes !== undefined) wholeNumber(`${name}.maxCrashes`, maxCrashes, 4, 1000);
  if (hangPolls !== undefined) wholeNumber(`${name}.hangPolls`, hangPolls, 0, 100_000);
  if (onBadState === undefined || onBadState === 'down') return;
  const field = `${name}.onBadState`;
  const wanted = "'down', or { dumps: './dumps' }";
  if (!isObject(onBadState)) bad(field, `is ${String(onBadState)}`, wanted);
  for (const key of Object.keys(onBadState)) if (key !== 'dumps') bad(`${field}.${key}`, 'is no such policy', wanted);
  if (typeof onBadState.dumps !== 'string' || onBadState.dumps === '')
    bad(`${field}.dumps`, `is ${String(onBadState.dumps)}`, 'a folder');
  if (typeof entry.run !== 'string') bad(field, 'is for services', "'down'");
}

function wholeNumber(field: string, value: unknown, lo: number, hi: number): void {
  if (!Number.isInteger(value) || (value as number) < lo || (value as number) > hi) {
    bad(field, `is ${String(value)}`, `a whole number ${lo}..${hi}`);
  }
}

function bad(field: string, what: string, want: string): never {
  throw new RuntimeError('RUNTIME_BAD_TOPOLOGY', `topology${field && ` ${field}`} ${what}; want ${want}`);
}

/** A process that is no service: a web server, a bot. The file's default export is called with a `NodeContext`.
 * @param file relative to the topology file */
export function program(file: string, options: Readonly<Record<string, unknown>> = {}): Runnable {
  return { kind: 'program', module: file, options };
}

/** What the default export of a runnable's module is given. It returns (a promise) when the node has ended in order. */
export interface NodeContext {
  /** The cluster's directory. */
  readonly dir: string;
  /** `web-1` */
  readonly name: string;
  /** 1…count */
  readonly instance: number;
  /** The host that this node runs on, in a topology of several. */
  readonly host?: string;
  /** All hosts; empty where there is one. */
  readonly hosts: ReadonlyMap<string, TopologyHost>;
  /** Name of the cluster. */
  readonly cluster: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly limits: NodeLimits;
  /** Nodes that it may send to; undefined = any. */
  readonly talksTo: readonly string[] | undefined;
  /** The services of the topology, by kind: loaded when asked for. */
  readonly services: () => Promise<
    ReadonlyMap<string, { readonly service: Service; readonly nodes: readonly string[] }>
  >;
  readonly log: Log;
  /** Aborted when the node is to end. */
  readonly signal: AbortSignal;
  /** Say that the node is ready, and where it can be reached; shown by `lich up`. */
  readonly announce: (address: string) => void;
}

/** One node of a topology, as the supervisor starts it. */
export interface NodePlan {
  readonly name: string;
  readonly kind: string;
  readonly instance: number;
  readonly processes: number;
  /** Where it runs; undefined where there is one host. */
  readonly host?: string;
}

/** Names of the nodes that those of a kind talk with; undefined where lanes are made on first use. Who is talked with
 * answers, so it does not matter which of two says it. */
export function talksOf({ entries, options }: Topology, kind: string): string[] | undefined {
  if (options.lanes !== 'start') return undefined;
  const says = (a: string, b: string): boolean => entries.get(a)?.talks?.includes(b) === true;
  const kinds = [...entries].filter(([other]) => says(kind, other) || says(other, kind));
  return kinds.flatMap(([other, { count }]) => Array.from({ length: count }, (_, k) => `${other}-${k + 1}`));
}

/** How ids are divided. */
export function widthsOf({ options }: Topology): IdWidths {
  return options.ids ?? DEFAULT_WIDTHS;
}

/** In this order nodes are started, and ended from the last to the first: what takes traffic comes last, and a link is
 * there as long as somebody may send. */
const RANKS = { link: 0, service: 1, gateway: 2, program: 3 } as const;

/** All nodes of all hosts, in the order of their ranks; of links that of `host` alone. */
export function nodesOf(topology: Topology, host?: string): NodePlan[] {
  const nodes: (NodePlan & { rank: number })[] = [];
  for (const [kind, entry] of topology.entries) {
    const { run, count, standby } = entry;
    const rank = RANKS[typeof run === 'string' ? 'service' : run.kind];
    const isLink = rank === RANKS.link;
    for (let instance = 1; instance <= count; instance++) {
      const where = isLink ? host : hostOf(entry, instance);
      const node = { name: `${kind}-${instance}`, kind, instance, processes: 1 + standby, rank };
      if (!isLink || host !== undefined) nodes.push({ ...node, ...(where === undefined ? {} : { host: where }) });
    }
  }
  return nodes.sort((a, b) => a.rank - b.rank).map(({ rank: _, ...node }) => node);
}

/** Which of its hosts is this one?
 * @param host what `--host` said
 * @throws RuntimeError `RUNTIME_BAD_TOPOLOGY` */
export function thisHost({ hosts }: Topology, host: string | undefined): string | undefined {
  const names = [...hosts.keys()].join(', ');
  if (host === undefined ? hosts.size === 0 : hosts.has(host)) return host;
  throw new RuntimeError(
    'RUNTIME_BAD_TOPOLOGY',
    hosts.size === 0
      ? `the topology has no hosts, and this is said to be host ${host}`
      : `the topology has hosts ${names}, and this is ${host === undefined ? 'not said to be one of them' : host}: lich up … --host ${[...hosts.keys()][0]}`,
  );
}
