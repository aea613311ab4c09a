// Completes package-lock.json: `npm install` leaves out an optional platform package that the registry at hand does
// not serve, and `npm ci` then refuses the whole lock file. This writes the missing entries (version, os, cpu, libc),
// without a checksum, so that they are skipped where they do not fit and fetched where they do. Run it after
// `npm install` of something new; scripts/tidy.test.ts says when it is needed.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const CPU = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'x64'];

/** The optional dependencies that the lock file names but does not list: [name, version, package that wants it]. */
export function missingFrom(lock) {
  const missing = [];
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (!lock.packages[`node_modules/${name}`] && !lock.packages[`${path}/node_modules/${name}`]) {
        missing.push([name, version, entry]);
      }
    }
  }
  return missing;
}

function entryFor(name, version, parent) {
  const words = name.slice(name.indexOf('/') + 1).split('-');
  const os = words.find(word => OS.includes(word));
  const cpu = words.find(word => CPU.includes(word));
  if (!os || !cpu || !/^\d/.test(version)) throw new Error(`cannot tell the platform of ${name}@${version}`);
  const libc = words.some(word => word.startsWith('musl'))
    ? ['musl']
    : words.some(word => word.startsWith('gnu'))
      ? ['glibc']
      : undefined;
  return {
    version,
    cpu: [cpu],
    ...(parent.dev && { dev: true }),
    ...(libc && { libc }),
    license: parent.license,
    optional: true,
    os: [os],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const path of ['package-lock.json', 'benchmarks/peers/package-lock.json']) {
    const file = new URL(`../${path}`, import.meta.url);
    const lock = JSON.parse(readFileSync(file, 'utf8'));
    const missing = missingFrom(lock);
    for (const [name, version, parent] of missing) {
      lock.packages[`node_modules/${name}`] = entryFor(name, version, parent);
    }
    lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')));
    if (missing.length) writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
    process.stdout.write(`${path}: ${missing.length} platform packages added\n`);
  }
}
