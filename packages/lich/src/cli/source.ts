/** What a tool looks at: the state of a node, running or not, or a dump of one. */
import { existsSync } from 'node:fs';
import { attachSegment, listSegments, runtimeDir, type Segment, ShmError } from '../shm/index.ts';
import { type DumpInfo, openDump, openReader, type StoreReader } from '../state/index.ts';

export interface Source {
  /** As it was named. */
  readonly name: string;
  readonly segment: Segment;
  readonly reader: StoreReader;
  /** Process that writes it; undefined for dead ones and dumps. */
  readonly pid: number | undefined;
  readonly dump: DumpInfo | undefined;
  /** Memory or disk in use. */
  readonly usedBytes: number;
  close(): void;
}

/** `arena-1` is a node of the directory; what has a slash, or ends with .dump, is a file.
 * @param hidden show the runtime's fields too
 * @throws ShmError, StateError as attachSegment and openDump do; `SHM_NOT_FOUND` lists the nodes that there are */
export function openSource(name: string, dir: string | undefined, hidden = false): Source {
  if (isFile(name)) {
    const { segment, info } = openDump(name);
    const reader = openReader(segment, { hidden });
    const usedBytes = info.pages * 4096;
    return { name, segment, reader, pid: undefined, dump: info, usedBytes, close: () => segment.close() };
  }
  const where = useDir(dir);
  const nodes = listSegments(where);
  const found = nodes.find(node => node.name === name);
  if (found === undefined || found.segments.every(segment => segment.kind !== 'state')) {
    const names = nodes.map(node => node.name).join(', ');
    throw new ShmError(
      'SHM_NOT_FOUND',
      `there is no node ${name} in ${where}${names === '' ? ', nor any other' : `; there ${nodes.length === 1 ? 'is' : 'are'} ${names}`}. A file is named by its path: ./${name}`,
    );
  }
  const segment = attachSegment({ dir: where, name, kind: 'state', readOnly: true });
  const usedBytes = found.segments.find(({ kind }) => kind === 'state')!.usedBytes;
  return {
    name,
    segment,
    reader: openReader(segment, { hidden }),
    pid: found.owner?.pid,
    dump: undefined,
    usedBytes,
    close: () => segment.close(),
  };
}

export function isFile(name: string): boolean {
  return name.includes('/') || (name.endsWith('.dump') && existsSync(name));
}

/** The directory that was given, else that of the environment. */
export function useDir(dir: string | undefined): string {
  if (dir !== undefined) process.env.LICH_DIR = dir;
  return runtimeDir();
}
