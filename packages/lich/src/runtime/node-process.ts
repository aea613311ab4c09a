/** The process of one node (entry.ts is its first file). Started by the supervisor; ends with code 0 after SIGTERM or SIGINT,
 * or when there was no supervisor for long enough; with START_FAILED when it could not start. */
import { mkdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Directory, DEFAULT_LIMITS } from '../bus/index.ts';
import { setCoreLimit, writeWhole } from '../shm/index.ts';
import { Core, type CoreOptions, type Logic } from './core.ts';
import { type CandidateSpec, examineCandidate, reportFailure, writeReport } from './deploy/candidate.ts';
import { type DeployOutlook, outlookOf } from './deploy/outlook.ts';
import { rememberProtocol } from './former-protocols.ts';
import { isRelative, importFile, loadConfig, loadService, loadTopology, type LoadedTopology, sibling } from './load.ts';
import { successorCame } from './let-go.ts';
import { createLog, errorData, type Log } from './log.ts';
import { endWithoutSupervisor } from './orphan.ts';
import { sayRunning } from './run-file.ts';
import { serviceLayout } from './service-layout.ts';
import { ServiceLogic } from './service-logic.ts';
import { coreLimits } from './node-plan.ts';
import type { Service } from './service.ts';
import { Standby } from './standby.ts';
import { tellInspected } from './supervised.ts';
import { type NodeContext, type NodeLimits, nodesOf, talksOf } from './topology.ts';

/** Which node a process is to be. */
export interface NodeSpec {
  readonly topologyFile: string;
  /** Directory of the build that it runs: `buildTopology`. */
  readonly build: string;
  readonly dir: string;
  readonly kind: string;
  readonly instance: number;
  /** Which host of the topology this is, where it has several. */
  readonly host?: string;
  /** It is to take over from code that runs: a deploy. */
  readonly candidate?: CandidateSpec;
  /** Process id of the supervisor that started it. */
  readonly supervisor: number;
  /** How long it goes on when no supervisor is there. */
  readonly orphanMs: number;
}

/** Whose process a spare is most likely to become. */
export type SpareSpec = Pick<NodeSpec, 'topologyFile' | 'build' | 'dir' | 'kind'> & { readonly spareOf: string };

/** A spare: what a candidate will do is done once with the code that runs, so that code is loaded, compiled and in the
 * caches. Writes nothing. */
export async function warmUp({ topologyFile, build, dir, kind, spareOf: name }: SpareSpec): Promise<void> {
  await import(new URL('../index.js', import.meta.url).href);
  try {
    const loaded = await loadTopology(topologyFile, build);
    const service = await loadService(loaded, kind);
    const { limits = {} } = loaded.topology.entries.get(kind)!;
    outlookOf({ dir, name, service, limits, before: service, setAside: [], noWayBack: true });
    const config = await loadConfig(loaded, kind, service);
    const { id } = new Directory(dir, DEFAULT_LIMITS.nodes).byName(name);
    const core = serviceCore(service, config, { dir, name, id, log: createLog(name), limits, rehearse: false });
    new Standby(core).prepare();
    core.unbuild();
    core.bells.close();
  } catch {
    // Whatever is wrong is said when it is wanted.
  }
}

/** The node could not start as it is configured: starting it again would not help. */
export const START_FAILED = 78;

