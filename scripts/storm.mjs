// npm run storm -- --kills 200 --seed 1 [--json]: the arena with bots and random kills.
import { runInside } from './lib/run.mjs';
import { setup } from './setup.mjs';

await setup();
await runInside('examples/arena/dist/storm.js', process.argv.slice(2));
