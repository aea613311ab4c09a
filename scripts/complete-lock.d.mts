type Entry = { readonly version?: string; readonly resolved?: string; readonly link?: boolean };
export interface LockFile {
  readonly packages: Record<string, Entry>;
}
/** The optional dependencies that the lock file names but does not list: [name, version, package that wants it]. */
export function missingFrom(lock: LockFile): [name: string, version: string, parent: Entry][];
