import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { type Host, traps } from './traps.ts';

afterEach(removeTestDirs);

/** A host with these files below its root. */
function host(files: Record<string, string>, more: Partial<Host> = {}): Host {
  const root = testDir();
  for (const [path, text] of Object.entries(files)) {
    fs.mkdirSync(dirname(`${root}/${path}`), { recursive: true });
    fs.writeFileSync(`${root}/${path}`, text);
  }
  return { root, uid: 1000, user: 'ann', ...more };
}

const LOGIND = { 'run/systemd/users/1000': '' };
const said = (h: Host): boolean => traps('/dev/shm', h).some(trap => trap.includes('systemd-logind deletes'));

it.each<[string, boolean, Record<string, string>, Partial<Host>?]>([
  ['no systemd-logind', false, {}],
  ['systemd-logind as it comes', true, LOGIND],
  ['a system user', false, LOGIND, { uid: 999 }],
  ['root', false, LOGIND, { uid: 0, user: 'root' }],
  ['another bound of system users', false, { ...LOGIND, 'etc/login.defs': 'SYS_UID_MAX 1999\n' }],
  ['lingering', false, { ...LOGIND, 'var/lib/systemd/linger/ann': '' }],
  ['somebody else lingers', true, { ...LOGIND, 'var/lib/systemd/linger/bob': '' }],
  ['turned off', false, { ...LOGIND, 'etc/systemd/logind.conf': '[Login]\nRemoveIPC=no\n' }],
  ['a comment', true, { ...LOGIND, 'etc/systemd/logind.conf': '[Login]\n#RemoveIPC=no\n' }],
  [
    'turned on again by a drop-in',
    true,
    {
      ...LOGIND,
      'usr/lib/systemd/logind.conf.d/10-a.conf': 'RemoveIPC=no',
      'etc/systemd/logind.conf.d/20-b.conf': 'RemoveIPC=yes',
    },
  ],
])('logs out and loses /dev/shm: %s', (_, is, files, more) => {
  expect(said(host(files, more))).toBe(is);
});

it('a directory elsewhere is not removed at log-out; one on a disk is told', () => {
  const disk = fs.mkdtempSync('/var/tmp/lich-traps-');
  try {
    const found = traps(disk, host(LOGIND));
    expect(found.some(trap => trap.includes('logs out'))).toBe(false);
    if (fs.statfsSync(disk).type !== 0x01021994) expect(found.join()).toContain('is on a disk');
  } finally {
    fs.rmdirSync(disk);
  }
});
