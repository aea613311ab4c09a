import { CloseCode, writeHello, writeMessage } from '@lich/schema';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { removeTestDirs, testDir } from '../testing/children.ts';
import type { GatewayOptions } from './options.ts';
import { delta, epoch, type FakeClient, reply, Rig, said, until } from './testing/rig.ts';

let rig: Rig;
afterEach(async () => {
  await rig.stop();
  removeTestDirs();
});
const start = async (options: Omit<GatewayOptions, 'ws'> = {}, limits = {}): Promise<void> => {
  rig = await new Rig(testDir(), options, limits).start();
};
const codeOf = async (client: FakeClient): Promise<number> => {
  await until(() => client.socket.closed !== undefined);
  return client.socket.closed!.code;
};
/** Everything that was said is in the sockets. */
const settled = async (): Promise<void> => {
  const client = rig.client().hello();
  await until(() => client.outs.length > 0);
  client.bye();
};

describe('a session', () => {
  beforeEach(() => start());

  test('begins with WELCOME and a picture', async () => {
    const client = await rig.joined();
    expect(client.welcome).toMatchObject({
      resumed: false,
      lastN: 0,
      seq: 0,
      me: { poolIndex: 0, slot: 100, generation: 1 },
      tickHz: 20,
    });
    expect(client.story).toEqual(['picture 1']);
  });

  test('says each message once, numbered, with the player it belongs to', async () => {
    const client = await rig.joined();
    client.walk();
    client.walk();
    client.walk(2);
    client.ask();
    await until(() => client.story.includes('reply 3'));
    expect(rig.scene.inputs.map(({ n, id, player }) => [n, id, ...player])).toEqual([
      [1, 0, 100, 1],
      [2, 0, 100, 1],
      [3, 1, 100, 1],
    ]);
    expect(rig.logic.figures()).toMatchObject({ repeated: 1, framesIn: 5 });
  });

  test('is told what is taken, though nothing else is said', async () => {
    const client = await rig.joined();
    client.walk();
    client.walk();
    await until(() => client.socket.frames.some(frame => frame.type === 'taken' && frame.n === 2));
  });

  test('hears what is said to it and to all, in order, nothing of before', async () => {
    const first = await rig.joined();
    rig.scene.say(said(1));
    rig.scene.say(delta(9));
    const second = await rig.joined();
    rig.scene.say(said(2), first.session);
    rig.scene.say(said(3));
    rig.scene.say(epoch(2));
    await until(() => first.story.includes('epoch 2') && second.story.includes('epoch 2'));
    expect(first.story).toEqual(['picture 1', 'event 1', 'delta 9', 'event 2', 'event 3', 'epoch 2']);
    expect(second.story).toEqual(['picture 2', 'event 3', 'epoch 2']);
    const seqs = first.outs.map(({ seq }) => seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
  });

  test('gets what its join told it behind the first picture', async () => {
    rig.scene.early = [said(1), said(2)];
    const client = await rig.joined();
    rig.scene.say(said(3));
    await until(() => client.story.includes('event 3'));
    expect(client.story).toEqual(['picture 1', 'event 1', 'event 2', 'event 3']);
  });

  test('leaves at BYE', async () => {
    const client = await rig.joined();
    const { welcome, session } = client;
    client.bye();
    expect(await codeOf(client)).toBe(CloseCode.SESSION_ENDED);
    await until(() => rig.scene.leaves.length > 0);
    expect(rig.scene.leaves).toEqual([{ ...session, player: [100, 1] }]);
    expect(await codeOf(rig.client().hello(welcome!.token))).toBe(CloseCode.BAD_TOKEN);
  });

  test('whose client went before it had a token leaves as soon as it joined', async () => {
    rig.scene.answersJoin = false;
    const client = rig.client().hello();
    await until(() => rig.scene.joins.length > 0);
    client.drop();
    const [join] = rig.scene.joins;
    rig.scene.core.transact(() => rig.scene.join(join!.slot, join!.generation));
    await until(() => rig.scene.leaves.length > 0);
    expect(rig.logic.figures().sessions).toBe(0);
  });
});

describe('a client that comes back', () => {
  beforeEach(() => start());

  test('gets all that was said meanwhile, and what it asked before', async () => {
    const client = await rig.joined();
    client.walk();
    client.ask();
    client.drop();
    await until(() => rig.scene.inputs.length === 2);
    rig.scene.say(said(1));
    rig.scene.say(delta(5));
    await settled();
    const again = rig.client().hello(client.welcome!.token, client.lastSeq);
    expect(again.welcome).toMatchObject({ resumed: true, lastN: 2, seq: client.lastSeq });
    expect(again.story).toEqual(['reply 2', 'event 1', 'delta 5']);
    expect(rig.scene.pictures).toBe(0);
    again.walk(3);
    await until(() => rig.scene.inputs.length === 3);
  });

  test('takes the session from its older socket', async () => {
    const older = await rig.joined();
    const newer = rig.client().hello(older.welcome!.token, older.lastSeq);
    expect(await codeOf(older)).toBe(CloseCode.REPLACED);
    rig.scene.say(said(4));
    await until(() => newer.story.length > 0);
    expect(older.story).toEqual(['picture 1']);
    expect(newer.story).toEqual(['event 4']);
  });

  test('and remembers nothing gets a picture first', async () => {
    const client = await rig.joined();
    client.walk(1, client.lastSeq);
    rig.scene.say(said(1));
    await until(() => client.story.includes('event 1'));
    const again = rig.client().hello(client.welcome!.token);
    await until(() => again.story.length > 0);
    expect(again.welcome).toMatchObject({ resumed: true, lastN: 1, seq: 0 });
    expect(again.story).toEqual(['picture 2']);
    expect(again.outs[0]!.ackN).toBe(1);
  });

  test('and never had anything gets everything from its first picture on', async () => {
    rig.scene.early = [said(1)];
    const client = await rig.joined();
    client.drop();
    rig.scene.say(said(2));
    await settled();
    const again = rig.client().hello(client.welcome!.token);
    expect(again.story).toEqual(['picture 1', 'event 1', 'event 2']);
    expect(rig.scene.pictures).toBe(0);
  });

  test('to a gateway that lives again', async () => {
    const client = await rig.joined();
    const token = client.welcome!.token;
    client.ask();
    await until(() => client.story.includes('reply 1'));
    const seen = client.lastSeq;
    rig.scene.say(said(1));
    rig.scene.say(said(2));
    await until(() => client.story.length === 4);
    await rig.stopGateway();
    expect(client.socket.closed?.code).toBe(1001);
    rig.scene.say(said(3));
    await rig.startGateway();
    expect(rig.logic.figures()).toMatchObject({ sessions: 1, away: 1, sockets: 0 });
    const again = rig.client().hello(token, seen);
    await until(() => again.story.length === 3);
    expect(again.welcome).toMatchObject({ resumed: true, lastN: 1, seq: seen });
    expect(again.story).toEqual(['event 1', 'event 2', 'event 3']);
    again.ask(2);
    await until(() => again.story.includes('reply 2'));
    expect(rig.scene.inputs.map(({ n }) => n)).toEqual([1, 2]);
  });

  test('with a token of nowhere is refused', async () => {
    expect(await codeOf(rig.client().hello(new Uint8Array(16)))).toBe(CloseCode.BAD_TOKEN);
  });

  test('from the future starts from a picture', async () => {
    const client = await rig.joined();
    const again = rig.client().hello(client.welcome!.token, 2 ** 50);
    await until(() => again.story.length > 0);
    expect(again.welcome!.seq).toBe(0);
    expect(again.story).toEqual(['picture 2']);
  });
});

describe('time', () => {
  test('a session without a socket leaves after leaveAfterMs', async () => {
    await start({ leaveAfterMs: 50 });
    const client = await rig.joined();
    const { token } = client.welcome!;
    client.drop();
    await until(() => rig.scene.leaves.length > 0);
    expect(await codeOf(rig.client().hello(token))).toBe(CloseCode.BAD_TOKEN);
    expect(rig.logic.figures()).toMatchObject({ sessions: 0, left: 1 });
  });

  test('also when the gateway died meanwhile', async () => {
    await start({ leaveAfterMs: 50 });
    await rig.joined();
    await rig.stopGateway();
    await rig.startGateway();
    await until(() => rig.scene.leaves.length > 0);
  });

  test('a socket that says nothing is closed', async () => {
    await start({ helloMs: 20 });
    expect(await codeOf(rig.client())).toBe(CloseCode.MALFORMED);
  });

  test('a scene that does not answer is no scene', async () => {
    await start({ joinMs: 20 });
    rig.scene.answersJoin = false;
    expect(await codeOf(rig.client().hello())).toBe(CloseCode.NO_SCENE);
  });

  test('a dead socket is given up, its session waits', async () => {
    await start({ pingMs: 20 });
    const client = await rig.joined();
    await until(() => client.socket.terminated);
    expect(client.socket.pings).toBe(1);
    expect(rig.logic.figures()).toMatchObject({ sessions: 1, away: 1, sockets: 0 });
  });
});

describe('what is refused', () => {
  test.each([
    ['nonsense', Uint8Array.of(250, 1, 2)],
    ['an empty frame', new Uint8Array(0)],
    ['a message before HELLO', Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0)],
    ['BYE before HELLO', Uint8Array.of(4)],
    ['HELLO cut short', Uint8Array.of(1, 1, 16)],
  ])('%s', async (_what, bytes) => {
    await start();
    const other = await rig.joined();
    const client = rig.client();
    client.raw(bytes);
    expect(await codeOf(client)).toBe(CloseCode.MALFORMED);
    expect(other.socket.closed).toBeUndefined();
  });

  test('a second HELLO, a gap in the numbers, a message that is none, a payload that does not fit', async () => {
    await start();
    const wrong: ((client: FakeClient) => void)[] = [
      client => client.hello(),
      client => client.walk(2),
      client => client.write(w => writeMessage(w, 1, 0, 2)),
      client => client.write(w => writeMessage(w, 1, 0, 99)),
      // From services alone.
      client =>
        client.write(w => {
          writeMessage(w, 1, 0, 3);
          w.zigzag(1);
        }),
      client => client.write(w => writeMessage(w, 1, 0, 0)),
      client =>
        client.write(w => {
          writeMessage(w, 1, 0, 0);
          w.f32(Number.NaN);
        }),
      client =>
        client.write(w => {
          writeMessage(w, 1, 0, 0);
          w.f64(1);
        }),
      client => client.raw(new TextEncoder().encode('hello'), false),
    ];
    for (const act of wrong) {
      const client = await rig.joined();
      act(client);
      expect(await codeOf(client)).toBe(CloseCode.MALFORMED);
    }
    expect(rig.scene.inputs).toEqual([]);
    expect(rig.logic.figures().closed).toEqual({ MALFORMED: wrong.length });
  });

  test('another protocol, another state, another wire version', async () => {
    await start();
    const client = rig.client();
    client.write(w => writeHello(w, { protocolHash: 'x', stateHash: 'y', token: undefined, lastSeq: 0 }));
    expect(await codeOf(client)).toBe(CloseCode.PROTOCOL_DIFFERS);
    const old = rig.client();
    old.raw(Uint8Array.of(1, 200));
    expect(await codeOf(old)).toBe(CloseCode.PROTOCOL_DIFFERS);
  });

  test('a frame that is too large', async () => {
    await start({ maxFrameBytes: 64 });
    const client = await rig.joined();
    client.raw(new Uint8Array(65));
    expect(await codeOf(client)).toBe(CloseCode.FRAME_TOO_LARGE);
  });

  test('more frames than allowed', async () => {
    await start({ framesPerSecond: 1, burst: 10 });
    const client = await rig.joined();
    for (let k = 0; k < 20; k++) client.walk();
    expect(await codeOf(client)).toBe(CloseCode.TOO_FAST);
    await until(() => rig.scene.inputs.length === 9);
  });

  test('one session too many, and the place is free again after one left', async () => {
    await start({ maxSessions: 2 });
    const [first] = [await rig.joined(), await rig.joined()];
    expect(await codeOf(rig.client().hello())).toBe(CloseCode.TOO_MANY_SESSIONS);
    first.bye();
    await rig.joined();
  });
});

