import { f64, state, u32 } from '@lich/schema';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openStore, type Store, storePlan } from '../../state/index.ts';
import { StoreTrace } from '../../testing/crash.ts';
import { memorySegment } from '../../testing/memory-segment.ts';
import { LINE, LINES_HEAD_BYTES, LineReader, LineWriter, SURVIVES, UNDONE } from './line-ring.ts';
import { CommittedLines, committedLines, reportFields } from './report.ts';

const plan = storePlan(state({ n: u32, sum: f64 }), { logWords: 1 << 12, system: reportFields });
const regions = [{ name: 'lines', bytes: LINES_HEAD_BYTES + 1024 }];
const NOW = 1_700_000_000_000;

interface Life {
  readonly store: Store<{ n: number; sum: number }>;
  readonly writer: LineWriter;
  readonly reader: LineReader;
  readonly end: number;
}

/** The next process, over what the last one left. */
function live(bytes: { S?: Uint8Array; R?: Uint8Array } = {}, trace?: StoreTrace): Life {
  const segment = memorySegment({
    regions: plan.regions,
    catalog: plan.catalog,
    ...(bytes.S && { bytes: bytes.S }),
    ...(trace && { wrap: trace.wrap('S') }),
  });
  const report = memorySegment({
    regions,
    ...(bytes.R && { bytes: bytes.R }),
    ...(trace && { wrap: trace.wrap('R') }),
  });
  const store = openStore(segment, plan) as unknown as Life['store'];
  const end = bytes.S === undefined ? 0 : committedLines(segment, store.layouts);
  if (bytes.S !== undefined) store.recover();
  const writer = new LineWriter(report, new CommittedLines(store), NOW);
  store.onRollback(() => writer.rolledBack());
  return { store, writer, reader: new LineReader(report), end };
}

const bytesOf = ({ store, reader }: Life) => ({
  S: new Uint8Array(store.segment.buffer),
  R: new Uint8Array(reader.segment.buffer),
});

/** One transaction each: what it does after its line. */
const script: ((life: Life, k: number) => void)[] = [
  () => {},
  ({ writer }) => void writer.write('error', SURVIVES),
  ({ writer }) => {
    writer.write('error', SURVIVES);
    throw new Error('undone');
  },
  () => {
    throw new Error('undone');
  },
  ({ store, writer }, k) => {
    const savepoint = store.log.savepoint();
    writer.write(`part ${k}`, 0);
    writer.write('part error', SURVIVES);
    store.log.rollbackTo(savepoint);
    writer.write(`behind ${k}`, 0);
  },
  ({ store, writer }) => {
    const savepoint = store.log.savepoint();
    writer.write('error', SURVIVES);
    store.log.rollbackTo(savepoint);
    throw new Error('undone');
  },
];

function run(life: Life, k: number): void {
  const { store, writer } = life;
  store.log.begin();
  try {
    writer.write(`line ${k}`, 0);
    store.state.n = k;
    script[k % script.length]!(life, k);
    store.state.sum += k;
    store.log.commit();
  } catch {
    store.log.rollback();
  }
  if (k % 3 === 0) writer.publish();
}

const committed = (k: number): boolean => ![2, 3, 5].includes(k % script.length);

