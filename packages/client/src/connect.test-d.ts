/** What compiles and what does not; never run. */
import {
  array,
  bool,
  command,
  event,
  f32,
  i32,
  int,
  map,
  own,
  pool,
  protocol,
  ref,
  request,
  state,
  struct,
  text,
  u16,
  u8,
} from '@lich/schema';
import { WebSocket as WsWebSocket } from 'ws';
import { connect, type ClientError, type Game, type MirrorRecord, type Status } from './index.ts';

class Item extends struct({ kind: u16, count: int }) {}
class Vec extends struct({ x: f32.sync, y: f32.sync, secret: int }) {}
class Player extends struct({
  name: text(24).sync,
  x: f32.sync,
  y: f32.sync,
  hp: i32.sync.init(100),
  gold: int,
  at: Vec,
  target: ref<Player>('players').sync,
  bag: map(int, Item, 16),
}) {
  get dead(): boolean {
    return this.hp <= 0;
  }
}
class Ghost extends struct({ id: u16.sync, seen: bool }) {}
class Hidden extends struct({ n: int }) {}
const State = state({ players: pool(Player), ghosts: pool(Ghost), hidden: pool(Hidden), round: int });
const Arena = protocol({
  walk: command({ dx: f32, dy: f32 }),
  hit: command({ who: ref<Player>('players') }),
  rest: command({}),
  buy: request({ kind: u16 }, { count: int, from: ref<Player>('players') }),
  grant: command({ gold: int }, { from: 'services' }),
  respawn: own({ who: ref<Player>('players') }),
  died: event({ name: text(24), by: ref<Player>('players'), dice: array(u8, 2) }),
});

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function show(...values: unknown[]): void;
declare function same<A, B>(...proof: Equal<A, B> extends true ? [] : ['differ', A, B]): void;

export async function program(): Promise<void> {
  const game = await connect('ws://localhost:7777', { protocol: Arena, state: State });

  // The program of the design.
  game.view.players
    .onEnter(p => show(p.name))
    .onChange(p => show(p.x, p.y))
    .onLeave(p => show(p.id));
  game.send('walk', { dx: 1, dy: 0 });
  // @ts-expect-error what services say no client can send
  game.send('grant', { gold: 1_000 });
  const { count } = await game.ask('buy', { kind: 7 });
  same<typeof count, number>();

  // The mirror has the class's getters and the synced fields, read only.
  for (const p of game.view.players) {
    same<typeof p.hp, number>();
    same<typeof p.dead, boolean>();
    same<typeof p.id, string>();
    same<typeof p.at.x, number>();
    const target: MirrorRecord<Player> | undefined = p.target as MirrorRecord<Player> | undefined;
    void target;
    // @ts-expect-error not synced
    void p.gold;
    // @ts-expect-error not synced
    void p.bag;
    // @ts-expect-error not synced, in a nested struct
    void p.at.secret;
    // @ts-expect-error a mirror is written by the server only
    p.x = 1;
    game.send('hit', { who: p });
  }
  // A class with an id of its own keeps that.
  const ghost = game.view.ghosts.get(3);
  same<typeof ghost extends undefined | { id: infer T } ? T : never, number>();
  // @ts-expect-error a pool without synced fields is not seen
  void game.view.hidden;
  // @ts-expect-error nor are root fields
  void game.view.round;
  // @ts-expect-error no such pool
  void game.view.monsters;

  // Commands.
  game.send('hit', {});
  game.send('hit', { who: { slot: 1, generation: 3 } });
  game.send('rest');
  // @ts-expect-error a field is missing
  game.send('walk', { dx: 1 });
  // @ts-expect-error the payload is missing
  game.send('walk');
  // @ts-expect-error the wrong type
  game.send('walk', { dx: '1', dy: 0 });
  // @ts-expect-error one field too many
  game.send('walk', { dx: 1, dy: 0, dz: 0 });
  // @ts-expect-error a request is asked, not sent
  game.send('buy', { kind: 7 });
  // @ts-expect-error the service's own message
  game.send('respawn', {});
  // @ts-expect-error an event comes from the server
  game.send('died', { name: 'a', dice: [1, 2] });
  // @ts-expect-error no such message
  game.send('fly', {});
  // @ts-expect-error a number is no record
  game.send('hit', { who: 5 });

  // Requests.
  const reply = await game.ask('buy', { kind: 7 });
  same<typeof reply.count, number>();
  void reply.from?.name;
  // @ts-expect-error not in the reply
  void reply.price;
  // @ts-expect-error a command is not answered
  void game.ask('walk', { dx: 1, dy: 0 });
  // @ts-expect-error a field is missing
  void game.ask('buy', {});

  // Events.
  const off: () => void = game.on('died', ({ name, by, dice }) => {
    same<typeof name, string>();
    same<typeof dice, number[]>();
    void by?.dead;
  });
  off();
  // @ts-expect-error not an event
  game.on('walk', () => undefined);
  // @ts-expect-error not in the event
  game.on('died', ({ gold }) => void gold);

  game.onTakeover(({ epoch, reason, gapMs }) => {
    same<typeof epoch, number>();
    same<typeof reason, string>();
    same<typeof gapMs, number>();
  });
  same<typeof game.status, Status>();
  same<typeof game.token, string>();
  void game.me?.id;
  game.close();
  game.close({ leave: false });
  // @ts-expect-error it is told by the server
  game.epoch = 3;
}

export async function options(): Promise<Game<typeof Arena, typeof State>> {
  await connect('ws://x', { protocol: Arena, state: State, WebSocket });
  await connect('ws://x', {
    protocol: Arena,
    state: State,
    WebSocket: WsWebSocket,
    token: '0'.repeat(32),
    onStatus: (status: Status, reason?: ClientError) => show(status, reason?.code),
    maxPending: 10,
    backoff: { minMs: 10, maxMs: 100 },
    attemptTimeoutMs: 1_000,
    connectTimeoutMs: 0,
  });
  // @ts-expect-error the state is missing
  await connect('ws://x', { protocol: Arena });
  // @ts-expect-error not a protocol
  await connect('ws://x', { protocol: { walk: {} }, state: State });
  // @ts-expect-error not a state
  await connect('ws://x', { protocol: Arena, state: { players: pool(Player) } });
  // @ts-expect-error not a WebSocket class
  await connect('ws://x', { protocol: Arena, state: State, WebSocket: Date });
  return connect('ws://x', { protocol: Arena, state: State });
}
