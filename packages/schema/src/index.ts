export { CodedError } from './errors.ts';
export type { CodedErrorOptions, Severity } from './errors.ts';
