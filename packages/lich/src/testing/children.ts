/** Real child processes that obey orders, and directories for segments, for tests. */
import { fork, type ChildProcess } from 'node:child_process';
import * as fs from 'node:fs';

const dirs: string[] = [];

/** A directory for the segments of one test: on tmpfs, or in LICH_TEST_DIR, which may be on a disk. */
export function testDir(): string {
  const dir = fs.mkdtempSync(`${process.env.LICH_TEST_DIR ?? '/dev/shm'}/lich-test-`);
  dirs.push(dir);
  return dir;
}

/** Remove every directory that `testDir` made: for `afterEach`. */
export function removeTestDirs(): void {
  for (const dir of dirs.splice(0)) fs.rmSync(dir, { recursive: true, force: true });
}

/** What a child said. */
export interface Answer {
  // oxlint-disable-next-line typescript/no-explicit-any -- each order has its own answer
  readonly [key: string]: any;
  readonly error?: { name: string; code: string; message: string };
}

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A child process that is sent `{do, ...details}` over IPC and sends answers back, in order. */
export class Child {
  readonly process: ChildProcess;
  /** Resolves when it has ended. */
  readonly ended: Promise<ChildEnd>;
  #answers: Answer[] = [];
  #wanting: ((answer: Answer) => void)[] = [];

  /** @param file a JavaScript file that obeys
   * @param launcher program and arguments to start it with instead of this Node */
  constructor(file: string, launcher: readonly string[] = [process.execPath]) {
    this.process = fork(file, [], {
      execPath: launcher[0],
      execArgv: launcher.slice(1),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.process.on('message', message => {
      const want = this.#wanting.shift();
      if (want) want(message as Answer);
      else this.#answers.push(message as Answer);
    });
    this.ended = new Promise(resolve => {
      this.process.on('exit', (code, signal) => {
        for (const want of this.#wanting.splice(0)) {
          want({ error: { name: 'Exit', code: 'CHILD_ENDED', message: `child ended: ${code ?? signal}` } });
        }
        resolve({ code, signal });
      });
    });
  }

  get pid(): number {
    return this.process.pid!;
  }

  /** The next answer. */
  next(): Promise<Answer> {
    const answer = this.#answers.shift();
    return answer ? Promise.resolve(answer) : new Promise(resolve => this.#wanting.push(resolve));
  }

  /** Give an order and wait for the answer, which may be an error. */
  order(what: string, details: object = {}): Promise<Answer> {
    this.process.send({ do: what, ...details });
    return this.next();
  }

  /** The same, and an error rejects. */
  async ask(what: string, details: object = {}): Promise<Answer> {
    const answer = await this.order(what, details);
    if (answer.error) throw new Error(`${what}: ${answer.error.code} ${answer.error.message}`);
    return answer;
  }

  /** Send a signal and wait for the end. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<ChildEnd> {
    this.process.kill(signal);
    return this.ended;
  }
}