export async function runNode(spec: NodeSpec): Promise<void> {
  const name = `${spec.kind}-${spec.instance}`;
  const log = createLog(name);
  const stop = new AbortController();
  const end = (): void => stop.abort();
  // V8 inlines 920 bytes of bytecode into one function, which is four or five field writes: handlers do more.
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=4000');
  // A core dump is written before the lock is let go: it would cost the players half a second and more. `cores: true` has it.
  setCoreLimit(1);
  try {
    const { dir, topologyFile, build, supervisor } = spec;
    sayRunning(dir, { node: name, topologyFile, build, supervisor });
    const loaded = await loadTopology(spec.topologyFile, spec.build);
    const entry = loaded.topology.entries.get(spec.kind)!;
    if (entry.cores === true) setCoreLimit(-1);
    endWithoutSupervisor(spec, log, end);
    if (typeof entry.run === 'string') await runService(spec, loaded, name, log, stop.signal, end);
    else await runRunnable(spec, loaded, name, log, stop.signal, end);
  } catch (error) {
    log.error('the node cannot run', errorData(error));
    if (spec.candidate !== undefined) reportFailure(spec.candidate, error);
    // At once: what was opened before it failed must not keep the process, and with it the lock.
    process.exit(START_FAILED);
  }
}

/** Signals are only taken over by who owns: a standby blocks in a lock, where no handler of ours can run. */
function onSignals(end: () => void): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, end);
}

function offSignals(end: () => void): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, end);
}

/** The supervisor starts what is to be a standby at a lower priority: from here on it has to be quick. */
function raisePriority(): void {
  try {
    if (getPriority() > 0) setPriority(0);
  } catch {
    // It was not lowered by our supervisor, then.
  }
}

/** A service's node, ready to run. */
export function serviceCore(
  service: Service,
  config: Parameters<typeof makeLogic>[1],
  o: Pick<CoreOptions, 'dir' | 'name' | 'id' | 'log' | 'rehearse' | 'migrates' | 'talksTo'> & { limits?: NodeLimits },
): Core {
  const limits = o.limits ?? {};
  const layout = serviceLayout(service, DEFAULT_LIMITS.nodes);
  const { dir, name, id, log, rehearse, migrates = false, talksTo } = o;
  return new Core(
    { dir, name, id, log, rehearse, migrates, talksTo, state: service.state, ...layout, ...coreLimits(limits) },
    makeLogic(service, config, limits),
  );
}

function makeLogic(
  service: Service,
  config: Readonly<Record<string, unknown>>,
  limits: NodeLimits,
): (core: Core) => Logic {
  return core => new ServiceLogic(core, service, config, limits);
}

async function runService(
  spec: NodeSpec,
  loaded: LoadedTopology,
  name: string,
  log: Log,
  signal: AbortSignal,
  end: () => void,
): Promise<void> {
  const service = await loadService(loaded, spec.kind);
  const config = await loadConfig(loaded, spec.kind, service);
  const { id } = new Directory(spec.dir, DEFAULT_LIMITS.nodes).byName(name);
  const { limits = {}, rehearse } = loaded.topology.entries.get(spec.kind)!;
  const { dir, kind, topologyFile } = spec;
  const talksTo = talksOf(loaded.topology, kind);
  if (spec.candidate !== undefined) await rememberOthers(dir, loaded);
  const found =
    spec.candidate && (await examineCandidate(spec.candidate, { dir, name, kind, topologyFile, service, limits }));
  if (spec.candidate !== undefined && found === undefined) return;
  const standsBy = wordOf(spec, found);
  // Asked to let go of what it does not own just now: no reason to die.
  process.on('SIGUSR2', () => {});
  for (let migrates: Core['migrates'] = found === undefined ? false : 'rehearsed'; ; migrates = true) {
    const core = serviceCore(service, config, { dir, name, id, log, limits, rehearse, migrates, talksTo });
    await runCore(core, signal, end, standsBy);
    if (!core.lettingGo) return;
    offSignals(end);
    // From here on this process waits in the lock like any standby, and is the way back of a deploy.
    if (!(await successorCame(core.lock))) log.warn('nobody came for the lock that was let go: it is taken back');
  }
}

/** Senders may come to the new code before their receivers. */
async function rememberOthers(dir: string, loaded: LoadedTopology): Promise<void> {
  for (const [kind, { run }] of loaded.topology.entries) {
    try {
      if (typeof run === 'string') rememberProtocol(dir, await loadService(loaded, kind));
    } catch {
      // That one's own deploy will say so.
    }
  }
}

