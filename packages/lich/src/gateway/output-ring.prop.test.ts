import { int, OutKind, state } from '@lich/schema';
import fc from 'fast-check';
import assert from 'node:assert/strict';
import { expect, test } from 'vitest';
import { openStore, storePlan } from '../state/index.ts';
import { memorySegment } from '../testing/memory-segment.ts';
import { OutputRing, outputFields, TOO_LARGE } from './output-ring.ts';

const RING_BYTES = 65_536;
const LARGEST = RING_BYTES / 4 - 5 * 4;

const plan = storePlan(state({ n: int }), { logWords: 1 << 16, system: outputFields(RING_BYTES, 4) });

interface Entry {
  readonly scene: number;
  readonly slot: number;
  readonly bytes: Uint8Array;
  readonly end: number;
}

/** A ring and a model that says what it has to hold. */
class Rig {
  readonly store = openStore(memorySegment({ regions: plan.regions }), plan);
  dropped: Entry[] = [];
  model: Entry[] = [];
  readonly ring: OutputRing;
  readonly source = new Int32Array(LARGEST);

  constructor() {
    const { segment, log, layouts } = this.store;
    this.ring = new OutputRing(
      segment,
      log,
      layouts.root,
      segment.regions.get('root')!.offset,
      (scene, slot, generation, kind, end) => {
        const oldest = this.model.shift()!;
        assert.deepEqual(
          { scene, slot, generation, kind, end },
          {
            scene: oldest.scene,
            slot: oldest.slot,
            generation: oldest.slot + 1,
            kind: oldest.bytes[0] ?? 0,
            end: oldest.end,
          },
        );
        this.dropped.push(oldest);
      },
    );
    log.begin();
    this.ring.create();
    log.commit();
  }

  append(scene: number, slot: number, byteLength: number, fill: number): void {
    const bytes = new Uint8Array(this.source.buffer, 8, byteLength);
    bytes.fill(fill);
    const before = this.ring.tail;
    const end = this.ring.append(scene, slot, slot + 1, this.source, 2, byteLength);
    assert.equal(end === TOO_LARGE, byteLength > LARGEST);
    if (end === TOO_LARGE) return;
    assert.ok(end > before);
    this.model.push({ scene, slot, bytes: bytes.slice(), end });
  }

  again(k: number): void {
    const entry = this.model[k % Math.max(1, this.model.length)];
    if (entry === undefined) return;
    const need = (Math.ceil(entry.bytes.length / 4) + 5 + 3) & ~3;
    const position = entry.end - need;
    const end = this.ring.appendAgain(position);
    if (end !== 0) this.model.push({ ...entry, end });
  }

  compare(): void {
    const { ring } = this;
    assert.deepEqual(ring.check(), []);
    const found: Entry[] = [];
    for (let position = ring.oldest; position < ring.tail; ) {
      const at = ring.at(position);
      position += ring.lengthAt(at);
      if (ring.sceneAt(at) < 0) continue;
      assert.equal(ring.generationAt(at), ring.slotAt(at) + 1);
      found.push({ scene: ring.sceneAt(at), slot: ring.slotAt(at), bytes: ring.bytesAt(at).slice(), end: position });
    }
    const same = (a: Entry, b: Entry | undefined): boolean =>
      a.scene === b?.scene && a.slot === b.slot && a.end === b.end && Buffer.compare(a.bytes, b.bytes) === 0;
    assert.deepEqual(
      found.map(({ end }) => end),
      this.model.map(({ end }) => end),
    );
    assert.equal(
      found.every((entry, k) => same(entry, this.model[k])),
      true,
    );
  }
}

const step = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      scene: fc.nat(3),
      slot: fc.nat(50),
      bytes: fc.oneof(fc.nat(60), fc.nat(3_000), fc.nat(LARGEST + 8)),
      kind: fc.nat(5),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('again' as const), k: fc.nat(1_000) }) },
);

test('holds the newest entries whole, whatever was rolled back', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ steps: fc.array(step, { maxLength: 8 }), commits: fc.boolean() }), { maxLength: 60 }),
      transactions => {
        const rig = new Rig();
        for (const { steps, commits } of transactions) {
          const before = rig.model.slice();
          rig.store.log.begin();
          for (const one of steps) {
            if (one.do === 'append') rig.append(one.scene, one.slot, one.bytes, one.kind);
            else rig.again(one.k);
          }
          if (commits) rig.store.log.commit();
          else {
            rig.store.log.rollback();
            rig.model = before;
          }
          rig.compare();
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('an entry of the largest size follows another', () => {
  const rig = new Rig();
  for (let k = 0; k < 20; k++) {
    rig.store.log.begin();
    rig.append(1, k, LARGEST, OutKind.EVENT);
    rig.store.log.commit();
  }
  rig.compare();
  expect(rig.model.length).toBeGreaterThanOrEqual(3);
});
