/** What is in quarantine, done again over the state before it: on a scratch copy, with the code and config of then, in a
 * process of its own that it may end as it ended its node (capsule-entry.ts).
 *
 * Nothing leaves the copy: lanes are written and never published, functions given to `onCommit` do not run, nothing is due. */
import { createSegment, attachSegment } from '../shm/index.ts';
import { DEFAULT_LIMITS, Directory, lanesRegions } from '../bus/index.ts';
import { WORDS } from '../state/index.ts';
import { Blame } from './blame.ts';
import type { Core } from './core.ts';
import { loadService, loadTopology } from './load.ts';
import { createLog } from './log.ts';
import { lanesHash } from './node-layout.ts';
import { serviceCore } from './node-process.ts';
import { NOW } from './node-words.ts';
import { type RecordEntry, readQuarantined } from './quarantine.ts';
import type { ServiceLogic } from './service-logic.ts';

/** What the process is told. */
export interface CapsuleReplay {
  /** Folder of the capsule. */
  readonly folder: string;
  /** Scratch directory, in which the node's state is restored. */
  readonly dir: string;
  readonly topologyFile: string;
  /** Directory of the build. */
  readonly build: string;
}

/** Service time that a record has to have its turn in. */
const TURN_MS = 600_000;
const TICKS_MOST = 10_000;

/** Do it. @returns what was done, for people, if the process still lives */
export async function replayCapsule({ folder, dir, topologyFile, build }: CapsuleReplay): Promise<string> {
  const { entry } = readQuarantined(folder)!;
  const kind = entry.node.replace(/-\d+$/, '');
  const loaded = await loadTopology(topologyFile, build);
  const service = await loadService(loaded, kind);
  const limits = loaded.topology.entries.get(kind)?.limits ?? {};
  const { id } = new Directory(dir, DEFAULT_LIMITS.nodes).byName(entry.node);
  const log = createLog(entry.node, line => void process.stderr.write(line));
  const core = serviceCore(service, entry.config, { dir, name: entry.node, id, log, limits });
  const logic = own(core, entry.epoch);
  const { store } = core;
  if (entry.kind === 'message') {
    core.transact(() => logic.handleAgain(entry));
    return 'it was handled';
  }
  const pool = store.pools.get(entry.pool);
  if (pool?.generationOf(entry.slot) !== entry.generation) return 'the record is not in this state';
  const { generation, siteCode } = entry;
  pool.visits.except(entry.slot, { generation, skip: false, site: siteCode });
  const turns = visit(core, logic, entry, service.spec.tickHz);
  return store.visits.met ? `it was visited, in ${turns}` : `it was not visited in ${turns}`;
}

/** Become the owner of the copy: as a life that goes on, without telling the service so. */
function own(core: Core, epoch: number): ServiceLogic {
  const { dir, name, lock, limits } = core;
  if (lock.tryAcquire() === 'busy') throw new Error(`${dir}: the scratch copy has an owner`);
  const state = attachSegment({ dir, name, kind: 'state' });
  const lanes = { dir, name, kind: 'lanes' as const, layoutHash: lanesHash(limits) };
  core.build(state, createSegment({ ...lanes, regions: lanesRegions(limits) }));
  state.makeWritable();
  state.i32[WORDS.RESTORED] = 0;
  core.store.recover();
  core.bus.outbox.reload();
  core.life = { epoch, reason: 'crash' };
  core.blame = new Blame(undefined, lock, 0, 0);
  const logic = core.logic as ServiceLogic;
  core.transact(() => logic.again('bind'));
  return logic;
}

/** Until the record has had its turn. */
function visit(core: Core, logic: ServiceLogic, entry: RecordEntry, tickHz = 1): string {
  const { store } = core;
  if (entry.site === 'onResume') {
    store.beginLife('crash');
    core.transact(() => void store.pools.get(entry.pool)!.get(entry.slot));
    return 'its onResume';
  }
  const F = store.segment.f64;
  const isTick = entry.site !== 'attempt';
  const stepMs = isTick ? 1000 / tickHz : 1;
  let turns = 0;
  for (let ms = 0; ms < TURN_MS && turns < TICKS_MOST && !store.visits.met; ms += stepMs) {
    F[NOW] += stepMs;
    if (isTick) logic.again('tick');
    else if (!logic.again('own')) continue;
    turns++;
  }
  return isTick ? `${turns} ticks` : `${turns} own messages`;
}
