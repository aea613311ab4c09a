/** The flows of a service's code: checked when the service is defined, found by the names that records have. */
import type { Protocol } from '@lich/schema';
import { RuntimeError } from '../errors.ts';
import type { FlowSpec } from './flow.ts';

/** One flow, with its annotations. */
export interface FlowCode {
  readonly name: string;
  readonly run: (ctx: unknown, payload: unknown) => unknown;
  readonly version: number;
  readonly accepts: number;
  readonly was: readonly string[];
  readonly maxSteps: number;
  readonly maxBytes: number;
}

const FIELDS = new Set(['run', 'version', 'accepts', 'was', 'maxSteps', 'maxBytes']);
const NAME_MAX = 40;

/** @throws RuntimeError `RUNTIME_BAD_SERVICE`, naming the field */
export class FlowCodes {
  readonly all: readonly FlowCode[];
  readonly #byName = new Map<string, FlowCode>();

  constructor(service: string, protocol: Protocol, flows: Readonly<Record<string, unknown>>) {
    const bad = (what: string, want: string): never => {
      throw new RuntimeError('RUNTIME_BAD_SERVICE', `service ${service}: flows.${what}; want ${want}`);
    };
    this.all = Object.entries(flows).map(([name, value]) => {
      const role = protocol.byName.get(name)?.role;
      if (role === undefined || role === 'event')
        bad(name, 'a command, a request or an own message of the protocol: they start flows');
      if (name.length > NAME_MAX) bad(name, `a name of at most ${NAME_MAX} characters`);
      const spec = (typeof value === 'function' ? { run: value } : value) as FlowSpec<FlowCode['run']>;
      if (typeof spec !== 'object' || spec === null || !isGenerator(spec.run))
        bad(name, 'a generator function, as in `*buy(ctx, { kind }) { … }`, or { run: a generator function, … }');
      for (const key of Object.keys(spec)) if (!FIELDS.has(key)) bad(`${name}.${key}`, [...FIELDS].join(', '));
      const whole = (key: 'version' | 'accepts' | 'maxSteps' | 'maxBytes', least: number, most: number, or: number) => {
        const n = spec[key] ?? or;
        if (!Number.isInteger(n) || n < least || n > most) bad(`${name}.${key} is ${String(n)}`, `${least}..${most}`);
        return n;
      };
      const version = whole('version', 1, 0xffff_ffff, 1);
      const was = spec.was === undefined ? [] : typeof spec.was === 'string' ? [spec.was] : [...spec.was];
      return {
        name,
        run: spec.run,
        version,
        accepts: whole('accepts', 1, version, version),
        was,
        maxSteps: whole('maxSteps', 1, 100_000, 1_000),
        maxBytes: whole('maxBytes', 1_000, 2 ** 24, 65_536),
      };
    });
    for (const code of this.all) this.#byName.set(code.name, code);
    for (const code of this.all)
      for (const was of code.was) {
        if (this.#byName.has(was)) bad(`${code.name}.was: '${was}'`, 'a name that no other flow has, or had');
        this.#byName.set(was, code);
      }
  }

  /** @param name that it has, or had */
  find(name: string): FlowCode | undefined {
    return this.#byName.get(name);
  }
}

function isGenerator(value: unknown): boolean {
  return typeof value === 'function' && value.constructor.name === 'GeneratorFunction';
}
