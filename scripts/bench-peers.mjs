// npm run bench:peers: installs what the benchmarks stand beside and what must compile (a minute or two, and a C++
// compiler). benchmarks/peers is no workspace, so nothing else waits for it.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './lib/run.mjs';
import { root } from './setup.mjs';

const peers = join(root, 'benchmarks/peers');
const wanted = readFileSync(join(peers, 'package-lock.json'), 'utf8');
const installed = join(peers, 'node_modules/.lich-lock'); // a copy of the lock file that was installed

if (existsSync(installed) && readFileSync(installed, 'utf8') === wanted) {
  process.stdout.write('the peers are installed already\n');
} else {
  process.stdout.write('installing benchmarks/peers, a minute or two ...\n');
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm'];
  const { code } = await run(npm[0], [...npm.slice(1), 'ci', '--no-workspaces', '--loglevel=error'], { cwd: peers });
  if (code === 0) {
    writeFileSync(installed, wanted);
    process.stdout.write('the peers are installed: npm run bench\n');
  } else {
    process.stderr.write(
      'the peers need a C++ compiler, make and python3 (Debian: apt-get install g++ make python3)\n',
    );
  }
  process.exitCode = code;
}
