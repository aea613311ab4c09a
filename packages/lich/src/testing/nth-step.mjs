// Stops a process before its n-th step that others can see: calls that make or change files, native verbs that do, and,
// where they are given, stores into shared memory. Knows nothing of Lich, so that it works in front of dist/ too.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const FILES = ['ftruncateSync', 'writeSync', 'linkSync', 'renameSync', 'unlinkSync', 'rmSync', 'mkdirSync'];
const NATIVE = ['allocate', 'linkFd', 'makeFifo', 'lockFormat', 'lockTry', 'mapOver', 'protect', 'futexWake', 'ringFd'];
const ATOMICS = ['store', 'exchange', 'or', 'and', 'add'];
const LOG = ['begin', 'write', 'writeF64', 'commit'];
const MAKES = fs.constants.O_CREAT | 0o20000000;

/** Counts steps, and stops before one of them. */
export class Steps {
  count = 0;
  /** Told the name of each, in order. */
  names = [];
  #undo = [];
  #at;
  #stop;

  /** @param native the verbs of the addon, as one object
   * @param at number of the step, 1 and up; 0 = none
   * @param stop called before it is done, and before each one after it */
  constructor(native, at, stop) {
    this.#at = at;
    this.#stop = stop;
    for (const name of FILES) this.#wrap(fs, name);
    this.#wrap(fs, 'openSync', ([, flags]) =>
      typeof flags === 'number' ? (flags & MAKES) !== 0 : /[wax]/.test(flags),
    );
    this.#wrapWriteFile();
    syncBuiltinESMExports();
    for (const name of NATIVE) this.#wrap(native, name);
  }

  /** Stores into shared memory too, and the changes of an undo log. */
  stores(log) {
    for (const name of ATOMICS) this.#wrap(Atomics, name);
    for (const name of LOG) this.#wrap(log, name);
  }

  #step(name) {
    this.count++;
    this.names.push(name);
    if (this.#at > 0 && this.count >= this.#at) this.#stop();
  }

  #wrap(object, name, counts = () => true) {
    const real = object[name];
    const step = () => this.#step(name);
    object[name] = function (...args) {
      if (counts(args)) step();
      return real.apply(this, args);
    };
    this.#undo.push(() => void (object[name] = real));
  }

  /** A file may be written by half. */
  #wrapWriteFile() {
    const real = fs.writeFileSync;
    fs.writeFileSync = (path, data, options) => {
      this.#step('writeFileSync');
      if (this.count + 1 === this.#at) real(path, String(data).slice(0, String(data).length >> 1), options);
      this.#step('writeFileSync, half');
      return real(path, data, options);
    };
    this.#undo.push(() => void (fs.writeFileSync = real));
  }

  remove() {
    for (const undo of this.#undo.reverse()) undo();
    this.#undo = [];
    syncBuiltinESMExports();
  }
}
