/** What of this host will hurt one day, told at the start (docs/running.md, Traps). */
import * as fs from 'node:fs';
import { join, resolve } from 'node:path';
import { userInfo } from 'node:os';
import { rooms } from '../shm/index.ts';

const MiB = 1_048_576;
/** Docker's default for /dev/shm is 64 MiB. */
const SMALL_BYTES = 128 * MiB;

/** Where to look; tests look elsewhere. */
export interface Host {
  /** `/` */
  readonly root: string;
  readonly uid: number;
  readonly user: string;
}

/** @returns sentences, each with what to do */
export function traps(dir: string, host: Host = thisHost()): string[] {
  return [smallTmpfs(dir), noTmpfs(dir), removeIpc(dir, host), privateTmp(dir, host)].filter(
    trap => trap !== undefined,
  );
}

function thisHost(): Host {
  const uid = process.geteuid?.() ?? 0;
  try {
    return { root: '/', uid, user: userInfo().username };
  } catch {
    return { root: '/', uid, user: String(uid) };
  }
}

function smallTmpfs(dir: string): string | undefined {
  const [fileSystem] = rooms(dir).filter(room => room.what.startsWith('file system'));
  if (fileSystem === undefined || fileSystem.limitBytes >= SMALL_BYTES) return undefined;
  return `the file system of ${dir} has ${(fileSystem.limitBytes / MiB).toFixed(0)} MiB in all: ${fileSystem.knob}; lich size says what a topology takes`;
}

function noTmpfs(dir: string): string | undefined {
  // Everything that bounds memory is asked for memory only.
  if (rooms(dir).some(room => !room.what.startsWith('file system'))) return undefined;
  return `${dir} is on a disk: after a reboot a state resumes only if it was closed in order, and pages that are written back cost time; use a directory on tmpfs`;
}

/** systemd-logind deletes what a log-in user has in /dev/shm when the last session of that user ends. */
function removeIpc(dir: string, { root, uid, user }: Host): string | undefined {
  if (!`${resolve(dir)}/`.startsWith('/dev/shm/') || uid === 0) return undefined;
  if (uid <= systemUidMax(root) || !fs.existsSync(join(root, 'run/systemd/users'))) return undefined;
  if (fs.existsSync(join(root, 'var/lib/systemd/linger', user))) return undefined;
  if (!isRemoveIpc(root)) return undefined;
  return `systemd-logind deletes everything of ${user} in /dev/shm when ${user} logs out, running or not: \`loginctl enable-linger ${user}\`, or RemoveIPC=no in /etc/systemd/logind.conf, or run as a system user`;
}

function systemUidMax(root: string): number {
  const found = /^\s*SYS_UID_MAX\s+(\d+)/m.exec(read(join(root, 'etc/login.defs')));
  return found === null ? 999 : Number(found[1]);
}

/** As systemd reads it: the main file, then drop-ins by name; the last one that says something counts. */
function isRemoveIpc(root: string): boolean {
  const places = ['usr/lib/systemd', 'usr/local/lib/systemd', 'run/systemd', 'etc/systemd'].map(at => join(root, at));
  const main = places.map(at => join(at, 'logind.conf')).filter(path => fs.existsSync(path));
  const dropIns = new Map<string, string>();
  for (const at of places) {
    const folder = join(at, 'logind.conf.d');
    if (!fs.existsSync(folder)) continue;
    for (const file of fs.readdirSync(folder)) if (file.endsWith('.conf')) dropIns.set(file, join(folder, file));
  }
  const ordered = [...dropIns].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
  let value = true;
  for (const path of [...main.slice(-1), ...ordered]) {
    for (const [, said] of read(path).matchAll(/^\s*RemoveIPC\s*=\s*(\S+)/gm))
      value = /^(?:1|yes|true|on)$/i.test(said!);
  }
  return value;
}

/** A unit with PrivateTmp or a mount namespace of its own keeps what lies in /tmp for itself, and drops it at its end. */
function privateTmp(dir: string, { root }: Host): string | undefined {
  const at = resolve(dir);
  if (!at.startsWith('/tmp/') && !at.startsWith('/var/tmp/')) return undefined;
  if (process.env.INVOCATION_ID === undefined || !/systemd-private-/.test(read(join(root, 'proc/self/mountinfo'))))
    return undefined;
  return `${at} is in the private /tmp of a systemd unit: it is gone with the unit, and commands from outside do not see it; set RuntimeDirectory and LICH_DIR`;
}

function read(path: string): string {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
