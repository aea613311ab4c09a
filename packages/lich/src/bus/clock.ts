/** The host's clock: milliseconds since it booted, the same in all its processes, to the microsecond. */

/** `performance.now` begins with the process. */
const OFFSET_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** @remarks Some 40 ns. */
export function hostMs(): number {
  return performance.now() + OFFSET_MS;
}
