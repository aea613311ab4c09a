/** The page: joins the arena, draws it sixty times a second, sends what the player does. The token in sessionStorage lets
 * a reload go on as the same player; a second tab is another one. */
import { ClientError, type Game, type MirrorRecord, connect } from '@lich/client';
import { type Ref, type Referable, recordRefOf } from '@lich/schema';
import { Arena, type Item, type Place, type Player, REACH, State, near } from '../game.ts';
import { type Figures, drawPlot, ms, onKill, showFigures, showGap, showOwn, showStatus, tell } from './hud.ts';
import { type Action, listen } from './input.ts';
import { OwnMotion, Track } from './motion.ts';
import { type Dot, View } from './view.ts';

type Seen = MirrorRecord<Player>;
type ArenaGame = Game<typeof Arena, typeof State>;

/** What `GET /status` answers. */
interface Status extends Figures {
  readonly gateways: readonly string[];
}

const KEY = 'lich-arena';
const GIFT = 10;

async function status(): Promise<Status> {
  const answer = await fetch('/status', { cache: 'no-store' });
  if (!answer.ok) throw new Error(`/status answered ${answer.status}`);
  return (await answer.json()) as Status;
}

interface Kept {
  readonly url: string;
  readonly token: string;
}

function kept(): Kept | undefined {
  try {
    const value = JSON.parse(sessionStorage.getItem(KEY) ?? 'null') as Kept | null;
    return value ?? undefined;
  } catch {
    return undefined; // storage is off, or holds something else
  }
}

function keep(value: Kept): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(value));
  } catch {
    // Without storage a reload is a new player.
  }
}

/** As the player of before this reload, while its session lasts; else as a new one. */
async function join(): Promise<ArenaGame> {
  const { gateways } = await status();
  const before = kept();
  const options = { protocol: Arena, state: State, onStatus: showStatus };
  if (before && gateways.includes(before.url)) {
    try {
      const game = await connect(before.url, { ...options, token: before.token });
      keep({ url: before.url, token: game.token });
      return game;
    } catch (error) {
      if (!(error instanceof ClientError) || error.code === 'CLIENT_PROTOCOL_DIFFERS') throw error;
    }
  }
  const url = gateways[Math.floor(Math.random() * gateways.length)];
  const game = await connect(url, options);
  keep({ url, token: game.token });
  return game;
}

const own = (game: ArenaGame): Seen | undefined => game.me as Seen | undefined;

/** Where everybody is drawn. */
class Movement {
  readonly #tracks = new Map<string, Track>();
  readonly own = new OwnMotion();

  constructor(game: ArenaGame) {
    game.view.players
      .onEnter(player => {
        const track = new Track();
        track.push(player.x, player.y, performance.now());
        this.#tracks.set(keyOf(player), track);
        this.#told(game, player);
      })
      .onChange(player => {
        this.#tracks.get(keyOf(player))?.push(player.x, player.y, performance.now());
        this.#told(game, player);
      })
      .onLeave(player => this.#tracks.delete(keyOf(player)));
  }

  #told(game: ArenaGame, player: Seen): void {
    if (player === own(game)) this.own.push(player.x, player.y);
  }

  of(player: Place & Referable, now: number): Place {
    return this.#tracks.get(keyOf(player))?.at(now) ?? player;
  }
}

/** A record and the refs to it have one key. */
function keyOf(record: Ref | Referable): string {
  const ref = recordRefOf(record);
  return ref ? `${ref.slot}.${ref.generation}` : '';
}

