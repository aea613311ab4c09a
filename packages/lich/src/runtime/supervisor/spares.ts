/** Spares: processes that have loaded Lich and wait to be told which node they are to be. A deploy that need not wait for a
 * process to start has its effect in a few frames: for `lich dev`, where somebody waits. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { type NodeSpec } from '../node-process.ts';
import { NodeProcess } from './processes.ts';
import type { Program } from './programs.ts';

/** Of each node: the next save may come while the spare that the last one took is not replaced yet. */
const SPARES = 2;

/** A few for each node. A spare ends by itself when this process does. */
export class Spares {
  readonly #waiting = new Map<string, ChildProcess[]>();
  #closed = false;

  /** Have some for a node, unless there are.
   * @param node binary that runs them
   * @param output file that they write to */
  prepare(name: string, node: string, args: readonly string[], output: string): void {
    const waiting = this.#waiting.get(name) ?? [];
    this.#waiting.set(name, waiting);
    while (!this.#closed && waiting.length < SPARES) this.#start(waiting, node, args, output);
  }

  #start(waiting: ChildProcess[], node: string, args: readonly string[], output: string): void {
    const log = openSync(output, 'a', 0o600);
    // The one pipe that a child of a supervisor ever has: it is closed when the child becomes a process of its node.
    const child = spawn(node, args, { stdio: ['ignore', log, log, 'ipc'], detached: true });
    closeSync(log);
    const forget = (): void => {
      const at = waiting.indexOf(child);
      if (at >= 0) waiting.splice(at, 1);
    };
    child.once('exit', forget);
    child.once('error', forget);
    child.unref();
    child.channel?.unref();
    waiting.push(child);
  }

  /** @param program what is to run it
   * @returns undefined when there is none */
  take(name: string, spec: NodeSpec, program: Program): NodeProcess | undefined {
    const child = this.#waiting
      .get(name)
      ?.find(each => each.connected && each.exitCode === null && each.signalCode === null && isOf(each, program));
    if (child === undefined) return undefined;
    this.#waiting.get(name)!.splice(this.#waiting.get(name)!.indexOf(child), 1);
    child.ref();
    const taken = NodeProcess.of(child, spec.build);
    // It hangs up itself, once it has heard.
    child.send(spec);
    return taken;
  }

  close(): void {
    this.#closed = true;
    for (const child of [...this.#waiting.values()].flat()) child.kill('SIGKILL');
    this.#waiting.clear();
  }
}

function isOf({ spawnfile, spawnargs }: ChildProcess, { node, entry }: Program): boolean {
  return spawnfile === node && spawnargs.includes(entry);
}
