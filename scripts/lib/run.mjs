import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../setup.mjs';

/** Goes on as `program` in this same process: signals reach it once and directly (a Ctrl-C on a terminal goes to the
 * whole process group, so a wrapper that forwarded it would deliver it twice), and its exit code is ours. */
export async function runInside(program, args) {
  const path = join(root, program);
  if (!existsSync(path)) {
    process.stderr.write(`${program} does not exist.\n`);
    process.exit(1);
  }
  process.chdir(root);
  process.argv = [process.execPath, path, ...args];
  await import(pathToFileURL(path).href);
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