describe('a client that does not read', () => {
  test('gets the rest, in order, when it does', async () => {
    await start({ socketBytes: 65_536 });
    const slow = await rig.joined();
    slow.socket.stalls = true;
    slow.socket.bufferedBytes = 70_000;
    for (let k = 1; k <= 60; k++) rig.scene.say(said(k));
    const quick = await rig.joined();
    await until(() => rig.logic.figures().sockets === 2);
    expect(slow.socket.bufferedBytes).toBeLessThan(70_000 + 100);
    slow.drain();
    expect(slow.story).toEqual(['picture 1', ...Array.from({ length: 60 }, (_, k) => `event ${k + 1}`)]);
    expect(quick.socket.closed).toBeUndefined();
    rig.scene.say(said(61));
    await until(() => slow.story.includes('event 61') && quick.story.includes('event 61'));
  });

  test('gets a picture in place of deltas that are gone', async () => {
    await start({ outputBytes: 65_536 });
    const slow = await rig.joined();
    slow.socket.stalls = true;
    slow.socket.bufferedBytes = 1_000_000;
    for (let round = 0; round < 30; round++) {
      for (let k = 0; k < 100; k++) rig.scene.say(delta(100));
      await settled();
    }
    const before = slow.story.length;
    expect(before).toBeLessThan(4);
    slow.drain();
    await until(() => slow.story.slice(before).some(what => what.startsWith('picture')));
    rig.scene.say(delta(120));
    await until(() => slow.story.includes('delta 120'));
    expect(slow.story.slice(before)).toEqual([expect.stringMatching(/^picture/), 'delta 120']);
    expect(slow.socket.closed).toBeUndefined();
    expect(rig.logic.figures().pictures).toBe(1);
  });

  test('is closed when an event is gone; it comes back to a picture and learns it', async () => {
    await start({ outputBytes: 65_536 });
    const slow = await rig.joined();
    const { token } = slow.welcome!;
    const seen = slow.lastSeq;
    slow.socket.stalls = true;
    slow.socket.bufferedBytes = 1_000_000;
    rig.scene.say(said(1));
    rig.scene.say(said(2));
    for (let round = 0; round < 30; round++) {
      for (let k = 0; k < 100; k++) rig.scene.say(delta(100));
      await settled();
    }
    slow.drain();
    expect(await codeOf(slow)).toBe(CloseCode.OUTPUT_LOST);
    const again = rig.client().hello(token, seen);
    await until(() => again.story.length > 0);
    expect(again.welcome).toMatchObject({ resumed: true, seq: 0 });
    expect(again.story).toEqual([expect.stringMatching(/^picture/)]);
    rig.scene.say(said(3));
    await until(() => again.story.length === 2);
    // Once told, it is not told again.
    const third = rig.client().hello(token, again.lastSeq);
    expect(third.welcome).toMatchObject({ seq: again.lastSeq });
    // Who joined after it was lost has lost nothing.
    const fresh = await rig.joined();
    fresh.drop();
    const back = rig.client().hello(fresh.welcome!.token, fresh.lastSeq);
    expect(back.welcome).toMatchObject({ seq: fresh.lastSeq });
  });

  test('who is away while deltas are overwritten keeps its place and its replies', async () => {
    await start({ outputBytes: 65_536 });
    const client = await rig.joined();
    const { token } = client.welcome!;
    const { session, lastSeq } = client;
    client.drop();
    for (let round = 0; round < 30; round++) {
      for (let k = 0; k < 100; k++) rig.scene.say(delta(100));
      await settled();
    }
    rig.scene.say(reply(1), session);
    rig.scene.say(delta(101));
    await settled();
    const again = rig.client().hello(token, lastSeq);
    await until(() => again.story.some(what => what.startsWith('picture')));
    expect(again.welcome).toMatchObject({ seq: lastSeq });
    expect(again.story).toEqual(['reply 1', expect.stringMatching(/^picture/)]);
  });
});

