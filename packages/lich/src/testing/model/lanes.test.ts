import { describe, expect, test } from 'vitest';
import { explore, report } from './explorer.ts';
import { LANE_MUTATIONS, type LaneConfig, type LaneMutation, laneModel } from './lanes.ts';

const SOAK = process.env.LICH_SOAK === '1';

function explored(config: LaneConfig) {
  const model = laneModel(config);
  const found = explore(model);
  return { found, text: report(model, found) };
}

// [what the configuration is there for, configuration]
const PROOFS: [string, LaneConfig][] = [
  ['every interleaving, nothing reduced', { to: [0, 0], blocks: [1, 1], slots: 2, kills: 1, reduce: false }],
  ['growth, reuse, two kills', { to: [0, 0, 0], blocks: [1, 2], slots: 2, kills: 2 }],
  ['a ring that wraps, then grows', { to: [0, 0, 0, 0], blocks: [1, 2], slots: 2, kills: 1 }],
  ['two receivers share slots and blocks', { to: [0, 1], blocks: [1, 1], slots: 2, kills: 1 }],
  ['two receivers, one slot', { to: [0, 1, 0], blocks: [1, 1], slots: 1, kills: 1 }],
  ['two receivers, slots change hands', { to: [0, 1, 0], blocks: [1, 1], slots: 2, kills: 0 }],
];

const SOAK_PROOFS: [string, LaneConfig][] = [
  ['every interleaving, nothing reduced', { to: [0, 0, 0], blocks: [1, 2], slots: 2, kills: 1, reduce: false }],
  ['three kills', { to: [0, 0, 0], blocks: [1, 2], slots: 2, kills: 3 }],
  ['growth from 2 to 4', { to: [0, 0, 0, 0, 0], blocks: [2, 4], slots: 2, kills: 1 }],
  ['two receivers, slots change hands', { to: [0, 1, 0], blocks: [1, 1], slots: 2, kills: 1 }],
  ['three slots and blocks', { to: [0, 0, 0], blocks: [1, 1, 2], slots: 3, kills: 0 }],
];

describe('the life of a lane', () => {
  test.each(SOAK ? [...PROOFS, ...SOAK_PROOFS] : PROOFS)('%s', (_, config) => {
    const { found, text } = explored(config);
    console.log(text);
    expect(text).toContain(': ok,');
    expect(found.finals).toBeGreaterThan(0);
  });

  test('reducing leaves out no outcome', () => {
    const config = { to: [0, 0], blocks: [1, 1], slots: 2, kills: 1 };
    const all = explored({ ...config, reduce: false }).found;
    const few = explored(config).found;
    expect(few.ok && all.ok).toBe(true);
    expect(few.finals).toBe(all.finals);
    expect(few.states).toBeLessThan(all.states);
  });
});

describe('each rule is needed: without it the model finds a violation', () => {
  const small: LaneConfig = { to: [0, 0], blocks: [1, 1], slots: 2, kills: 1 };
  const usual: LaneConfig = { to: [0, 0, 0], blocks: [1, 1], slots: 2, kills: 1 };
  const expected: Record<LaneMutation, [LaneConfig, RegExp]> = {
    entryTagFirst: [usual, /takes 0 where/],
    idBeforeFields: [usual, /takes \d+ where/],
    noTagClear: [usual, /takes \d+ where/],
    reuseUndrained: [usual, /is in 0 lanes/],
    roomIgnoresHead: [usual, /was overwritten/],
    tagReused: [usual, /takes \d+ where/],
    positionRestarts: [usual, /is in 0 lanes/],
    skipUndrained: [usual, /stands at 1 but has handled 0/],
    takeLowestPresent: [usual, /stands at 1 but has handled 0/],
    headPerLaneNoTag: [usual, /is in 0 lanes/],
    sealNotLogged: [usual, /message 0 to receiver 0/],
    freeNotLogged: [usual, /is in two places/],
    allocNotLogged: [usual, /a block is lost/],
    tailNotLogged: [usual, /has handled 2 of 1 committed/],
    // Harmless for delivery: what fails is that the table must end empty.
    noClear: [small, /stuck/],
    noRepublish: [small, /stuck/],
    tailNoTagCheck: [usual, /takes \d+ where/],
    tagCheckBeforeTail: [usual, /takes \d+ where/],
    publishBeforeCommit: [usual, /visible before its commit/],
    headBeforeCommit: [usual, /visible before its commit/],
    noLogHead: [usual, /stands at 1 but has handled 0/],
    forgetCursor: [usual, /takes 33 where 34/],
  };
  test.each(Object.keys(LANE_MUTATIONS) as LaneMutation[])('%s', mutation => {
    const [config, violation] = expected[mutation];
    const { found, text } = explored({ ...config, mutation });
    expect(text).toMatch(violation);
    expect(found.path).not.toHaveLength(0);
  });
});
