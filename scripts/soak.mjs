// npm run soak: the long versions. Every test that reads LICH_SOAK runs its long size: more kills, more seeds, all
// crash points. Paths or vitest options go through: `npm run soak -- packages/lich/src/state`.
import { runTool } from './lib/run.mjs';
import { setup } from './setup.mjs';

await setup();
const { code } = await runTool('vitest/vitest.mjs', ['run', ...process.argv.slice(2)], { env: { LICH_SOAK: '1' } });
process.exitCode = code;
