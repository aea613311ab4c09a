// A process that does one operation of each structure after the other, a transaction each, for the single-stepper:
// `node structures.mjs DIR`. What grows is kept small, so that all of it can be watched.
import * as schema from '@lich/schema';
import { createSegment, OwnerLock } from '../../../dist/shm/index.js';
import { EventQueue, openStore, storePlan, timerFields, timerPlaces, TimerWheel } from '../../../dist/state/index.js';

const { array, bits, int, list, machine, map, optional, pool, queue, ref, set, sorted, state, struct, text, u16 } =
  schema;

class Item extends struct({ kind: u16, name: text() }) {}
class Wolf extends struct({ teeth: int, prey: list(u16) }) {}
class Sheep extends struct({ wool: text() }) {}
class Unit extends struct({
  x: int,
  title: text(12),
  note: text(),
  blob: schema.bytes(),
  friend: ref('units'),
  few: list(u16, 6),
  chain: list(Item),
  bag: map(int, Item),
  words: map(text(8), int, 8),
  tags: set(text()),
  row: array(u16),
  things: array(Item),
  line: queue(u16),
  ring: queue(u16, 5),
  rank: sorted(int, Item),
  marks: bits(),
  flags: bits(70),
  luck: optional(int),
  pet: optional(Item),
  mode: machine({ initial: 'idle', states: { idle: { to: ['busy'] }, busy: { to: ['idle'] } } }),
}) {}

const game = state({
  units: pool(Unit),
  fixed: pool(Item, { capacity: 64 }),
  flock: pool(schema.variants({ Wolf, Sheep })),
});
const plan = storePlan(game, { logWords: 1 << 14, heapBytes: 1 << 20, system: timerFields() });
const [dir] = process.argv.slice(2);
OwnerLock.open(dir, 'victim').acquire();
const { regions, catalog, layoutHash } = plan;
const segment = createSegment({ dir, name: 'victim', kind: 'state', regions, catalog, layoutHash });
createSegment({ dir, name: 'victim', kind: 'lanes', regions: [{ name: 'out', bytes: 4096 }], layoutHash: 1n });
const store = openStore(segment, plan);
store.recover();
const { log } = store;
const { units, fixed, flock } = store.state;
const places = timerPlaces(store.layouts.root, segment.regions.get('root').offset / 4);
const wheel = new TimerWheel(store.context, places.wheel);
const events = new EventQueue(store.context, places.queue);

let n = 0;
let now = 1_000;
const rare = k => n % k === 0;
const unit = () => units.get(n % 3) ?? units.create({ title: 'again' });
const item = () => ({ kind: n & 0xffff, name: 'item '.repeat(n % 9) });
let timers = [];

/** One after the other; each keeps what it works on bounded. */
const OPERATIONS = {
  field: () => void (unit().x = n),
  text: () => void (unit().title = `title ${n % 100}`),
  longText: () => void (unit().note = 'a note '.repeat(n % 17)),
  longBytes: () => void (unit().blob = new Uint8Array(n % 61)),
  ref: () => void (unit().friend = units.get((n + 1) % 3)),
  fewPush: () => (unit().few.length < 6 ? unit().few.push(n & 0xffff) : unit().few.clear()),
  chainPush: () => unit().chain.push(item()),
  chainCut: () => unit().chain.length > 5 && unit().chain.shift(),
  chainMiddle: () => {
    const { chain } = unit();
    const cursor = chain.cursor(0);
    if (cursor !== undefined) chain.insertAfter(cursor, item());
    if (chain.length > 8) chain.clear();
  },
  bagSet: () => unit().bag.set(n % 23, item()),
  bagDelete: () => unit().bag.delete((n * 7) % 23),
  bagClear: () => rare(61) && unit().bag.clear(),
  wordsSet: () => (unit().words.size < 8 ? unit().words.set(`w${n % 9}`, n) : unit().words.clear()),
  tagsAdd: () => unit().tags.add('tag '.repeat(1 + (n % 7))),
  tagsDelete: () => unit().tags.delete('tag '.repeat(1 + ((n * 3) % 7))),
  rowPush: () => unit().row.push(n & 0xffff),
  rowSplice: () => unit().row.length > 12 && unit().row.splice(2, 5, 1, 2),
  rowSort: () => unit().row.sort(),
  thingsPush: () => unit().things.push(item()),
  thingsSplice: () => unit().things.length > 6 && unit().things.splice(1, 3),
  linePush: () => unit().line.push(n & 0xffff),
  lineShift: () => unit().line.length > 9 && unit().line.shift(),
  ringTurn: () => (unit().ring.length < 5 ? unit().ring.push(n & 0xffff) : unit().ring.shift()),
  rankSet: () => unit().rank.set((n * 5) % 40, item()),
  rankDelete: () => unit().rank.delete((n * 11) % 40),
  marksSet: () => unit().marks.set((n * 13) % 200, n % 2 === 0),
  marksFill: () => rare(5) && unit().marks.fill(n % 2 === 0, 10, 90),
  flagsFlip: () => unit().flags.flip(n % 70),
  luck: () => void (unit().luck = n % 2 === 0 ? n : undefined),
  pet: () => void (unit().pet = n % 3 === 0 ? undefined : schema.value(Item, item())),
  mode: () => unit().mode.to(unit().mode.state === 'idle' ? 'busy' : 'idle'),
  create: () => (fixed.size < 40 ? fixed.create(item()) : fixed.destroy(fixed.get(n % 40) ?? [...fixed][0])),
  destroyUnit: () => rare(97) && units.destroy(unit()),
  family: () =>
    flock.size < 12
      ? flock.create(
          n % 2 === 0 ? 'Wolf' : 'Sheep',
          n % 2 === 0 ? { teeth: n, prey: [1, 2] } : { wool: 'w'.repeat(n % 40) },
        )
      : flock.destroy([...flock][n % flock.size]),
  timerAdd: () => timers.push(wheel.handleOf(wheel.add(now, now + ((n * 37) % 5_000), 1, 2, 0))),
  timerCancel: () => {
    const slot = timers.length > 20 ? wheel.slotOf(timers.shift()) : -1;
    if (slot >= 0) wheel.remove(slot);
  },
  eventPost: () => void events.post(now, 1, 2),
  eventTake: () => events.size > 6 && events.take(),
};
const operations = Object.values(OPERATIONS);

function transaction() {
  const before = [...timers];
  log.begin();
  operations[n % operations.length]();
  n++;
  now += 3;
  if (n % 13 !== 0) return log.commit();
  log.rollback();
  timers = before;
}

for (let k = 0; k < operations.length * 4_000; k++) transaction();
const wrong = store.check();
if (wrong.length > 0) throw new Error(JSON.stringify(wrong.slice(0, 3)));
process.stdout.write(`ready ${operations.length}\n`);
setImmediate(function turn() {
  for (let k = 0; k < 200; k++) transaction();
  setImmediate(turn);
});
