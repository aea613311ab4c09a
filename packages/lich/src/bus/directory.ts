/** Who is in the cluster: one small file `nodes/<index>` a node, made once, never changed, removed only by `lich rm`.
 *
 *   nodes/0007   {"name":"arena-1","id":16843521}
 *   nodes/0012   {"name":"market-1","id":16843777,"host":"b","via":"link-1"}      a node elsewhere, and the way to it
 *
 * An index is claimed by link(2) of a finished temporary file, so a name is whole or absent and two claims of one index
 * cannot both win; what a killed claim leaves is a `.tmp` file that nobody reads. The name is who a node is; its index is
 * the node's row in the bells file and its place in the lanes' in tables, and stays with the name over restarts; its id is
 * how it is addressed, and changes only while nothing runs and nothing waits (numbering.ts). */
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { enterWhole } from '../shm/index.ts';
import { BusError } from './errors.ts';
import { formatId } from './node-ids.ts';

/** A node: name, id and index stay together for the life of the cluster. */
export interface NodeEntry {
  /** 0..limits.nodes-1 */
  readonly index: number;
  /** `arena-1` */
  readonly name: string;
  /** world.zone.kind.instance: node-ids.ts */
  readonly id: number;
  /** Where it runs, if elsewhere. */
  readonly host?: string;
  /** Name of the link of this host that stands for it, if it runs elsewhere. */
  readonly via?: string;
}

/** Where a node elsewhere runs, and which link leads there. */
export interface Elsewhere {
  readonly host: string;
  readonly via: string;
}

/** More than the clock tick of any file system here. */
const SETTLED_MS = 100;

/** The nodes of a cluster, as this process knows them. Reads files when it meets a name that it does not know. */
export class Directory {
  readonly #path: string;
  readonly #maxNodes: number;
  readonly #byIndex: (NodeEntry | undefined)[] = [];
  readonly #byName = new Map<string, NodeEntry>();
  readonly #byId = new Map<number, NodeEntry>();
  #all: readonly NodeEntry[] = [];
  /** When the folder changed last, as it was read; NaN when that may not be all. */
  #seenMs = Number.NaN;

  constructor(dir: string, maxNodes: number) {
    this.#path = join(dir, 'nodes');
    this.#maxNodes = maxNodes;
    mkdirSync(this.#path, { recursive: true, mode: 0o700 });
    this.refresh();
  }

  /** The node of that name, entered if it is new.
   * @param where of a node elsewhere
   * @throws BusError `BUS_NODE_ID_TAKEN` when another name has the id, or the name has another id, or is entered with another
   *   host; `BUS_TOO_MANY_NODES` when all indexes are taken. */
  ensure(name: string, id: number, where?: Elsewhere): NodeEntry {
    for (;;) {
      const known = this.#byName.get(name) ?? (this.refresh(), this.#byName.get(name));
      if (known) {
        if (known.id !== id >>> 0)
          throw new BusError(
            'BUS_NODE_ID_TAKEN',
            `node ${name} is entered with id ${formatId(known.id)}, not ${formatId(id)}`,
          );
        if (known.host === where?.host && known.via === where?.via) return known;
        throw new BusError(
          'BUS_NODE_ID_TAKEN',
          `node ${name} is entered as one ${placeOf(known)}, not ${placeOf(where)}: a name is one node in the whole cluster`,
        );
      }
      const holder = this.#byId.get(id >>> 0);
      if (holder)
        throw new BusError('BUS_NODE_ID_TAKEN', `node id ${formatId(id)} belongs to ${holder.name}, not ${name}`);
      this.#claim({ name, id: id >>> 0, ...where });
    }
  }

  #claim(entry: Omit<NodeEntry, 'index'>): void {
    const { name } = entry;
    let index = 0;
    while (this.#byIndex[index]) index++;
    if (index >= this.#maxNodes) {
      throw new BusError(
        'BUS_TOO_MANY_NODES',
        `${this.#maxNodes} nodes are entered, ${name} finds no place: raise bus.nodes`,
      );
    }
    // Taken meanwhile: the caller looks at who is there, and tries the next one.
    enterWhole(join(this.#path, String(index).padStart(4, '0')), nodeText(entry));
    this.refresh();
  }

  /** As known since the last `refresh`: O(1), does not look at files. */
  byIndex(index: number): NodeEntry | undefined {
    return this.#byIndex[index];
  }

  /** @throws BusError `BUS_UNKNOWN_NODE` */
  byName(name: string): NodeEntry {
    const found = this.#byName.get(name) ?? (this.refresh(), this.#byName.get(name));
    if (found) return found;
    throw new BusError(
      'BUS_UNKNOWN_NODE',
      `no node ${name} in ${this.#path}; known: ${[...this.#byName.keys()].join(', ')}`,
    );
  }

  /** By index, as known since the last `refresh`. */
  all(): readonly NodeEntry[] {
    return this.#all;
  }

  /** Look for nodes that were entered since. Costs a stat where nothing was. */
  refresh(): void {
    const { mtimeMs } = statSync(this.#path);
    if (mtimeMs === this.#seenMs) return;
    // A file system's clock is coarse: what was changed just now may be changed again under the same time.
    this.#seenMs = Date.now() - mtimeMs > SETTLED_MS ? mtimeMs : Number.NaN;
    const before = this.#byName.size;
    for (const file of readdirSync(this.#path)) {
      if (!/^\d{4}$/.test(file) || this.#byIndex[Number(file)]) continue;
      const index = Number(file);
      const entry = { index, ...parse(readFileSync(join(this.#path, file), 'utf8'), join(this.#path, file)) };
      const { name, id } = entry;
      this.#byIndex[index] = entry;
      // Two processes that entered one name at once may both have won an index: the lower one counts, for everybody.
      const other = this.#byName.get(name);
      if (!other || other.index > index) this.#byName.set(name, entry);
      const sameId = this.#byId.get(id);
      if (!sameId || sameId.index > index) this.#byId.set(id, entry);
    }
    if (this.#byName.size !== before) this.#all = [...this.#byName.values()].sort((a, b) => a.index - b.index);
  }
}

/** What a node's file holds. */
export function nodeText({ name, id, host, via }: Omit<NodeEntry, 'index'>): string {
  return `${JSON.stringify({ name, id, host, via })}\n`;
}

function parse(text: string, path: string): Omit<NodeEntry, 'index'> {
  try {
    const { name, id, host, via } = JSON.parse(text) as Record<keyof NodeEntry, unknown>;
    if (typeof name === 'string' && Number.isInteger(id)) {
      const node = { name, id: Number(id) >>> 0 };
      if (host === undefined && via === undefined) return node;
      if (typeof host === 'string' && typeof via === 'string') return { ...node, host, via };
    }
  } catch {
    // falls through to the coded error
  }
  throw new BusError('BUS_UNKNOWN_NODE', `${path} is not a node entry; remove it if nothing of this cluster runs`);
}

function placeOf(where: Partial<Elsewhere> | undefined): string {
  return where?.host === undefined ? 'of this host' : `of host ${where.host} via ${where.via}`;
}
