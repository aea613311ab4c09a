/** What the rooms below need besides index.ts, and users do not. */
export { coded, rethrow } from './errors.ts';
export { lockPath, newFile, segmentPath } from './files.ts';
export { EPOCH_OFFSET, FORMAT_VERSION } from './header.ts';
