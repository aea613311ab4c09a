/** Explicit-state explorer: visits every state a model can reach, breadth first, and keeps the shortest way to each.
 *
 * A state is a row of `bytes` bytes; a model is a pure function from a row to the rows one step away. Rows live in
 * typed-array chunks beside an open-addressing hash table, so a million states of 80 bytes cost about 100 MB and a few
 * seconds. Besides violations it finds states without a way out: from every reachable state some final state must be
 * reachable without a further kill (AG EF final), which also rules out live-locks that merely poll.
 */
export type StepKind = 'step' | 'kill';

export interface Model {
  readonly name: string;
  /** Bytes per state. All bytes start as 0. */
  readonly bytes: number;
  initial(state: Uint8Array): void;
  /** Emits every step that can be taken from `state`. Must not change `state`. */
  next(state: Uint8Array, moves: Moves): void;
  /** Returns a sentence when the state breaks an invariant. */
  check(state: Uint8Array): string | undefined;
  /** True when everything that was to happen has happened. */
  isFinal(state: Uint8Array): boolean;
  /** True for a state that only one process may leave, by a finite run of steps nobody else can see. Such a state is
   * checked but not stored; the search goes on from it at once. */
  isTransient?(state: Uint8Array): boolean;
}

export interface Exploration {
  readonly ok: boolean;
  readonly states: number;
  readonly steps: number;
  readonly finals: number;
  readonly ms: number;
  /** The broken invariant, or the sentence about the stuck state. */
  readonly violation?: string;
  /** Steps from the initial state to the violation. */
  readonly path?: readonly string[];
  /** True when `maxStates` ended the search: nothing was proved. */
  readonly truncated: boolean;
}

const CHUNK_BITS = 14;
const CHUNK_STATES = 1 << CHUNK_BITS;

/** Collects the steps of one state. `begin` hands out a copy to change, `end` records it. One object, reused. */
export class Moves {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly #source: { words: Int32Array };
  readonly #record: (label: string, kind: StepKind, fault: string | undefined) => void;

  constructor(
    words: number,
    bytes: number,
    source: { words: Int32Array },
    record: (label: string, kind: StepKind, fault: string | undefined) => void,
  ) {
    const buffer = new ArrayBuffer(words * 4);
    this.bytes = new Uint8Array(buffer, 0, bytes);
    this.words = new Int32Array(buffer);
    this.#source = source;
    this.#record = record;
  }

  /** A copy of the current state, to be changed in place. */
  begin(): Uint8Array {
    this.words.set(this.#source.words);
    return this.bytes;
  }

  /** Records the changed copy as one step. `fault` is a violation that the step itself shows. */
  end(label: string, kind: StepKind = 'step', fault?: string): void {
    this.#record(label, kind, fault);
  }
}

/** Grows by doubling; plain enough to stay fast. */
class IntList {
  data = new Int32Array(1 << 16);
  length = 0;
  push(value: number): void {
    if (this.length === this.data.length) {
      const grown = new Int32Array(this.length * 2);
      grown.set(this.data);
      this.data = grown;
    }
    this.data[this.length++] = value;
  }
}

/** Visits every reachable state.
 * @param options.maxStates ends the search early (`truncated`); default 20 million
 * @returns the first violation in breadth-first order, or the counts
 */
export function explore(model: Model, options: { maxStates?: number } = {}): Exploration {
  const maxStates = options.maxStates ?? 20_000_000;
  const width = (model.bytes + 3) >> 2;
  const started = performance.now();

  const chunks: Int32Array[] = [];
  const parents = new IntList();
  const edgeStarts = new IntList();
  const edges = new IntList();
  const finals: number[] = [];
  let count = 0;
  let steps = 0;
  let table = new Int32Array(1 << 16).fill(-1);

  const current = new Int32Array(width);
  const currentBytes = new Uint8Array(current.buffer, 0, model.bytes);
  let storedId = -1;

  const hash = (row: Int32Array, at: number): number => {
    let h = 0x9e3779b9 | 0;
    for (let i = 0; i < width; i++) {
      h = Math.imul(h ^ row[at + i], 0x85ebca6b);
      h ^= h >>> 15;
    }
    h = Math.imul(h, 0xc2b2ae35);
    return (h ^ (h >>> 13)) >>> 0;
  };

  const rehash = (): void => {
    const grown = new Int32Array(table.length * 2).fill(-1);
    const mask = grown.length - 1;
    for (let id = 0; id < count; id++) {
      let slot = hash(chunks[id >> CHUNK_BITS], (id & (CHUNK_STATES - 1)) * width) & mask;
      while (grown[slot] >= 0) slot = (slot + 1) & mask;
      grown[slot] = id;
    }
    table = grown;
  };

  /** Returns the id of the row, and whether it is new, as id or ~id. */
  const intern = (row: Int32Array): number => {
    const mask = table.length - 1;
    let slot = hash(row, 0) & mask;
    for (;;) {
      const id = table[slot];
      if (id < 0) break;
      const chunk = chunks[id >> CHUNK_BITS];
      const at = (id & (CHUNK_STATES - 1)) * width;
      let i = 0;
      while (i < width && chunk[at + i] === row[i]) i++;
      if (i === width) return id;
      slot = (slot + 1) & mask;
    }
    const id = count++;
    if (id >> CHUNK_BITS === chunks.length) chunks.push(new Int32Array(CHUNK_STATES * width));
    chunks[id >> CHUNK_BITS].set(row, (id & (CHUNK_STATES - 1)) * width);
    table[slot] = id;
    if (count * 2 > table.length) rehash();
    return ~id;
  };

  // Expansion of one stored state: transient states wait in a small list of their own instead of the table.
  const isTransient = model.isTransient?.bind(model);
  let waiting: { row: Int32Array; kind: StepKind; labels: string[] | undefined }[] = [];
  let kindSoFar: StepKind = 'step';
  // Set while a path is rebuilt: the row to find, or undefined for "the step with the fault".
  let tracing = false;
  let traceTarget: Int32Array | undefined;
  let traceFound: string[] | undefined;
  let labelsSoFar: string[] = [];
  let violation: string | undefined;

  const sameRow = (a: Int32Array, b: Int32Array): boolean => {
    for (let i = 0; i < width; i++) if (a[i] !== b[i]) return false;
    return true;
  };

  const moves: Moves = new Moves(width, model.bytes, { words: current }, (label, stepKind, fault) => {
    if (violation !== undefined || traceFound !== undefined) return;
    const kind = stepKind === 'kill' || kindSoFar === 'kill' ? 'kill' : 'step';
    const transient = isTransient !== undefined && isTransient(moves.bytes);
    if (tracing) {
      const labels = [...labelsSoFar, label];
      const hit = traceTarget
        ? !transient && sameRow(moves.words, traceTarget)
        : fault !== undefined || model.check(moves.bytes) !== undefined;
      if (hit) traceFound = labels;
      else if (transient) waiting.push({ row: moves.words.slice(), kind, labels });
      return;
    }
    steps++;
    if (transient) {
      violation = fault ?? model.check(moves.bytes);
      if (violation === undefined) waiting.push({ row: moves.words.slice(), kind, labels: undefined });
      return;
    }
    let id = intern(moves.words);
    if (id < 0) {
      id = ~id;
      parents.push(storedId);
      fault ??= model.check(moves.bytes);
      if (model.isFinal(moves.bytes)) finals.push(id);
    }
    if (fault !== undefined) violation = fault;
    else if (kind === 'step' && id !== storedId) edges.push(id);
  });

  const load = (id: number, into: Int32Array): void => {
    const at = (id & (CHUNK_STATES - 1)) * width;
    into.set(chunks[id >> CHUNK_BITS].subarray(at, at + width));
  };

  const expand = (id: number): void => {
    storedId = id;
    load(id, current);
    kindSoFar = 'step';
    labelsSoFar = [];
    waiting = [];
    model.next(currentBytes, moves);
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      if (violation !== undefined || traceFound !== undefined) return;
      current.set(next.row);
      kindSoFar = next.kind;
      labelsSoFar = next.labels ?? [];
      model.next(currentBytes, moves);
    }
  };

