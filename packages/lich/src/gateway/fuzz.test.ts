/** 10,000 random frames at the gateway: no crash, memory level, other sessions unharmed. */
import { syncPlanOf, writeAck, writeBye, writeHello, writeMessage, Writer } from '@lich/schema';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import { type FakeClient, Land, Rig, said, Talk, until } from './testing/rig.ts';

const FRAMES = 10_000;
const seed = Number(process.env.LICH_SEED ?? Date.now() % 1_000_000);
const replay = `replay with LICH_SEED=${seed}`;

let rig: Rig;
afterEach(async () => {
  await rig.stop();
  removeTestDirs();
});

function seeded(start: number): (below: number) => number {
  let state = start >>> 0;
  return below => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}

function good(random: (below: number) => number, tokens: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer();
  switch (random(4)) {
    case 0: {
      const token = random(2) === 0 ? undefined : (tokens[random(tokens.length)] ?? new Uint8Array(16));
      writeHello(writer, {
        protocolHash: Talk.hash,
        stateHash: syncPlanOf(Land).hash,
        token,
        lastSeq: random(3) * random(50_000),
      });
      break;
    }
    case 1:
      writeMessage(writer, random(4) + 1, random(100), random(4));
      for (let k = random(12); k > 0; k--) writer.u8(random(256));
      break;
    case 2:
      writeAck(writer, random(2 ** 31) * 2 ** 20);
      break;
    default:
      writeBye(writer);
  }
  return writer.finish();
}

/** A good frame, a broken one, or noise. */
function frame(random: (below: number) => number, tokens: readonly Uint8Array[]): Uint8Array {
  const kind = random(4);
  if (kind === 0) return Uint8Array.from({ length: random(200) }, () => random(256));
  const bytes = good(random, tokens);
  if (kind === 1) return bytes;
  if (kind === 2) return bytes.subarray(0, random(bytes.length + 1));
  for (let k = random(4); k >= 0; k--) if (bytes.length > 0) bytes[random(bytes.length)] = random(256);
  return bytes;
}

test(`${FRAMES} random frames`, { timeout: 300_000 }, async () => {
  rig = await new Rig(testDir(), { maxSessions: 200, leaveAfterMs: 50, burst: 100 }).start();
  const random = seeded(seed);
  const bystander = await rig.joined();
  const tokens: Uint8Array[] = [];
  let clients: FakeClient[] = [];
  let heapAtHalf = 0;
  let heard = 0;
  for (let sent = 0; sent < FRAMES; sent++) {
    if (clients.length < 20) clients.push(random(2) === 0 ? rig.client().hello() : rig.client());
    const client = clients[random(clients.length)]!;
    client.raw(frame(random, tokens), random(50) !== 0);
    if (random(30) === 0) client.drop();
    clients = clients.filter(({ socket }) => socket.closed === undefined && !socket.terminated);
    if (sent % 100 !== 0) continue;
    await new Promise(resolve => setImmediate(resolve));
    for (const { welcome } of clients) if (welcome !== undefined) tokens.push(welcome.token);
    tokens.splice(0, tokens.length - 20);
    rig.scene.say(said(++heard));
    if (sent === FRAMES / 2) heapAtHalf = heap();
  }
  for (const client of clients) client.drop();
  expect(
    rig.lines.filter(({ level }) => level === 'error'),
    replay,
  ).toEqual([]);
  const { sockets, closed, framesIn } = rig.logic.figures();
  expect(framesIn, replay).toBeGreaterThanOrEqual(FRAMES);
  expect(
    Object.keys(closed).filter(name => /^\d/.test(name)),
    replay,
  ).toEqual([]);
  expect(closed.MALFORMED, replay).toBeGreaterThan(1_000);
  expect(sockets, replay).toBeLessThan(200);

  // The one beside them heard everything, and what it says is done once and answered.
  await until(() => bystander.story.filter(what => what.startsWith('event')).length === heard);
  expect(bystander.socket.closed, replay).toBeUndefined();
  const { slot, generation } = bystander.session;
  bystander.ask();
  await until(() => bystander.story.includes('reply 1'));
  expect(
    rig.scene.inputs.filter(input => input.slot === slot && input.generation === generation).map(({ n }) => n),
    replay,
  ).toEqual([1]);

  // All that the noise made is gone when its time is over.
  await until(() => rig.logic.figures().sessions === 1);
  rig.scene.inputs.length = 0;
  expect(rig.scene.leaves.length + 1, replay).toBe(rig.scene.joins.length);
  expect(heap() - heapAtHalf, replay).toBeLessThan(8 * 1_048_576);
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heap(): number {
  collect();
  return process.memoryUsage().heapUsed;
}
