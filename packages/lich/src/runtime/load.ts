/** From a topology file to what it names: compiled modules, services, merged configs. */
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Config, loadConfigFile, mergeConfig } from './config.ts';
import { RuntimeError } from './errors.ts';
import { isService, type Service } from './service.ts';
import { compile, compiledPath, projectOf } from './supervisor/compile.ts';
import { notePrograms } from './supervisor/programs.ts';
import { isTopology, talksOf, type Topology, type TopologyEntry } from './topology.ts';

/** A topology with the file that it came from. */
export interface LoadedTopology {
  /** The source, absolute. */
  readonly file: string;
  readonly topology: Topology;
  /** Directory of the build that it and its services are loaded from. */
  readonly build: string;
}

/** A topology that was just compiled. */
export interface BuiltTopology extends LoadedTopology {
  /** By kind, of entries that name files: what the service and its config became. Equal = the same code. */
  readonly hashes: ReadonlyMap<string, string>;
  /** All files that were read. */
  readonly sources: readonly string[];
}

/** Compile a topology file and all files that it names, so that nothing is left to compile when a node starts.
 * @throws RuntimeError `RUNTIME_COMPILE`, `RUNTIME_BAD_TOPOLOGY` */
export async function buildTopology(file: string): Promise<BuiltTopology> {
  // Which files there are is in the topology itself.
  const alone = await compile([file]);
  const { file: source, topology } = await loadTopology(file, alone.dir);
  const named = (entry: TopologyEntry): string[] => filesOf(entry).map(each => resolve(dirname(source), each));
  const entries = [...topology.entries];
  const build = await compile([file, ...entries.flatMap(([, entry]) => named(entry))]);
  const project = projectOf(source);
  const programs = notePrograms(build.dir, source, project, topology);
  const hashes = new Map(
    entries.flatMap(([kind, entry]) => {
      const files = named(entry);
      if (files.length === 0) return [];
      // What the topology itself says to a service is as good as code.
      const talks = talksOf(topology, kind);
      const said = JSON.stringify([
        entry.config,
        entry.limits,
        talks,
        programs.nodes[kind],
        programs.lich,
        programs.version,
      ]);
      return [[kind, [...files.map(each => build.hashOf(each)), said].join(' ')] as const];
    }),
  );
  return { file: source, topology, build: build.dir, hashes, sources: build.sources };
}

/** Load a topology that was compiled.
 * @param build directory of the build */
export async function loadTopology(file: string, build: string): Promise<LoadedTopology> {
  const source = resolve(file);
  const module = await importFile(source, build);
  const found = Object.values(module).filter(isTopology);
  if (found.length !== 1) {
    throw new RuntimeError(
      'RUNTIME_BAD_TOPOLOGY',
      `${source} exports ${found.length} topologies; want one: export const zone = topology({…})`,
    );
  }
  return { file: source, topology: found[0]!, build };
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
export async function importFile(source: string, build: string): Promise<Record<string, unknown>> {
  return (await import(pathToFileURL(compiledPath(source, build)).href)) as Record<string, unknown>;
}

/** The service of an entry. @throws RuntimeError `RUNTIME_BAD_TOPOLOGY` when its file exports none, or one of another name */
export async function loadService(loaded: LoadedTopology, kind: string): Promise<Service> {
  const entry = loaded.topology.entries.get(kind);
  if (typeof entry?.run !== 'string')
    throw new RuntimeError('RUNTIME_BAD_TOPOLOGY', `topology ${kind}.run is no service file`);
  const { default: found } = await importFile(sibling(loaded, entry.run), loaded.build);
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
  return mergeConfig(defaults, await loadConfigFile(compiledPath(file, loaded.build)), file);
}