describe('the scene', () => {
  beforeEach(() => start());

  test('ends a session', async () => {
    const client = await rig.joined();
    rig.scene.kick(CloseCode.SESSION_ENDED, client.session);
    expect(await codeOf(client)).toBe(CloseCode.SESSION_ENDED);
    await until(() => rig.logic.figures().sessions === 0);
    // The scene counts its sessions by joins and leaves: it is told, whoever ended it.
    await until(() => rig.scene.leaves.length === 1);
  });

  test('refuses a join', async () => {
    rig.scene.answersJoin = false;
    const client = rig.client().hello();
    await until(() => rig.scene.joins.length > 0);
    rig.scene.kick(CloseCode.NO_SCENE, rig.scene.joins[0]);
    expect(await codeOf(client)).toBe(CloseCode.NO_SCENE);
    await until(() => rig.logic.figures().sessions === 0);
  });

  test('says that output was lost: all of its players come back to a picture, those who are away too', async () => {
    const [here, away] = [await rig.joined(), await rig.joined()];
    away.drop();
    rig.scene.kick(CloseCode.OUTPUT_LOST);
    expect(await codeOf(here)).toBe(CloseCode.OUTPUT_LOST);
    for (const client of [here, away]) {
      const again = rig.client().hello(client.welcome!.token, client.lastSeq);
      await until(() => again.story.length > 0);
      expect(again.welcome).toMatchObject({ resumed: true, seq: 0 });
      expect(again.story[0]).toMatch(/^picture/);
    }
  });

  test('whose output is larger than the ring takes loses it, and says so', async () => {
    await rig.stop();
    await start({ outputBytes: 65_536 });
    const client = await rig.joined();
    const large = new Uint8Array(20_000);
    large[0] = 3;
    rig.scene.say(large);
    expect(await codeOf(client)).toBe(CloseCode.OUTPUT_LOST);
    expect(rig.lines.some(({ data }) => JSON.stringify(data)?.includes('GATEWAY_OUTPUT_TOO_LARGE'))).toBe(true);
  });
});

test('a full lane holds the socket, and nothing is lost', { timeout: 60_000 }, async () => {
  await start({ framesPerSecond: 1_000_000, burst: 1_000_000 }, { lanesBytes: 262_144, maxLaneBytes: 65_536 });
  const client = await rig.joined();
  const other = await rig.joined();
  rig.scene.holds = true;
  let sent = 0;
  while (!client.socket.paused && sent < 100_000) {
    client.walk();
    sent++;
  }
  for (let k = 0; k < 10; k++) client.walk();
  sent += 10;
  const late = rig.client().hello();
  other.bye();
  expect(late.welcome).toBeUndefined();
  rig.scene.holds = false;
  await until(() => rig.scene.inputs.length === sent && late.welcome !== undefined && rig.scene.leaves.length === 1);
  expect(rig.scene.inputs.map(({ n }) => n)).toEqual(Array.from({ length: sent }, (_, k) => k + 1));
  expect(client.socket.paused).toBe(false);
});
