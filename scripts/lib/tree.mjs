import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const SKIPPED = new Set(['node_modules', 'dist', 'build', '.git', '.cache', 'results', 'screenshots', 'test-results']);

/** Every file below `folder` whose path passes `keep`, in a fixed order. A folder that does not exist has none. */
export function filesBelow(folder, keep = () => true) {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
  return entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(entry => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : filesBelow(path, keep);
      return keep(path) ? [path] : [];
    });
}

export const isTest = path => /\.(test|test-d|test-bed)\.ts$/.test(path);