describe('lines of a node', () => {
  it('killed after any store: what is committed has its lines once, what is not has none but last words', () => {
    const trace = new StoreTrace();
    const life = live({}, trace);
    run(life, 0);
    trace.start({ S: life.store.segment, R: life.reader.segment });
    const ends: number[] = [];
    for (let k = 1; k <= 11; k++) {
      run(life, k);
      ends.push(trace.length);
    }
    let points = 0;
    let lastWords = 0;
    trace.replay((at, { S, R }) => {
      points++;
      const begun = ends.filter(end => end <= at).length;
      const next = live({ S: S!.slice(), R: R!.slice() });
      const { n } = next.store.state;
      const { lines, lostBytes } = next.reader.read(0);
      expect(lostBytes).toBe(0);
      const said = lines.filter(({ flags }) => (flags & UNDONE) === 0).map(({ text }) => text);
      const numbers = said.filter(text => text.startsWith('line ')).map(text => Number(text.slice(5)));
      const want = Array.from({ length: 12 }, (_, k) => k).filter(k => k <= Math.max(n, 0) && committed(k));
      expect(numbers, `after ${at} stores`).toEqual(want);
      expect(said.filter(text => text.startsWith('behind ')).length).toBe(want.filter(k => k % 6 === 4).length);
      expect(said.some(text => text.startsWith('part ') && text !== 'part error')).toBe(false);
      // Those of transactions that ended, and perhaps one more.
      const errors = Array.from({ length: begun }, (_, k) => k + 1).filter(k => [1, 2, 4, 5].includes(k % 6)).length;
      const found = lines.filter(({ text }) => text.endsWith('error')).length;
      expect([errors, errors + 1], `after ${at} stores`).toContain(found);
      // Last words are of the transaction that was open alone.
      const undone = lines.filter(({ flags, text }) => (flags & UNDONE) !== 0 && text.startsWith('line '));
      for (const { text } of undone) expect(text).toBe(`line ${begun + 1}`);
      lastWords += undone.length;
      // A look from outside before the next life sees the same.
      expect(next.end).toBeLessThanOrEqual(next.reader.published);
      // Once more: the next life leaves nothing to do.
      const third = live({
        S: new Uint8Array(next.store.segment.buffer),
        R: new Uint8Array(next.reader.segment.buffer),
      });
      expect(third.reader.read(0).lines).toEqual(lines);
    }, 1);
    expect(points).toBeGreaterThan(400);
    expect(lastWords).toBeGreaterThan(100);
  });

  it('a dead node is read as its next life would show it', () => {
    const life = live();
    run(life, 0);
    const { next } = life.reader.read(0);
    const { store, writer } = life;
    for (const k of [1, 6]) run(life, k);
    store.log.begin();
    writer.write('open', 0);
    writer.write('open error', SURVIVES);
    store.state.n = 99;
    const words = life.reader.read(next, committedLines(store.segment, store.layouts));
    expect(words.lines.map(({ text, flags }) => [text, (flags & UNDONE) !== 0])).toEqual([
      ['line 1', false],
      ['error', false],
      ['line 6', false],
      ['open', true],
      ['open error', true],
    ]);
    expect(life.reader.read(words.next)).toEqual({ lines: [], next: words.next, lostBytes: 0 });
    const again = live(bytesOf(life));
    expect(again.reader.read(next)).toEqual({
      ...words,
      lines: words.lines.map(line => ({ ...line, flags: line.flags | LINE })),
    });
    expect(again.reader.read(words.next).lines).toEqual([]);
  });

  it('a reader that is overtaken goes on at the oldest line that is whole, and knows what it lost', () => {
    const { writer, reader } = live();
    let said = 0;
    let cursor = reader.read(0).next;
    for (let round = 0; round < 50; round++) {
      for (let k = 0; k < 1 + round; k++) writer.write(`line ${said++} ${'x'.repeat(said % 37)}`, 0);
      const { lines, next, lostBytes } = reader.read(cursor);
      const numbers = lines.map(({ text }) => Number(text.split(' ')[1]));
      expect(numbers.at(-1)).toBe(said - 1);
      expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, k) => said - numbers.length + k));
      if (lostBytes === 0) expect(numbers.length).toBe(round + 1);
      else expect(numbers.length).toBeLessThan(round + 1);
      cursor = next;
    }
    expect(cursor).toBeGreaterThan(NOW * 1000);
  });

  it('a transaction that says more than half of the ring loses lines, and nothing of others', () => {
    const { writer, reader, store } = live();
    writer.write('before', 0);
    store.log.begin();
    for (let k = 0; k < 100; k++) writer.write(`line ${k}`, 0);
    store.log.commit();
    writer.publish();
    const { lines } = reader.read(0);
    expect(lines[0]!.text).toBe('before');
    expect(lines.length).toBeGreaterThan(10);
    expect(writer.dropped).toBe(101 - lines.length);
  });

  it('an error in a transaction whose log is full is said after its rollback', () => {
    const { writer, reader, store } = live();
    store.log.begin();
    expect(() => {
      for (;;) store.state.n++;
    }).toThrow(expect.objectContaining({ code: 'STATE_LOG_FULL' }));
    writer.write('info', 0);
    writer.write('error', SURVIVES);
    store.log.rollback();
    expect(reader.read(0).lines.map(({ text }) => text)).toEqual(['error']);
  });

  it('a ring that was made again, or a state of before, begins at positions that nobody had', () => {
    const life = live();
    for (let k = 0; k < 5; k++) life.writer.write(`line ${k}`, 0);
    const old = bytesOf(live());
    const { next } = life.reader.read(0);
    const other = live({ S: new Uint8Array(life.store.segment.buffer) });
    other.writer.write('new ring', 0);
    expect(other.reader.read(next)).toMatchObject({ lines: [{ text: 'new ring' }], lostBytes: 0 });
    const restored = live({ S: old.S, R: new Uint8Array(life.reader.segment.buffer) });
    restored.writer.write('old state', 0);
    expect(
      restored.reader
        .read(next)
        .lines.map(({ text }) => text)
        .at(-1),
    ).toBe('old state');
  });

  it('any mix of lines, commits, rollbacks of the whole and of parts, kills and reads', () => {
    const op = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant('say' as const), size: fc.nat(40), error: fc.boolean() }) },
      { weight: 3, arbitrary: fc.constant({ do: 'begin' as const }) },
      { weight: 3, arbitrary: fc.constant({ do: 'commit' as const }) },
      { weight: 2, arbitrary: fc.constant({ do: 'rollback' as const }) },
      { weight: 2, arbitrary: fc.constant({ do: 'savepoint' as const }) },
      { weight: 2, arbitrary: fc.constant({ do: 'back' as const }) },
      { weight: 1, arbitrary: fc.constant({ do: 'kill' as const }) },
      { weight: 4, arbitrary: fc.constant({ do: 'read' as const }) },
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 200 }), ops => {
        let life = live();
        let cursor = life.reader.read(0).next;
        const heard: string[] = [];
        const wanted: string[] = [];
        let open: { text: string; error: boolean }[] | undefined;
        let savepoint: { at: number; lines: number } | undefined;
        let said = 0;
        const read = (): void => {
          if (open === undefined) life.writer.publish();
          const { lines, next, lostBytes } = life.reader.read(cursor);
          expect(lostBytes).toBe(0);
          for (const { text, flags } of lines) heard.push(`${(flags & UNDONE) !== 0 ? 'undone ' : ''}${text}`);
          cursor = next;
        };
        for (const step of ops) {
          const { log } = life.store;
          if (step.do === 'say') {
            const text = `${said++} ${'y'.repeat(step.size)}`;
            const before = life.writer.dropped;
            life.writer.write(text, step.error ? SURVIVES : 0);
            if (life.writer.dropped > before) continue;
            if (open === undefined) wanted.push(text);
            else open.push({ text, error: step.error });
          } else if (step.do === 'begin' && open === undefined) {
            log.begin();
            open = [];
          } else if (step.do === 'commit' && open !== undefined) {
            log.commit();
            wanted.push(...open.map(({ text }) => text));
            open = savepoint = undefined;
          } else if (step.do === 'rollback' && open !== undefined) {
            log.rollback();
            wanted.push(...open.filter(({ error }) => error).map(({ text }) => text));
            open = savepoint = undefined;
          } else if (step.do === 'savepoint' && open !== undefined) {
            life.store.state.sum++;
            savepoint = { at: log.savepoint(), lines: open.length };
          } else if (step.do === 'back' && open !== undefined && savepoint !== undefined) {
            log.rollbackTo(savepoint.at);
            open = open.filter(({ error }, k) => k < savepoint!.lines || error);
            savepoint = undefined;
          } else if (step.do === 'kill') {
            life = live(bytesOf(life));
            wanted.push(...(open ?? []).map(({ text }) => `undone ${text}`));
            open = savepoint = undefined;
          } else if (step.do === 'read') read();
          if (open === undefined) read();
        }
        if (open !== undefined) life.store.log.rollback();
        wanted.push(...(open ?? []).filter(({ error }) => error).map(({ text }) => text));
        open = undefined;
        read();
        expect(heard).toEqual(wanted);
      }),
      { numRuns: process.env.LICH_SOAK ? 5_000 : 300 },
    );
  });
});
