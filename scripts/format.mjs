// npm run format: biome writes the formatting of the whole tree, or of the paths given.
import { runTool } from './lib/run.mjs';
import { setup } from './setup.mjs';

await setup({ compileErrors: 'return' });
const paths = process.argv.slice(2);
const { code } = await runTool('@biomejs/biome/bin/biome', ['format', '--write', ...(paths.length ? paths : ['.'])]);
process.exitCode = code;
