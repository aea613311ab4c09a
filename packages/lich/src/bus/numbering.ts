/** Which ids the nodes of a cluster have. A node is its name; its id follows from the number of its kind, which is entered
 * once, and from its instance. So the order of entries in a topology means nothing, and what changes later moves no id.
 *
 *   ids     {"widths":[8,8,8,8],"kinds":{"arena":2,"gate":1}}
 *
 * Written by the supervisor alone, under its lock, before the nodes that follow from it: whoever is killed in between is
 * followed by one that comes to the same. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../shm/index.ts';
import { Directory, type Elsewhere, type NodeEntry, nodeText } from './directory.ts';
import { BusError } from './errors.ts';
import { DEFAULT_WIDTHS, flawOfWidths, type IdWidths, mostOf, nodeId, partsOf } from './node-ids.ts';

/** What was entered. */
export interface Numbering {
  readonly widths: IdWidths;
  /** Number of each kind, 1 and up. */
  readonly kinds: ReadonlyMap<string, number>;
}

/** A node of a topology. */
export interface NamedNode {
  readonly name: string;
  readonly kind: string;
  /** 1 and up */
  readonly instance: number;
  /** Where it runs, if not on this host. */
  readonly elsewhere?: Elsewhere;
}

export interface EnterOptions {
  readonly dir: string;
  readonly maxNodes: number;
  readonly widths: IdWidths;
  readonly nodes: readonly NamedNode[];
  /** Told which nodes would get another id than they have, before anything is written: throws what forbids it. */
  readonly mayMove: (moving: readonly NodeEntry[]) => void;
}

const ids = (dir: string): string => join(dir, 'ids');

/** @returns undefined while nothing was entered
 * @throws BusError `BUS_IDS` when the file is none */
export function readNumbering(dir: string): Numbering | undefined {
  const path = ids(dir);
  if (!existsSync(path)) return undefined;
  try {
    const { widths, kinds } = JSON.parse(readFileSync(path, 'utf8')) as { widths: IdWidths; kinds: object };
    const list = Object.entries(kinds) as [string, unknown][];
    if (flawOfWidths(widths) === undefined && list.every(([, number]) => Number.isInteger(number)))
      return { widths, kinds: new Map(list as [string, number][]) };
  } catch {
    // falls through to the coded error
  }
  throw new BusError(
    'BUS_IDS',
    `${path} does not say how nodes are numbered; remove it if nothing of this cluster runs`,
  );
}

/** Enter the nodes of a topology, with all that their ids follow from.
 * @throws BusError `BUS_IDS` when a number does not fit its width, `BUS_NODE_ID_TAKEN`, `BUS_TOO_MANY_NODES`; what `mayMove`
 * throws */
export function enterNodes(o: EnterOptions): Map<string, NodeEntry> {
  const before = new Directory(o.dir, o.maxNodes);
  const known = readNumbering(o.dir) ?? derived(before);
  const kinds = withNew(known.kinds, o.nodes, o.widths);
  const moving = before.all().flatMap(entry => {
    // A node elsewhere has the id that its host gives it.
    const id = entry.via === undefined ? idOf(entry.name, kinds, o.widths) : undefined;
    return id === undefined || id === entry.id ? [] : [{ ...entry, id }];
  });
  if (moving.length > 0) o.mayMove(moving.map(({ index }) => before.byIndex(index)!));
  if (kinds.size !== known.kinds.size || String(o.widths) !== String(known.widths) || !existsSync(ids(o.dir)))
    writeWhole(ids(o.dir), `${JSON.stringify({ widths: o.widths, kinds: Object.fromEntries(kinds) })}\n`);
  for (const entry of moving) {
    writeWhole(join(o.dir, 'nodes', String(entry.index).padStart(4, '0')), nodeText(entry));
  }
  const directory = moving.length === 0 ? before : new Directory(o.dir, o.maxNodes);
  const enter = ({ name, elsewhere }: NamedNode): NodeEntry => {
    // A node elsewhere keeps the id that it came with.
    const there = elsewhere && directory.all().find(node => node.name === name && node.via !== undefined);
    return directory.ensure(name, there?.id ?? idOf(name, kinds, o.widths)!, elsewhere);
  };
  return new Map(o.nodes.map(node => [node.name, enter(node)]));
}

/** A directory without the file: kinds have the numbers that their nodes were entered with. */
function derived(directory: Directory): Numbering {
  const kinds = new Map<string, number>();
  for (const { name, id, via } of directory.all()) {
    const kind = kindOf(name);
    if (kind !== undefined && via === undefined && !kinds.has(kind)) kinds.set(kind, partsOf(id)[2]);
  }
  return { widths: DEFAULT_WIDTHS, kinds };
}

/** New kinds by name, so that hosts that begin with the same topology come to the same numbers. */
function withNew(
  known: ReadonlyMap<string, number>,
  nodes: readonly NamedNode[],
  widths: IdWidths,
): ReadonlyMap<string, number> {
  const kinds = new Map(known);
  const added = new Set(nodes.map(({ kind }) => kind).filter(kind => !kinds.has(kind)));
  for (const kind of [...added].sort()) kinds.set(kind, 1 + Math.max(0, ...kinds.values()));
  const most = mostOf(widths[2]);
  for (const [kind, number] of kinds) {
    if (number <= most) continue;
    throw new BusError(
      'BUS_IDS',
      `kind ${kind} has number ${number}, ids have ${widths[2]} bits for it, 0..${most}: give it more in topology(…, { ids })`,
    );
  }
  return kinds;
}

/** `arena-12` → arena; undefined for a name that no topology gives. */
function kindOf(name: string): string | undefined {
  return /^(.+)-\d+$/.exec(name)?.[1];
}

function idOf(name: string, kinds: ReadonlyMap<string, number>, widths: IdWidths): number | undefined {
  const kind = kinds.get(kindOf(name) ?? '');
  if (kind === undefined) return undefined;
  const instance = Number(name.slice(name.lastIndexOf('-') + 1));
  if (instance > mostOf(widths[3]))
    throw new BusError(
      'BUS_IDS',
      `${name} is entered, and ids have ${widths[3]} bits for the instance, 0..${mostOf(widths[3])}: give it more in topology(…, { ids })`,
    );
  // One world and one zone a cluster so far.
  return nodeId(widths[0] > 0 ? 1 : 0, widths[1] > 0 ? 1 : 0, kind, instance, widths);
}
