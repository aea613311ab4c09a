/** The process of one trial: loads the contender named on the command line, runs it, sends what it measured. */
import { pathToFileURL } from 'node:url';
import { PeerMissing } from './trial.ts';

// However the bench ends, a trial ends in order: what it made and started is gone with it.
const leave = (): void => process.exit(1);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, leave);
process.on('disconnect', leave);

process.once('message', async ({ input }: { input: unknown }) => {
  let answer: object;
  try {
    const contender = (await import(pathToFileURL(process.argv[2]).href)) as { default: (input: unknown) => unknown };
    answer = { measured: await contender.default(input) };
  } catch (error) {
    answer =
      error instanceof PeerMissing
        ? { missing: error.message }
        : { failed: error instanceof Error ? error.stack : String(error) };
  }
  process.send!(answer, () => process.exit());
});