  /** The steps from state `id` to `target`, or to the fault. */
  const trace = (id: number, target: number): string[] => {
    tracing = true;
    violation = undefined;
    traceFound = undefined;
    traceTarget = undefined;
    if (target >= 0) {
      traceTarget = new Int32Array(width);
      load(target, traceTarget);
    }
    expand(id);
    return traceFound ?? ['?'];
  };

  const pathTo = (id: number, toFault: boolean): string[] => {
    const parts: string[][] = toFault ? [trace(id, -1)] : [];
    for (let at = id; parents.data[at] >= 0; at = parents.data[at]) parts.push(trace(parents.data[at], at));
    return parts.reverse().flat();
  };

  const result = (rest: { ok: boolean; truncated: boolean; violation?: string; path?: string[] }): Exploration => ({
    states: count,
    steps,
    finals: finals.length,
    ms: Math.round(performance.now() - started),
    ...rest,
  });

  moves.words.fill(0);
  model.initial(moves.bytes);
  intern(moves.words);
  parents.push(-1);

  for (let id = 0; id < count; id++) {
    if (count > maxStates) return result({ ok: false, truncated: true });
    edgeStarts.push(edges.length);
    expand(id);
    if (violation !== undefined) {
      const found = violation;
      return result({ ok: false, truncated: false, violation: found, path: pathTo(id, true) });
    }
  }
  edgeStarts.push(edges.length);

  // Which states can still end? Edges mostly point forward, so a few backward sweeps reach the fixed point.
  const canEnd = new Uint8Array(count);
  for (const id of finals) canEnd[id] = 1;
  for (let changed = true; changed; ) {
    changed = false;
    for (let id = count - 1; id >= 0; id--) {
      if (canEnd[id]) continue;
      for (let e = edgeStarts.data[id]; e < edgeStarts.data[id + 1]; e++) {
        if (canEnd[edges.data[e]]) {
          canEnd[id] = 1;
          changed = true;
          break;
        }
      }
    }
  }
  const stuck = canEnd.indexOf(0);
  if (stuck >= 0) {
    return result({
      ok: false,
      truncated: false,
      violation: 'stuck: from here no end state can be reached without a further kill',
      path: pathTo(stuck, false),
    });
  }
  return result({ ok: true, truncated: false });
}

/** One readable paragraph: the verdict, and the steps that lead to a violation. */
export function report(model: Model, found: Exploration): string {
  if (found.ok) {
    return `${model.name}: ok, ${found.states} states, ${found.steps} steps, ${found.finals} end states, ${found.ms} ms`;
  }
  if (found.truncated) return `${model.name}: stopped at ${found.states} states, nothing proved`;
  const folded: string[] = [];
  let group = '';
  let first = '';
  let last = '';
  for (const step of [...(found.path ?? []), '']) {
    // The logged writes of one operation make one line: "A: make, log 0 .. store 8".
    const cut = /^(.*, )(?:log|store) \d+$/.exec(step)?.[1] ?? step;
    if (cut !== group || step === '') {
      if (first !== '')
        folded.push(last === first ? first : `${first} .. ${last.slice(group === last ? 0 : group.length)}`);
      group = cut;
      first = step;
    }
    last = step;
  }
  return `${model.name}: ${found.violation} (after ${found.states} states)\n  ${folded.join('\n  ')}`;
}
