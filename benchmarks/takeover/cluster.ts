/** The supervisor, in a process of its own, as `lich up` would run it. */
import { Supervisor, type SupervisorEvent } from 'lich/runtime';
import { helperInput } from '../lib/tools.ts';

const { dir, file } = helperInput<{ dir: string; file: string }>();
const supervisor = new Supervisor({ dir, file, onEvent: (event: SupervisorEvent) => void process.send?.(event) });
process.on('SIGTERM', async () => {
  await supervisor.stop();
  process.exit();
});
await supervisor.start();
