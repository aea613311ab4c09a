/** From a topology file to what it names: compiled modules, services, merged configs. */
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Config, loadConfigFile, mergeConfig } from './config.ts';
import { RuntimeError } from './errors.ts';
import { isService, type Service } from './service.ts';
import { compile, compiledPath } from './supervisor/compile.ts';
import { isTopology, type Topology, type TopologyEntry } from './topology.ts';

/** A topology with the file that it came from. */
export interface LoadedTopology {
  /** The source, absolute. */
  readonly file: string;
  readonly topology: Topology;
}

/** Compile a topology file and all files that it names, so that nothing is left to compile when a node starts.
 * @throws RuntimeError `RUNTIME_COMPILE`, `RUNTIME_BAD_TOPOLOGY` */
export async function buildTopology(file: string): Promise<LoadedTopology> {
  await compile(file);
  const loaded = await loadTopology(file);
  for (const [, entry] of loaded.topology.entries) {
    for (const named of filesOf(entry)) await compile(sibling(loaded, named));
  }
  return loaded;
}

/** Load a topology that was compiled. */
export async function loadTopology(file: string): Promise<LoadedTopology> {
  const source = resolve(file);
  const module = await importFile(source);
  const found = Object.values(module).filter(isTopology);
  if (found.length !== 1) {
    throw new RuntimeError(
      'RUNTIME_BAD_TOPOLOGY',
      `${source} exports ${found.length} topologies; want one: export const zone = topology({…})`,
    );
  }
  return { file: source, topology: found[0]! };
}

function filesOf(entry: TopologyEntry): string[] {
  const files: string[] = [];
  if (typeof entry.run === 'string') files.push(entry.run);
  else if (isRelative(entry.run.module)) files.push(entry.run.module);
  if (typeof entry.config === 'string') files.push(entry.config);
  return files;
}

export function isRelative(module: string): boolean {
  return module.startsWith('./') || module.startsWith('../');
}

/** A file that the topology names, absolute. */
export function sibling(loaded: LoadedTopology, file: string): string {
  return resolve(dirname(loaded.file), file);
}

/** Import a source file's compiled twin (or the file itself where it is JavaScript). */
export async function importFile(source: string): Promise<Record<string, unknown>> {
  return (await import(pathToFileURL(compiledPath(source)).href)) as Record<string, unknown>;
}

/** The service of an entry. @throws RuntimeError `RUNTIME_BAD_TOPOLOGY` when its file exports none, or one of another name */
export async function loadService(loaded: LoadedTopology, kind: string): Promise<Service> {
  const entry = loaded.topology.entries.get(kind);
  if (typeof entry?.run !== 'string')
    throw new RuntimeError('RUNTIME_BAD_TOPOLOGY', `topology ${kind}.run is no service file`);
  const { default: found } = await importFile(sibling(loaded, entry.run));
  if (!isService(found)) {
    throw new RuntimeError(
      'RUNTIME_BAD_TOPOLOGY',
      `topology ${kind}.run: ${entry.run} has no service as its default export`,
    );
  }
  if (found.name !== kind) {
    throw new RuntimeError(
      'RUNTIME_BAD_TOPOLOGY',
      `topology ${kind}.run: ${entry.run} defines service \`${found.name}\`; give the entry that name`,
    );
  }
  return found;
}

/** The service's config with what the topology changes in it. */
export async function loadConfig(loaded: LoadedTopology, kind: string, service: Service): Promise<Config> {
  const defaults = service.spec.config ?? {};
  const given = loaded.topology.entries.get(kind)?.config;
  if (given === undefined) return mergeConfig(defaults, {}, `service ${kind}`);
  if (typeof given !== 'string') return mergeConfig(defaults, given, `topology ${kind}.config`);
  const file = sibling(loaded, given);
  return mergeConfig(defaults, await loadConfigFile(compiledPath(file)), file);
}
