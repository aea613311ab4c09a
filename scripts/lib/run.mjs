import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../setup.mjs';

/** Goes on as `program` in this same process: no wrapper stands between it and signals, and its exit code is ours. The
 * npm scripts begin with `exec` for the same reason: a shell between npm and us would keep what npm passes on. */
export async function runInside(program, args) {
  const path = join(root, program);
  if (!existsSync(path)) {
    process.stderr.write(`${program} does not exist.\n`);
    process.exit(1);
  }
  mergeSignals();
  process.chdir(root);
  process.argv = [process.execPath, path, ...args];
  await import(pathToFileURL(path).href);
}

/** npm passes on SIGINT and SIGTERM, and a Ctrl-C reaches us from the terminal as well: the two are one wish to end,
 * and a program that takes the second for impatience must not see it. Signals further apart than this are two. */
const SAME_SIGNAL_MS = 1_000;

function mergeSignals() {
  const emit = process.emit;
  let last = -Infinity;
  process.emit = function (event, ...args) {
    if (event === 'SIGINT' || event === 'SIGTERM') {
      const now = performance.now();
      if (now - last < SAME_SIGNAL_MS) return true;
      last = now;
    }
    return emit.call(this, event, ...args);
  };
}

/** Runs a tool to its end and resolves with its exit code, 128 + n for signal n. With `capture` its output comes back
 * as text instead of going to the terminal. */
export function run(command, args, { capture = false, env, cwd = root } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: capture ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'])
      child[name]?.setEncoding('utf8').on('data', text => (output[name] += text));
    // Sent to us alone (kill, npm), a signal must not leave the tool behind; from a terminal the tool has it already,
    // and the tools run here take it twice without harm.
    const forward = signal => child.kill(signal);
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    for (const signal of signals) process.on(signal, forward);
    const settle = () => signals.forEach(signal => process.off(signal, forward));
    child.on('error', error => (settle(), reject(error)));
    child.on('close', (code, signal) => (settle(), resolve({ code: code ?? 128, signal, ...output })));
  });
}

/** Runs the program of an installed package with this Node. */
export const runTool = (program, args, options) =>
  run(process.execPath, [join(root, 'node_modules', program), ...args], options);

/** Runs a script of ours with this Node. */
export const runScript = (script, args, options) => run(process.execPath, [join(root, script), ...args], options);
