// Node loads a module in most of a millisecond, and the packages have more than two hundred: a process that is to serve
// would spend twice as long on that as on all else. So what runs is written into a few files as well, in `dist/bundle`;
// package.json names those to Node. Types, browsers and whoever wants to read have the files one by one.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { filesBelow } from './tree.mjs';

/** By package: what is imported, or run, by its own name. */
const ENTRIES = {
  schema: { index: 'index.js' },
  lich: {
    index: 'index.js',
    shm: 'shm/index.js',
    state: 'state/index.js',
    bus: 'bus/index.js',
    runtime: 'runtime/index.js',
    gateway: 'gateway/index.js',
    'gateway-run': 'gateway/run.js',
    link: 'link/index.js',
    'link-run': 'link/run.js',
    'node-entry': 'runtime/entry.js',
    'capsule-entry': 'runtime/capsule-entry.js',
    cli: 'cli/main.js',
  },
};

/** A file that says where it lies means the one that tsc wrote; an entry means its bundle. */
function places(dist, entries) {
  const bundleOf = new Map(Object.entries(entries).map(([name, file]) => [join(dist, file), `./${name}.js`]));
  const seenFromBundle = path => bundleOf.get(path) ?? relative(join(dist, 'bundle'), path);
  return {
    name: 'places',
    transform(code, id) {
      if (!code.includes('import.meta.url')) return null;
      return code
        .replace(
          /new URL\((['"])(\.[^'"]+)\1, import\.meta\.url\)/g,
          (_, quote, to) =>
            `new URL(${JSON.stringify(seenFromBundle(resolve(dirname(id), to)))}, import.meta.URL_OF_BUNDLE)`,
        )
        .replaceAll(
          'import.meta.url',
          `new URL(${JSON.stringify(relative(join(dist, 'bundle'), id))}, import.meta.URL_OF_BUNDLE).href`,
        )
        .replaceAll('import.meta.URL_OF_BUNDLE', 'import.meta.url');
    },
  };
}

function hashOf(dist) {
  const hash = createHash('sha256').update(fs.readFileSync(import.meta.filename));
  for (const path of filesBelow(dist, path => path.endsWith('.js') && !path.includes('/bundle/')).sort())
    hash.update(`${path}\0`).update(fs.readFileSync(path)).update('\0');
  return hash.digest('hex');
}

/** Write the bundles of what was compiled, where they are not those of these files already. */
export async function bundle(root) {
  for (const [name, entries] of Object.entries(ENTRIES)) {
    const dist = join(root, 'packages', name, 'dist');
    const stamp = join(dist, 'bundle/.hash');
    const hash = hashOf(dist);
    if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === hash) continue;
    const { rolldown } = await import('rolldown');
    const input = Object.fromEntries(Object.entries(entries).map(([as, file]) => [as, join(dist, file)]));
    const made = await rolldown({
      input,
      platform: 'node',
      external: id => !id.startsWith('.') && !id.startsWith('/'),
      plugins: [places(dist, entries)],
      // As it was written, for who reads a stack.
      optimization: { inlineConst: false },
    });
    const { output } = await made.generate({ format: 'esm', chunkFileNames: 'part-[hash].js', comments: false });
    await made.close();
    const draft = join(dist, `bundle.${process.pid}`);
    fs.mkdirSync(draft, { recursive: true });
    for (const file of output) fs.writeFileSync(join(draft, file.fileName), file.code);
    fs.writeFileSync(join(draft, '.hash'), hash);
    // Processes that run have read theirs; one that starts just now finds either.
    const old = `${draft}.old`;
    if (fs.existsSync(join(dist, 'bundle'))) fs.renameSync(join(dist, 'bundle'), old);
    fs.renameSync(draft, join(dist, 'bundle'));
    fs.rmSync(old, { recursive: true, force: true });
  }
}
