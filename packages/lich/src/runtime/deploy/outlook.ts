/** What a deploy of other code would find: looked at from outside, while the node runs. Nothing is written. */
import { type MessageSpec, type Protocol, syncPlanOf } from '@lich/schema';
import { attachSegment, ShmError } from '../../shm/index.ts';
import { openStore, rehearseMigration, StateError, waitingOwn } from '../../state/index.ts';
import { flowProblems } from '../flows/outlook.ts';
import { problemOf } from '../adapt.ts';
import { shapeOf } from '../former-protocols.ts';
import { lanesOf, nodePlan } from '../node-plan.ts';
import { formerHashes, ownHash } from '../own-table.ts';
import type { Service } from '../service.ts';
import type { NodeLimits } from '../topology.ts';

/** Own messages that wait, and that the new code does not have. */
export interface Vanished {
  /** As the old code calls them; empty when it does not know them either. */
  readonly name: string;
  readonly count: number;
}

/** What a deploy would find at one node. All of it is JSON. */
export interface DeployOutlook {
  readonly node: string;
  /** `same`: the new code opens the state as it is. */
  readonly layout: 'same' | 'changed';
  /** What a migration would do; empty when the layout is the same. */
  readonly changes: readonly { readonly sentence: string; readonly inverse: boolean }[];
  readonly records: number;
  readonly usedBytes: number;
  /** ms that the migration took in its rehearsal: about what the switch takes. 0 when the layout is the same. */
  readonly ms: number;
  readonly vanished: readonly Vanished[];
  /** Why this cannot be deployed; empty when it can. */
  readonly refused: readonly string[];
  /** What goes back, and how. */
  readonly wayBack: string;
}

export interface OutlookOptions {
  readonly dir: string;
  readonly name: string;
  /** The new code. */
  readonly service: Service;
  readonly limits: NodeLimits;
  /** The old code, if it is there. */
  readonly before: Service | undefined;
  /** Names of own messages that may be set aside when they fall due: the new code does not have them. */
  readonly setAside: readonly string[];
  /** Deploy what has no exact way back. */
  readonly noWayBack: boolean;
}

const BEFORE = 'before the first commit of the new code the old process goes on';
const ALL_BACK = `${BEFORE}; after it the old code goes on with the same state`;
const MIGRATED_BACK = `${BEFORE} with the old segment, exactly; after it the state is migrated back, removed fields are filled from the old segment`;
const NOT_BACK = `${BEFORE} with the old segment, exactly; after it the state is migrated back as far as it can be`;

