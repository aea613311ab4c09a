import { CodedError } from '@lich/schema';

/** Every code of the `shm` room; docs/errors.md says when each one comes and what to do. */
export const SHM_CODES = [
  'SHM_UNSUPPORTED',
  'SHM_BAD_NAME',
  'SHM_EXISTS',
  'SHM_NOT_FOUND',
  'SHM_BAD_FILE',
  'SHM_ACCESS',
  'SHM_FOREIGN',
  'SHM_VERSION',
  'SHM_CORRUPT',
  'SHM_KIND',
  'SHM_LAYOUT',
  'SHM_SIZE',
  'SHM_NOT_CLEAN',
  'SHM_TOO_LARGE',
  'SHM_NO_MEMORY',
  'SHM_NOT_OWNER',
  'SHM_READ_ONLY',
  'SHM_CLOSED',
  'SHM_STALE',
  'SHM_LOCK_CORRUPT',
  'SHM_LOCK_STALE',
  'SHM_LOCK_DEAD',
  'SHM_LOCK_HELD',
  'SHM_OWNER_ALIVE',
  'SHM_IO',
] as const;

/** One of `SHM_CODES`. */
export type ShmCode = (typeof SHM_CODES)[number];

/** An operating failure of the `shm` room. Nothing that throws it has changed a file that was there before. */
export class ShmError extends CodedError<ShmCode> {}

const known: ReadonlySet<string> = new Set(SHM_CODES);

/** The code of a failure of the addon or of node:fs. */
function codeOf(error: unknown): ShmCode {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code === 'string' && known.has(code)) return code as ShmCode;
  switch (code) {
    case 'ENOENT':
      return 'SHM_NOT_FOUND';
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'SHM_ACCESS';
    case 'EEXIST':
      return 'SHM_EXISTS';
    case 'ELOOP':
    case 'EISDIR':
    case 'ENOTDIR':
    case 'ENXIO':
      return 'SHM_BAD_FILE';
    case 'ENOSPC':
    case 'ENOMEM':
    case 'EDQUOT':
      return 'SHM_NO_MEMORY';
    default:
      return 'SHM_IO';
  }
}

/** Rethrow what the addon or node:fs threw as a `ShmError`. Coded errors and programmer mistakes pass as they are. */
export function rethrow(error: unknown, doing?: string): never {
  if (error instanceof CodedError || error instanceof TypeError || error instanceof RangeError) throw error;
  const message = error instanceof Error ? error.message : String(error);
  throw new ShmError(codeOf(error), doing ? `${doing}: ${message}` : message, { cause: error });
}

/** Run `work`; what it throws becomes a `ShmError`. */
export function coded<T>(doing: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    return rethrow(error, doing);
  }
}
