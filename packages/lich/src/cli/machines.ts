/** `lich inspect --machine`: the state machines of a state, drawn as text: what each state may switch to, and how many
 * records are in it now. */
import type { MachineShape, PoolLayout, StateLayout, StructLayout } from '@lich/schema';
import { machinesOf } from '../state/internal.ts';
import type { Source } from './source.ts';
import { count, number, print } from './text.ts';

const BAR = 24;

/** One machine, and where it is. */
export interface MachineInUse {
  /** `lamps.light`, `Wolf of flock.mode`, or the name of a root field. */
  readonly where: string;
  readonly initial: string;
  readonly records: number;
  readonly states: readonly {
    readonly name: string;
    readonly records: number;
    readonly to: readonly { readonly state: string; readonly by: readonly string[] }[];
  }[];
}

/** @returns all machines of a state, as of one commit */
export function machinesIn({ reader }: Source): MachineInUse[] {
  return reader.snapshot(s => {
    const found: MachineInUse[] = [];
    const layouts: StateLayout = reader.layouts;
    for (const { path, kind } of machinesOf(layouts.root))
      found.push(inUse(path.join('.'), kind, [at(s.root(), path)]));
    for (const pool of layouts.pools) {
      const classes = classesOf(pool);
      if (!classes.some(each => machinesOf(each).length > 0)) continue;
      const records = s.entries(pool.name).map(entry => entry.value);
      for (const layout of classes) {
        const own = pool.variants === undefined ? records : records.filter(each => each.variant === layout.name);
        for (const { path, kind } of machinesOf(layout)) {
          const name = `${pool.name}.${path.join('.')}`;
          const values = own.map(record => at(record, path));
          found.push(inUse(pool.variants === undefined ? name : `${name} of ${layout.name}`, kind, values));
        }
      }
    }
    return found;
  });
}

function classesOf(pool: PoolLayout): StructLayout[] {
  return pool.variants?.map(variant => variant.layout) ?? [pool.layout];
}

function at(record: unknown, path: readonly string[]): unknown {
  return path.reduce((value, name) => (value as Record<string, unknown>)[name], record);
}

function inUse(where: string, kind: MachineShape, values: readonly unknown[]): MachineInUse {
  const states = kind.names.map(name => {
    const { to = [], on = {}, after } = kind.chart.states[name] ?? {};
    const by = new Map<string, string[]>();
    const add = (state: string, how: string) => void by.set(state, [...(by.get(state) ?? []), how]);
    for (const state of to) add(state, 'to');
    for (const [event, state] of Object.entries(on)) add(state, `on ${event}`);
    if (after !== undefined) add(after[1], `after ${duration(after[0])}`);
    const records = values.filter(value => value === name).length;
    return { name, records, to: [...by].map(([state, how]) => ({ state, by: how })) };
  });
  return { where, initial: kind.chart.initial, records: values.length, states };
}

function duration(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 120_000) return `${ms / 1_000} s`;
  if (ms < 7_200_000) return `${ms / 60_000} min`;
  return `${ms / 3_600_000} h`;
}

/** Draw them. @returns 1 when there is none */
export function printMachines(source: Source, json: boolean): number {
  const machines = machinesIn(source);
  if (json) print(JSON.stringify(machines, undefined, 2));
  else if (machines.length === 0) print(`${source.name} has no state machine`);
  else for (const machine of machines) draw(machine);
  return machines.length === 0 ? 1 : 0;
}

function draw({ where, initial, records, states }: MachineInUse): void {
  print(`${where}  ${count(records, 'record')}`);
  const width = Math.max(...states.map(({ name }) => name.length));
  const digits = number(records).length;
  for (const { name, records: here, to } of states) {
    const bar = '█'.repeat(records === 0 ? 0 : Math.ceil((here / records) * BAR));
    print(
      `  ${name === initial ? '●' : '○'} ${name.padEnd(width)}  ${number(here).padStart(digits)}  ${bar}`.trimEnd(),
    );
    to.forEach(({ state, by }, k) =>
      print(`  ${k === to.length - 1 ? '└' : '├'}──► ${state.padEnd(width)}  ${by.join(', ')}`),
    );
  }
  print();
}