/** @throws ShmError and StateError for a state that cannot be read */
export function outlookOf(o: OutlookOptions): DeployOutlook {
  const { dir, name, service, limits } = o;
  const plan = nodePlan(service, limits);
  const refused: string[] = [];
  let found: Found = {
    wayBack: ALL_BACK,
    layout: 'same',
    changes: [],
    records: 0,
    usedBytes: 0,
    ms: 0,
  };
  const state = attachSegment({ dir, name, kind: 'state', readOnly: true });
  let vanished: Vanished[] = [];
  try {
    try {
      openStore(state, plan);
    } catch (error) {
      if (error instanceof ShmError && error.code === 'SHM_LAYOUT') found = changed(o, refused);
      else if (error instanceof StateError) refused.push(`${error.code}: ${error.message}`);
      else throw error;
    }
    vanished = vanishedOf(o, state);
  } finally {
    state.close();
  }
  for (const { name, count } of vanished) {
    if (o.setAside.includes(name)) continue;
    const one = count === 1;
    refused.push(
      `${count} own message${one ? '' : 's'} ${name === '' ? '' : `\`${name}\` `}wait${one ? 's' : ''} that the new code does not have, or has with other fields: ` +
        `give ${one ? 'it' : 'them'} to another one by { was: '${name || 'its name'}' }, or let ${one ? 'it' : 'them'} be set aside by --set-aside ${name || 'NAME'}`,
    );
  }
  refused.push(...flowProblems(dir, name, service), ...lanesProblem(o));
  if (o.before !== undefined) refused.push(...protocolProblems(o.before, service));
  return { node: name, ...found, vanished, refused };
}

type Found = Pick<DeployOutlook, 'layout' | 'changes' | 'records' | 'usedBytes' | 'ms' | 'wayBack'>;

/** The whole migration is rehearsed, so that what would refuse it does so now, while the old code serves. */
function changed(o: OutlookOptions, refused: string[]): Found {
  const { dir, name } = o;
  try {
    const outlook = rehearseMigration({ dir, name, plan: nodePlan(o.service, o.limits) });
    for (const line of outlook.unfit.list) refused.push(`it does not fit: ${line}`);
    const more = outlook.unfit.count - outlook.unfit.list.length;
    if (more > 0) refused.push(`and ${more} more values do not fit`);
    const { records, usedBytes, ms, noWayBack } = outlook;
    const told = outlook.changes.filter(({ change, name }) => change !== 'moved' && !name.startsWith('$'));
    const changes = told.map(({ sentence, inverse, change, of, pool, class: nested }) => {
      // Found again in the old segment: of the root, and of records that still live.
      const isKept = change === 'removed' && of === 'field' && (pool !== undefined || nested === undefined);
      return { sentence, inverse: inverse || isKept };
    });
    const lost = [...changes.filter(({ inverse }) => !inverse).map(({ sentence }) => sentence), ...noWayBack];
    if (!o.noWayBack)
      for (const sentence of lost)
        refused.push(`no exact way back: ${sentence}; --no-way-back deploys it all the same`);
    return {
      layout: 'changed',
      changes,
      records,
      usedBytes,
      ms: Math.round(ms),
      wayBack: lost.length > 0 ? NOT_BACK : MIGRATED_BACK,
    };
  } catch (error) {
    if (!(error instanceof ShmError || error instanceof StateError)) throw error;
    refused.push(`the state cannot be migrated: ${error.code}: ${error.message}`);
    return { layout: 'changed', changes: [], records: 0, usedBytes: 0, ms: 0, wayBack: BEFORE };
  }
}

function vanishedOf({ service, before }: OutlookOptions, state: Parameters<typeof waitingOwn>[0]): Vanished[] {
  const known = new Set(service.protocol.messages.flatMap(message => [ownHash(message), ...formerHashes(message)]));
  const names = new Map(
    (before?.protocol.messages ?? []).flatMap(message =>
      [ownHash(message), ...formerHashes(message)].map(hash => [hash, message.name] as const),
    ),
  );
  return waitingOwn(state, hash => known.has(hash)).map(({ hash, count }) => ({ name: names.get(hash) ?? '', count }));
}

function lanesProblem({ dir, name, limits }: OutlookOptions): string[] {
  try {
    attachSegment({ dir, name, kind: 'lanes', layoutHash: lanesOf(limits), readOnly: true }).close();
    return [];
  } catch (error) {
    if (!(error instanceof ShmError)) throw error;
    if (error.code !== 'SHM_LAYOUT') throw error;
    return ['limits.lanesBytes is another than before: messages that are under way lie in the lanes'];
  }
}

function isForPlayers({ spec }: Service, { role, from }: MessageSpec): boolean {
  return spec.me !== undefined && role !== 'topic' && (role === 'event' || from !== 'services');
}

/** Services of both versions speak with each other until all are deployed, and again when it is taken back.
 * @returns why they could not */
function versionProblem(old: MessageSpec, now: MessageSpec): string | undefined {
  const pairs = [[old.layout, now.layout] as const];
  if (old.reply !== undefined && now.reply !== undefined) pairs.push([now.reply, old.reply]);
  for (const [from, to] of pairs) {
    const why = problemOf(from, to) ?? problemOf(to, from);
    if (why !== undefined) return `: ${why}`;
  }
  return undefined;
}

/** What is under way, and who is connected, speaks the old protocol: messages that were there have to stay as they were,
 * for players under their ids too. Between services fields may be added and left out. */
export function protocolProblems(before: Service, after: Service): string[] {
  const wrong: string[] = [];
  const said = (protocol: Protocol): MessageSpec[] => protocol.messages.filter(({ role }) => role !== 'own');
  for (const old of said(before.protocol)) {
    const now = after.protocol.byName.get(old.name);
    const what = `${old.role} \`${old.name}\``;
    if (now === undefined) wrong.push(`${what} is gone: who is connected may say it still`);
    else if (now.id !== old.id && after.spec.me !== undefined)
      wrong.push(
        `${what} is message ${now.id} now, it was ${old.id}: declare new messages after those that were there`,
      );
    else if (shapeOf(now) !== shapeOf(old)) {
      const why = isForPlayers(after, now) ? '' : versionProblem(old, now);
      if (why !== undefined) wrong.push(`${what} has other fields, or another reply, than before${why}`);
    }
  }
  if (before.spec.me !== after.spec.me)
    wrong.push(`\`me\` is ${String(after.spec.me)}, it was ${String(before.spec.me)}`);
  else if (after.spec.me !== undefined && syncPlanOf(before.state).hash !== syncPlanOf(after.state).hash)
    wrong.push('fields that are sent to players (.sync) changed: who is connected would misread them');
  return wrong;
}
