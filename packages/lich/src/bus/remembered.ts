/** Who, of a cluster, has met a node: those whose streams with it would begin anew if it were made again. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { attachSegment, listSegments, ShmError } from '../shm/index.ts';
import { openReader } from '../state/index.ts';
import { Directory } from './directory.ts';
import { BusError } from './errors.ts';
import { DEFAULT_LIMITS } from './lanes-layout.ts';

/** Names of the other nodes whose states know lanes of that node. Reads their segments from outside. */
export function rememberedBy(dir: string, name: string): string[] {
  if (!existsSync(join(dir, 'nodes'))) return [];
  const entry = new Directory(dir, DEFAULT_LIMITS.nodes).all().find(node => node.name === name);
  if (entry === undefined) return [];
  const others = listSegments(dir).filter(node => node.name !== name);
  return others.map(node => node.name).filter(other => hasMet(dir, other, entry.index));
}

function hasMet(dir: string, name: string, index: number): boolean {
  try {
    const segment = attachSegment({ dir, name, kind: 'state' });
    try {
      const peers = openReader(segment, { hidden: true }).snapshot(s => s.root()['$peers']) as number[] | undefined;
      return (peers?.[index] ?? 0) !== 0;
    } finally {
      segment.close();
    }
  } catch (error) {
    // What cannot be read cannot go on either.
    if (error instanceof ShmError) return false;
    throw error;
  }
}

/** @throws BusError `BUS_REMEMBERED` */
export function refuseRemembered(dir: string, name: string): void {
  const names = rememberedBy(dir, name);
  if (names.length === 0) return;
  throw new BusError(
    'BUS_REMEMBERED',
    `${name} is remembered by ${names.join(', ')}: what it has told them since the dump stays told, and what is on its way between them is dropped. Restore them all from dumps of one time, or say --forget`,
  );
}