function play(game: ArenaGame): void {
  const view = new View(document.querySelector('#arena')!);
  const movement = new Movement(game);
  listen({
    walk(dx, dy) {
      if (own(game)?.dead) return;
      movement.own.steer(dx, dy);
      game.send('move', { dx, dy });
    },
    act: action => act(game, action),
  });
  game.on('struck', ({ who, by, took }) => {
    const now = performance.now();
    if (who) view.float(movement.of(who, now), '✶', '#e5566a', now);
    if (by && took > 0) view.float(movement.of(by, now), `+${took}`, '#f2c063', now);
  });
  game.on('died', ({ name, by }) => tell(`${name} fell to ${by}`));
  game.onTakeover(({ epoch, gapMs }) => {
    showGap(gapMs);
    view.pulse(performance.now());
    tell(`life ${epoch} of the scene, after ${ms(gapMs)}`);
  });
  let before = performance.now();
  const frame = (now: number): void => {
    const seconds = Math.min(0.1, (now - before) / 1000);
    before = now;
    const me = own(game);
    if (me?.dead) movement.own.steer(0, 0);
    const mine = movement.own.step(seconds);
    view.draw(sceneOf(game, me, mine, movement, now), now);
    if (me) showOwn(me);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

function sceneOf(
  game: ArenaGame,
  me: Seen | undefined,
  mine: Place | undefined,
  movement: Movement,
  now: number,
): Parameters<View['draw']>[0] {
  const bags = new Map<string, string[]>();
  const lying: MirrorRecord<Item>[] = [];
  for (const item of game.view.items) {
    const owner = item.owner && keyOf(item.owner);
    if (owner === undefined) lying.push(item);
    else bags.set(owner, [...(bags.get(owner) ?? []), item.kind]);
  }
  const dots: Dot[] = [];
  for (const player of game.view.players) {
    const place = player === me && mine ? mine : movement.of(player, now);
    const { name, hue, hp, gold } = player;
    dots.push({
      x: place.x,
      y: place.y,
      name,
      hue,
      hp,
      gold,
      items: bags.get(keyOf(player)) ?? [],
      own: player === me,
    });
  }
  return { dots, items: lying, heaps: [...game.view.heaps] };
}

/** Hit and give go to the nearest player alive in reach. */
function act(game: ArenaGame, action: Action): void {
  const me = own(game);
  if (!me || me.dead) return;
  if (action === 'drop') {
    game.send('drop');
    return;
  }
  const distance = (other: Seen): number => Math.hypot(other.x - me.x, other.y - me.y);
  const [who] = [...game.view.players]
    .filter(other => other !== me && !other.dead && near(other, me, REACH))
    .sort((a, b) => distance(a) - distance(b));
  if (!who) {
    tell('nobody is near enough');
    return;
  }
  if (action === 'hit') game.send('hit', { who });
  else {
    const gold = Math.min(GIFT, me.gold);
    game
      .ask('give', { to: who, gold })
      .then(({ done }) => tell(done ? `${who.name} has ${gold} of your gold` : `${who.name} is too far away`))
      .catch((error: unknown) => tell(`${who.name} got nothing: ${String(error)}`));
  }
}

async function kill(): Promise<string> {
  const answer = await fetch('/kill', { method: 'POST' });
  const said = (await answer.json()) as { pid?: number; error?: string };
  if (!answer.ok) throw new Error(said.error ?? `the server answered ${answer.status}`);
  return `Process ${said.pid} is dead. You are still here.`;
}

/** Once a second: figures that only the server knows. */
async function watch(game: ArenaGame): Promise<never> {
  for (;;) {
    try {
      const figures = await status();
      showFigures({ ...figures, players: game.view.players.size });
    } catch {
      // The web server is another process: the game goes on without its figures.
    }
    await new Promise(resolve => setTimeout(resolve, 1_000));
  }
}

function introduce(game: ArenaGame): void {
  const input = document.querySelector<HTMLInputElement>('#name')!;
  const hue = Math.floor(Math.random() * 360);
  const present = (): void => {
    game.send('enter', { name: input.value, hue });
  };
  const me = own(game);
  if (me && me.name !== 'somebody') input.value = me.name;
  else {
    input.value = `guest ${100 + Math.floor(Math.random() * 900)}`;
    present();
  }
  input.addEventListener('change', () => {
    present();
    input.blur();
  });
}

drawPlot();
addEventListener('resize', drawPlot);
onKill(kill);
try {
  const game = await join();
  introduce(game);
  play(game);
  void watch(game);
} catch (error) {
  showStatus('closed');
  tell(error instanceof Error ? error.message : String(error));
}
