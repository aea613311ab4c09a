import { describe, expect, test } from 'vitest';
import { checkRoom, cgroupDirs, cgroupMounts, rooms } from './memory.ts';

const v1 = '36 25 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory';
const v1container = '1 2 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory';
const v2 = '30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate';
const other = '37 25 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct';

describe('which directories hold the limits of this process', () => {
  test.each([
    [
      'version 1, nested',
      v1,
      '4:memory:/a/b\n0::/x',
      ['/sys/fs/cgroup/memory/a/b', '/sys/fs/cgroup/memory/a', '/sys/fs/cgroup/memory'],
    ],
    ['version 1, root', v1, '4:memory:/', ['/sys/fs/cgroup/memory']],
    [
      "version 1, a container that sees the host's path",
      v1container,
      '4:memory:/docker/abc/in',
      ['/sys/fs/cgroup/memory/in', '/sys/fs/cgroup/memory'],
    ],
    ['version 1, a path outside of what is mounted', v1container, '4:memory:/elsewhere', ['/sys/fs/cgroup/memory']],
    ['version 1, a name that only begins alike', v1container, '4:memory:/docker/abcd', ['/sys/fs/cgroup/memory']],
    [
      'version 2, nested',
      v2,
      '0::/user.slice/one',
      ['/sys/fs/cgroup/user.slice/one', '/sys/fs/cgroup/user.slice', '/sys/fs/cgroup'],
    ],
    [
      'both',
      `${v1}\n${v2}\n${other}`,
      '4:memory:/a\n3:cpu,cpuacct:/c\n0::/b',
      ['/sys/fs/cgroup/memory/a', '/sys/fs/cgroup/memory', '/sys/fs/cgroup/b', '/sys/fs/cgroup'],
    ],
    ['no memory controller', other, '3:cpu,cpuacct:/', []],
    ['a point with a space', '36 25 0:32 / /mnt/c\\040g rw - cgroup2 none rw', '0::/a', ['/mnt/c g/a', '/mnt/c g']],
  ])('%s', (_, mountinfo, cgroup, dirs) => {
    expect(cgroupDirs(cgroupMounts(mountinfo), cgroup).map(({ dir }) => dir)).toEqual(dirs);
  });
});

test('room on tmpfs is bounded by the file system and the host at least', () => {
  const found = rooms('/dev/shm');
  expect(found.map(({ what }) => what)).toContain('file system of /dev/shm');
  expect(found.map(({ what }) => what)).toContain('memory of this host');
  for (const { limitBytes, freeBytes } of found) {
    expect(freeBytes).toBeGreaterThanOrEqual(0);
    expect(freeBytes).toBeLessThanOrEqual(limitBytes);
  }
});

test('what does not fit is refused with both numbers and the setting', () => {
  expect(() => checkRoom('/dev/shm', 2 ** 50, 'segment x')).toThrow(
    /segment x needs 1125899906842624 bytes and \d+ of \d+ are free in .*:/,
  );
});