/** The supervisor waits for the word of a candidate. Once: an owner that dies just now makes it one at once. */
function wordOf({ candidate }: NodeSpec, outlook: DeployOutlook | undefined): () => void {
  let said = candidate === undefined;
  return () => {
    if (!said) writeReport(candidate!.report, { state: 'standing by', outlook });
    said = true;
  };
}

/** Run a node until it is told to end, or lets go of it at SIGUSR2.
 * @param onRole told when this process waits in the lock, and when it owns the node */
export async function runCore(
  core: Core,
  signal: AbortSignal,
  end: () => void,
  onRole: () => void = () => {},
): Promise<void> {
  if (signal.aborted) return;
  const stop = (): void => core.stop();
  let isOwner = false;
  let isAsked = false;
  // It owns the node a little before it says so, and may be asked as soon as others see that; a standby is not meant.
  const letGo = (): void => {
    if (isOwner) core.letGo();
    else isAsked = core.lock.owner()?.pid === process.pid;
  };
  process.on('SIGUSR2', letGo);
  let quiet = (): void => {};
  signal.addEventListener('abort', stop, { once: true });
  try {
    await core.run(role => {
      raisePriority();
      core.log.info(
        role === 'owner' ? 'serving' : 'standing by',
        role === 'owner' ? { event: 'life', ...core.life, takeoverMs: core.takeoverMs } : {},
      );
      onRole();
      if (role !== 'owner') return;
      onSignals(end);
      quiet = tellInspected(core.store.segment);
      isOwner = true;
      if (signal.aborted) core.stop();
      else if (isAsked) core.letGo();
    });
  } finally {
    quiet();
    signal.removeEventListener('abort', stop);
    process.off('SIGUSR2', letGo);
  }
}

async function runRunnable(
  spec: NodeSpec,
  loaded: LoadedTopology,
  name: string,
  log: Log,
  signal: AbortSignal,
  end: () => void,
): Promise<void> {
  onSignals(end);
  const entry = loaded.topology.entries.get(spec.kind)!;
  const run = entry.run as Exclude<typeof entry.run, string>;
  const context: NodeContext = {
    dir: spec.dir,
    name,
    instance: spec.instance,
    ...(spec.host !== undefined && { host: spec.host }),
    hosts: loaded.topology.hosts,
    cluster: loaded.topology.options.cluster ?? 'lich',
    options: run.options,
    limits: entry.limits ?? {},
    talksTo: talksOf(loaded.topology, spec.kind),
    services: () => loadServices(loaded),
    log,
    signal,
    announce: address => announce(spec.dir, name, address),
  };
  const module = isRelative(run.module)
    ? await importFile(sibling(loaded, run.module), loaded.build)
    : ((await import(run.module)) as Record<string, unknown>);
  // One that only waits for its signal has nothing else that keeps the process.
  const alive = setInterval(() => {}, 60_000);
  try {
    await (module.default as (context: NodeContext) => unknown)(context);
  } finally {
    clearInterval(alive);
  }
}

async function loadServices(loaded: LoadedTopology): ReturnType<NodeContext['services']> {
  const services = new Map<string, { service: Service; nodes: string[] }>();
  const nodes = nodesOf(loaded.topology);
  for (const [kind, entry] of loaded.topology.entries) {
    if (typeof entry.run !== 'string') continue;
    const service = await loadService(loaded, kind);
    services.set(kind, { service, nodes: nodes.filter(node => node.kind === kind).map(node => node.name) });
  }
  return services;
}

/** Where nodes that are no services say that they are ready: `<dir>/status/<name>.json`, read by the supervisor. */
export function statusPath(dir: string, name: string): string {
  return join(dir, 'status', `${name}.json`);
}

function announce(dir: string, name: string, address: string): void {
  const path = statusPath(dir, name);
  mkdirSync(join(dir, 'status'), { recursive: true, mode: 0o700 });
  writeWhole(path, JSON.stringify({ pid: process.pid, address }));
}
