/** Spares: processes that have loaded Lich and wait to be told which node they are to be. A deploy that need not wait for a
 * process to start has its effect in a few frames: for `lich dev`, where somebody waits. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { type NodeSpec } from '../node-process.ts';
import { NodeProcess } from './processes.ts';

/** At most one for each node. A spare ends by itself when this process does. */
export class Spares {
  readonly #waiting = new Map<string, ChildProcess>();
  #closed = false;

  /** Have one for a node, unless there is one. @param output file that it writes to */
  prepare(name: string, args: readonly string[], output: string): void {
    if (this.#closed || this.#waiting.has(name)) return;
    const log = openSync(output, 'a', 0o600);
    // The one pipe that a child of a supervisor ever has: it is closed when the child becomes a process of its node.
    const child = spawn(process.execPath, args, { stdio: ['ignore', log, log, 'ipc'], detached: true });
    closeSync(log);
    const forget = (): void => {
      if (this.#waiting.get(name) === child) this.#waiting.delete(name);
    };
    child.once('exit', forget);
    child.once('error', forget);
    child.unref();
    child.channel?.unref();
    this.#waiting.set(name, child);
  }

  /** @returns undefined when there is none */
  take(name: string, spec: NodeSpec): NodeProcess | undefined {
    const child = this.#waiting.get(name);
    if (child === undefined || !child.connected || child.exitCode !== null || child.signalCode !== null)
      return undefined;
    this.#waiting.delete(name);
    child.ref();
    const taken = NodeProcess.of(child, spec.build);
    // It hangs up itself, once it has heard.
    child.send(spec);
    return taken;
  }

  close(): void {
    this.#closed = true;
    for (const child of this.#waiting.values()) child.kill('SIGKILL');
    this.#waiting.clear();
  }
}
