// npm run bench -- [topic…] [--small] [--json] [--save] [--list]: ours beside peers, each trial in its own process.
import { runInside } from './lib/run.mjs';
import { setup } from './setup.mjs';

await setup();
await runInside('benchmarks/dist/lib/main.js', process.argv.slice(2));
