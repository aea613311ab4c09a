/** Segments are made whole before they have a name: a new one, or one that takes the name of another. */
import * as fs from 'node:fs';
import { dirname, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { ShmError, coded, rethrow } from './errors.ts';
import { beforePath, checkDir, fileIdOf, newFile, nextPath, segmentPath, type NewFile } from './files.ts';
import { SEGMENT_BYTES_MAX, encodeHeader, placeRegions, type Header, type RegionSpec } from './header.ts';
import { holdsLock } from './held.ts';
import { bootId } from './process.ts';
import { Segment, hashOfLayout, type SegmentId } from './segment.ts';

/** What `createSegment` takes. */
export interface CreateOptions extends SegmentId {
  /** 64 bits, or a text that is hashed to 64 bits. */
  readonly layoutHash: bigint | string;
  readonly regions: readonly RegionSpec[];
  /** The schema in a form that any tool reads; kept with a checksum in region `catalog`. */
  readonly catalog?: Uint8Array | string;
  /** Refuse a larger segment; default 4 GiB. */
  readonly maxBytes?: number;
  /** Called with the mapped segment before it gets its name: what this throws leaves nothing behind. */
  readonly fill?: (segment: Segment) => void;
}

/** Make a segment that does not exist yet.
 * @throws ShmError `SHM_EXISTS` when there is one (attach to it), `SHM_TOO_LARGE`, `SHM_NO_MEMORY`, `SHM_ACCESS`. */
export function createSegment(options: CreateOptions): Segment {
  const path = segmentPath(options.dir, options.name, options.kind);
  const taken = () => new ShmError('SHM_EXISTS', `${path} exists already`, { severity: 'warn' });
  if (fileIdOf(path) !== undefined) throw taken();
  const { segment, file } = makeUnnamed(options, path);
  try {
    if (!file.publish()) throw taken();
    return segment;
  } catch (error) {
    file.discard();
    segment.close();
    return rethrow(error);
  }
}

/** A segment that will take the place of another: complete, but without its name. */
export interface Replacement {
  readonly segment: Segment;
  /** Take the name from the segment that has it: one rename, so whoever is killed leaves the old one or the new one. The
   * old file stays as `.before-<node>.state`, in place of an older one, until `dropBefore` or `lich rm`.
   * @throws ShmError `SHM_NOT_OWNER` when this thread does not hold the node's owner lock */
  take(): void;
  /** Close it and forget it: nothing is left of it. */
  discard(): void;
}

/** Make a segment beside the one that has its name.
 * @throws ShmError as `createSegment`, but for `SHM_EXISTS` */
export function createReplacement(options: CreateOptions): Replacement {
  const path = segmentPath(options.dir, options.name, options.kind);
  const { segment, file } = makeUnnamed(options, path, nextPath(path));
  return {
    segment,
    take() {
      if (!holdsLock(dirname(path), options.name)) {
        throw new ShmError(
          'SHM_NOT_OWNER',
          `${path}: only the holder of the owner lock of \`${options.name}\` may replace it`,
        );
      }
      coded('replace', () => {
        // What a killed one left. It never had the name.
        fs.rmSync(nextPath(path), { force: true });
        if (!file.publish()) throw new ShmError('SHM_EXISTS', `${nextPath(path)} is being made by somebody else`);
        fs.rmSync(beforePath(path), { force: true });
        fs.linkSync(path, beforePath(path));
        fs.renameSync(nextPath(path), path);
      });
    },
    discard() {
      file.discard();
      segment.close();
    },
  };
}

/** Give the name back to the segment that a replacement took it from.
 * @returns false when there is none
 * @throws ShmError `SHM_NOT_OWNER` */
export function takeBack(id: SegmentId): boolean {
  const path = segmentPath(id.dir, id.name, id.kind);
  if (!holdsLock(dirname(path), id.name)) {
    throw new ShmError('SHM_NOT_OWNER', `${path}: only the holder of the owner lock of \`${id.name}\` may replace it`);
  }
  if (fileIdOf(beforePath(path)) === undefined) return false;
  coded('replace', () => fs.renameSync(beforePath(path), path));
  return true;
}

/** Forget the segment that a replacement took the name from: its memory is free once nobody maps it. */
export function dropBefore(id: SegmentId): void {
  const path = segmentPath(id.dir, id.name, id.kind);
  coded('remove', () => fs.rmSync(beforePath(path), { force: true }));
}

function makeUnnamed(options: CreateOptions, path: string, target = path): { segment: Segment; file: NewFile } {
  const dir = resolve(options.dir);
  const catalog =
    typeof options.catalog === 'string'
      ? new Uint8Array(Buffer.from(options.catalog))
      : (options.catalog ?? new Uint8Array(0));
  const { regions, sizeBytes } = placeRegions(options.regions, catalog.length);
  const maxBytes = Math.min(options.maxBytes ?? SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX);
  if (sizeBytes > maxBytes) {
    throw new ShmError(
      'SHM_TOO_LARGE',
      `${path} needs ${sizeBytes} bytes, at most ${maxBytes} are allowed: lower the capacities`,
    );
  }
  checkDir(dir);
  const header: Header = {
    kind: options.kind,
    layoutHash: hashOfLayout(options.layoutHash),
    sizeBytes,
    createdMs: Date.now(),
    bootId: bootId(),
    uid: process.geteuid?.() ?? 0,
    name: options.kind === 'bells' ? '' : options.name,
    catalogBytes: catalog.length,
    catalogCrc: crc32(catalog),
    regions,
  };
  const file = newFile(target);
  let segment: Segment | undefined;
  try {
    coded('ftruncate', () => fs.ftruncateSync(file.fd, sizeBytes));
    const id = fs.fstatSync(file.fd, { bigint: true });
    segment = new Segment({
      path,
      name: header.name,
      header,
      fd: file.fd,
      id: { dev: id.dev, ino: id.ino },
      canWrite: true,
      writable: true,
      outcome: 'created',
    });
    segment.initialize(encodeHeader(header), catalog);
    options.fill?.(segment);
    return { segment, file };
  } catch (error) {
    file.discard();
    if (segment === undefined) fs.closeSync(file.fd);
    else segment.close();
    return rethrow(error);
  }
}
