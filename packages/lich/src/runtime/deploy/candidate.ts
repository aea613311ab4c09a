/** A candidate: the process of a deploy, before it is let in. It looks at what it would take over, says what it found in a
 * file, and then waits in the lock like any standby.
 *
 *   started ─→ refused (ends)
 *           ─→ looked (a dry run: ends)
 *           ─→ standing by ─→ … owner … ─→ failed (a throwing resume: ends) */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CodedError } from '@lich/schema';
import { writeWhole } from '../../shm/index.ts';
import { loadService, loadTopology } from '../load.ts';
import type { Service } from '../service.ts';
import type { NodeLimits } from '../topology.ts';
import { type DeployOutlook, outlookOf } from './outlook.ts';

/** What a candidate is told. */
export interface CandidateSpec {
  /** File that it reports to. */
  readonly report: string;
  /** Directory of the build that the node runs from by now. */
  readonly before: string;
  /** Own messages that may be set aside. */
  readonly setAside: readonly string[];
  /** Go on although the way back is no exact one. */
  readonly noWayBack: boolean;
  /** It is the way back itself: it goes as far as it can. */
  readonly isBack: boolean;
  /** Look, report and end. */
  readonly dryRun: boolean;
}

/** What a candidate says. */
export interface CandidateReport {
  readonly state: 'refused' | 'looked' | 'standing by' | 'failed';
  readonly outlook?: DeployOutlook;
  readonly error?: { readonly code: string; readonly message: string };
}

export interface CandidateNode {
  readonly dir: string;
  readonly name: string;
  readonly kind: string;
  readonly topologyFile: string;
  readonly service: Service;
  readonly limits: NodeLimits;
}

/** Look, and report unless all is well.
 * @returns what was found when the candidate may go on */
export async function examineCandidate(spec: CandidateSpec, node: CandidateNode): Promise<DeployOutlook | undefined> {
  if (spec.isBack) return BACK(node.name);
  const before = await serviceBefore(spec.before, node);
  const { dir, name, service, limits } = node;
  const outlook = outlookOf({ dir, name, service, limits, before, setAside: spec.setAside, noWayBack: spec.noWayBack });
  const refused = outlook.refused.length > 0;
  if (!refused && !spec.dryRun) return outlook;
  writeReport(spec.report, { state: refused ? 'refused' : 'looked', outlook });
  return undefined;
}

const BACK = (node: string): DeployOutlook => ({
  node,
  layout: 'same',
  changes: [],
  records: 0,
  usedBytes: 0,
  ms: 0,
  vanished: [],
  refused: [],
  wayBack: '',
});

/** The code that runs may be of a Lich that this one cannot load: then nothing is known of it. */
async function serviceBefore(build: string, { topologyFile, kind }: CandidateNode): Promise<Service | undefined> {
  try {
    return await loadService(await loadTopology(topologyFile, build), kind);
  } catch {
    return undefined;
  }
}

export function reportFailure(spec: CandidateSpec, error: unknown): void {
  const code = error instanceof CodedError ? error.code : '';
  writeReport(spec.report, {
    state: 'failed',
    error: { code, message: error instanceof Error ? `${error.message}${placeOf(error)}` : String(error) },
  });
}

/** Where in the project's sources it was thrown: lines and columns are those of the build. */
function placeOf({ stack }: Error): string {
  const found = /([^(\s]*)\/\.lich\/build\/[^/]+\/(.+)\.js:(\d+):(\d+)/.exec(stack ?? '');
  if (found === null) return '';
  const [, at, file, line, column] = found;
  const base = join(at.replace(/^file:\/\//, ''), file);
  const source = ['.ts', '.mts', '.js', '.mjs'].map(ending => base + ending).find(path => existsSync(path));
  return source === undefined ? '' : ` (${source}:${line}:${column})`;
}

/** Whole, or not there. */
export function writeReport(path: string, report: CandidateReport): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeWhole(path, JSON.stringify(report));
}

/** @returns undefined while nothing was reported */
export function readReport(path: string): CandidateReport | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as CandidateReport;
  } catch {
    return undefined;
  }
}
