/** Ports and folders of the arena, for all of its processes. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const number = (name: string, otherwise: number): number => Number(process.env[name] || otherwise);

/** The page. */
export const WEB_PORT = number('LICH_ARENA_PORT', 8080);
/** The first gateway; each further one is a port higher. */
export const GATEWAY_PORT = number('LICH_ARENA_WS', 7777);
export const GATEWAYS = number('LICH_ARENA_GATEWAYS', 1);
/** Company for whoever opens the page. */
export const BOTS = number('LICH_ARENA_BOTS', 50);

export const gatewayUrls = (): string[] =>
  Array.from({ length: GATEWAYS }, (_, k) => `ws://127.0.0.1:${GATEWAY_PORT + k}`);

/** The folder of the example. The code may run from there, or from what was built below it. */
export function exampleFolder(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'page/index.html'))) return folder;
    if (folder === dirname(folder)) throw new Error('page/index.html is not where the arena is');
  }
}

/** The folder of a package's modules. */
export const modulesOf = (name: string): string => dirname(createRequire(import.meta.url).resolve(name));
