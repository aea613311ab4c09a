// npm start: set up, then run the arena. `npm start -- --keep` leaves the segments for the next start.
import { runInside } from './lib/run.mjs';
import { setup } from './setup.mjs';

await setup();
await runInside('packages/lich/bin/lich.js', ['up', 'examples/arena/topology.ts', ...process.argv.slice(2)]);
