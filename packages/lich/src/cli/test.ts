import { parseArgs } from 'node:util';
import { runTwice } from '../runtime/index.ts';
import { Progress } from './progress.ts';
import { openReplay } from './replay-inputs.ts';
import { useDir } from './source.ts';
import { number, print } from './text.ts';
import { UsageError } from './usage.ts';

/** `lich test --twice`: do the handlers depend on anything but the state and what they are given?
 * @returns 1 when an input does something else the second time, or than when it was recorded */
export async function test(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      twice: { type: 'boolean', default: false },
      from: { type: 'string' },
      to: { type: 'string' },
    },
  });
  const [topology, node] = positionals;
  const wanted = 'want lich test zone.ts arena-1 --twice --from arena-1.dump';
  if (topology === undefined || node === undefined || positionals.length > 2) throw new UsageError(wanted);
  if (!values.twice || values.from === undefined) throw new UsageError(wanted);
  const replay = await openReplay({ topology, node, from: values.from, dir: useDir(values.dir) });
  const progress = new Progress(`test ${node}`);
  try {
    const from = replay.k;
    const to = values.to === undefined ? replay.inputs.lastK : Number(values.to);
    if (!(to >= from && to <= replay.inputs.lastK))
      throw new UsageError(`--to takes ${from} to ${replay.inputs.lastK}`);
    const differs = runTwice(replay, to, k => progress.at(k - from, to - from));
    progress.end();
    if (differs === undefined) {
      print(`${node}: inputs ${number(from + 1)} to ${number(to)} do the same twice, and what was recorded`);
      return 0;
    }
    const { input, what, place, first, second, asRecorded, message } = differs;
    if (place !== undefined)
      print(
        `${node}: input ${number(input.k)}, ${what}: ${place} differs, ${first} the first time, ${second} the second`,
      );
    else if (!asRecorded) print(`${node}: ${message}. Both runs now do the same: is it the code that was recorded?`);
    else print(`${node}: input ${number(input.k)}, ${what}: ${message ?? 'only one of two runs commits'}`);
    return 1;
  } finally {
    progress.end();
    replay.close();
  }
}
