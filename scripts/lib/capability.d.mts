export type Capability =
  | 'addon'
  | 'chromium'
  | 'ptrace'
  | 'linux'
  | 'memory-cgroup'
  | 'mount'
  | 'nats-server'
  | 'nodes'
  | 'setarch'
  | 'lmdb'
  | 'better-sqlite3'
  | 'zeromq'
  | `node${number}`;

export function capability(name: Capability): { ok: boolean; path?: string; why?: string };
export function have(name: Capability): boolean;
/** Where the program or module is. Throws when it is not there: ask `have` or `need` first. */
export function pathOf(name: Capability): string;
/** For tests: `describe.skipIf(!need('chromium'))`. Says a lack in one line, which the end of `npm test` repeats.
 * Throws when it lacks although LICH_TEST_REQUIRE names it. */
export function need(name: Capability): boolean;
