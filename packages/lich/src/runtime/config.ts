/** A service's config: the literal in its definition gives fields, types and defaults; the topology overrides some.
 * Read at start and at each resume, fixed for the life: a handler is a function of state, config and message. */
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { RuntimeError } from './errors.ts';

export type ConfigValue = number | string | boolean | readonly ConfigValue[] | { readonly [name: string]: ConfigValue };
export type Config = Readonly<Record<string, unknown>>;

/** Overlay `overrides` on `defaults`, checking that each field exists and has the type of its default.
 * @param where named in errors: a file, or the topology entry
 * @throws RuntimeError `RUNTIME_BAD_CONFIG`, naming file and field */
export function mergeConfig(defaults: Config, overrides: Config, where: string, path = ''): Config {
  const merged: Record<string, unknown> = { ...defaults };
  for (const [key, value] of Object.entries(overrides)) {
    const field = path + key;
    if (!Object.hasOwn(defaults, key)) {
      refuse(
        where,
        field,
        `is not a field of this config; known: ${Object.keys(defaults)
          .map(name => path + name)
          .join(', ')}`,
      );
    }
    const wanted = defaults[key];
    if (kindOf(value) !== kindOf(wanted)) {
      refuse(where, field, `is ${show(value)}, want a ${kindOf(wanted)} such as ${show(wanted)}`);
    }
    if (typeof value === 'number' && !Number.isFinite(value)) refuse(where, field, `is ${value}, want a finite number`);
    if (Array.isArray(value)) checkElements(value, (wanted as readonly unknown[])[0], where, field);
    merged[key] =
      kindOf(value) === 'object' ? mergeConfig(wanted as Config, value as Config, where, `${field}.`) : value;
  }
  return deepFreeze(merged);
}

/** Elements have the type of the default's first one; where the default is empty, any will do. */
function checkElements(values: readonly unknown[], wanted: unknown, where: string, field: string): void {
  for (const [index, value] of values.entries()) {
    if (wanted !== undefined && kindOf(value) !== kindOf(wanted)) {
      refuse(where, `${field}[${index}]`, `is ${show(value)}, want a ${kindOf(wanted)} such as ${show(wanted)}`);
    }
    if (typeof value === 'number' && !Number.isFinite(value))
      refuse(where, `${field}[${index}]`, `is ${value}, want a finite number`);
  }
}

/** The overrides that a config file holds: its default export.
 * @throws RuntimeError `RUNTIME_BAD_CONFIG` when there is no such file or it exports no object */
export async function loadConfigFile(file: string): Promise<Config> {
  if (!existsSync(file)) throw new RuntimeError('RUNTIME_BAD_CONFIG', `config file ${file} does not exist`);
  const loaded = (await import(pathToFileURL(file).href)) as { default?: unknown };
  if (kindOf(loaded.default) !== 'object') {
    throw new RuntimeError(
      'RUNTIME_BAD_CONFIG',
      `config file ${file} must export an object as its default, not ${show(loaded.default)}`,
    );
  }
  return loaded.default as Config;
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function refuse(where: string, field: string, what: string): never {
  throw new RuntimeError('RUNTIME_BAD_CONFIG', `${where}: field ${field} ${what}`);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
