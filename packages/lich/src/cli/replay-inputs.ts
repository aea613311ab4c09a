import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DEFAULT_LIMITS, Directory } from '../bus/index.ts';
import {
  buildTopology,
  firstDifference,
  Inputs,
  KIND_NAMES,
  loadConfig,
  loadService,
  placeOf,
  Replay,
  serviceCore,
} from '../runtime/index.ts';
import { dumpSegment, openDump, openReader } from '../state/index.ts';
import { compare, printResult } from './diff.ts';
import { Progress } from './progress.ts';
import { openSource, useDir } from './source.ts';
import { count, number, print } from './text.ts';
import { UsageError } from './usage.ts';

/** Fields of one record that are listed. */
const LIMIT = 20;
/** Places of one input that are listed. */
const PLACES = 6;

const PLURALS = KIND_NAMES.map(name => (name === 'own' ? 'own messages' : name === 'life' ? 'lives' : `${name}s`));

/** What replays begin with: a topology, a node, a dump. */
export interface ReplayArgs {
  readonly topology: string;
  readonly node: string;
  readonly from: string;
  readonly dir: string;
}

/** The inputs that a node was given since a dump, over that dump. */
export async function openReplay({ topology, node, from, dir }: ReplayArgs): Promise<Replay> {
  const kind = node.slice(0, node.lastIndexOf('-'));
  const loaded = await buildTopology(topology);
  const service = await loadService(loaded, kind);
  const config = await loadConfig(loaded, kind, service);
  const limits = loaded.topology.entries.get(kind)!.limits ?? {};
  const { id } = new Directory(dir, DEFAULT_LIMITS.nodes).byName(node);
  const quiet = { info() {}, warn() {}, error() {} };
  return Replay.open({
    dir,
    node,
    dump: resolve(from),
    inputs: new Inputs(dir, node),
    core: (where, name) => serviceCore(service, config, { dir: where, name, id, log: quiet, limits }),
  });
}

/** `lich replay <topology> <node> --from <dump>`: rebuild S_k from a dump and what the node was given since.
 * @returns 1 when it is not what `--with` has, byte by byte */
export async function replayInputs(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      with: { type: 'string' },
      back: { type: 'string', default: '0' },
    },
  });
  const [topology, node] = positionals;
  if (topology === undefined || node === undefined || positionals.length > 2 || values.from === undefined)
    throw new UsageError('want a topology, a node and a dump: lich replay zone.ts arena-1 --from arena-1.dump');
  const other = values.with === undefined ? undefined : openDump(resolve(values.with)).segment;
  const otherK = other && Number(openReader(other, { hidden: true }).snapshot(state => state.root()['$k']));
  const asked = values.to === undefined ? otherK : whole('--to', values.to);
  if (otherK !== undefined && asked !== otherK)
    throw new UsageError(`${values.with} is the state after input ${otherK}, --to says ${asked}`);
  const steps = whole('--back', values.back);
  const replay = await openReplay({ topology, node, from: values.from, dir: useDir(values.dir) });
  try {
    const to = asked ?? replay.inputs.lastK;
    forwards(replay, node, to);
    let code = 0;
    if (other !== undefined) {
      const difference = firstDifference(replay.segment, other);
      if (difference === undefined) print(`equal to ${values.with}, byte by byte`);
      else {
        const { word, a, b } = difference;
        print(`not equal to ${values.with}: ${placeOf(replay.core, word)} (word ${word}) is ${a}, there ${b}`);
        showFields(replay, resolve(values.with!));
        code = 1;
      }
    }
    for (let n = 0; n < steps && replay.k > replay.firstK; n++) backwards(replay);
    return code;
  } finally {
    replay.close();
  }
}

function forwards(replay: Replay, node: string, to: number): void {
  const progress = new Progress(`replay ${node}`);
  const beganMs = performance.now();
  const from = replay.k;
  const kinds = new Map<number, number>();
  try {
    for (let k = from + 1; k <= to; k++) {
      const kind = replay.inputs.at(k)?.kind;
      if (kind !== undefined) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      // To the last one in one go: it says what is wrong with `to`.
      if (kind === undefined) break;
      replay.to(k);
      if ((k & 1023) === 0) progress.at(k - from, to - from);
    }
    replay.to(to);
  } finally {
    progress.end();
  }
  const seconds = (performance.now() - beganMs) / 1000;
  const of = [...kinds].map(([kind, n]) => count(n, KIND_NAMES[kind] ?? 'other', PLURALS[kind])).join(', ');
  print(
    `${node}: input ${number(from)} to ${number(replay.k)} in ${seconds.toFixed(2)} s${of === '' ? '' : `: ${of}`}`,
  );
}

/** One input is undone, and told with what it had changed. */
function backwards(replay: Replay): void {
  const input = replay.inputs.at(replay.k)!;
  const values = new Map<number, number>();
  const { i32 } = replay.segment;
  const { after } = replay.changes();
  const places = new Set<string>();
  for (const word of [...after.keys()].sort((a, b) => a - b)) {
    values.set(word, i32[word]);
    if (places.size < PLACES) places.add(placeOf(replay.core, word));
  }
  replay.back();
  const shown = [...places].join(', ');
  print(
    `${number(input.k)}  ${replay.describe(input)} at ${new Date(input.now).toISOString()}: ${count(values.size, 'word')}${shown === '' ? '' : `: ${shown}`}`,
  );
}

/** The same in fields, as far as fields differ. */
function showFields(replay: Replay, dump: string): void {
  const path = join(tmpdir(), `lich-replay-${process.pid}.dump`);
  try {
    dumpSegment(replay.segment, path, { packing: 'none' });
    const [a, b] = [openSource(path, undefined), openSource(dump, undefined)];
    printResult(compare(a, b, LIMIT));
    a.close();
    b.close();
  } finally {
    rmSync(path, { force: true });
  }
}

function whole(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new UsageError(`${name} takes a whole number, not ${text}`);
  return value;
}
