/** The promise, as a player sees it: kill the scene as often as you like, and go on playing. In a real browser, over
 * `lich up` with the real topology. Leaves screenshots in screenshots/. */
import { request } from 'node:http';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, type Page, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { need, pathOf } from '../../scripts/lib/capability.mjs';
import { Bot, botName } from './bots.ts';
import { Cluster } from './cluster.ts';
import { brokenRules } from './invariants.ts';
import { Look } from './look.ts';
import { Seeded } from './seeded.ts';

const KILLS = 5;
const SCENE = 'arena-1';
/** Nothing here takes long, unless the machine is busy. */
const PATIENT = { timeout: 30_000, interval: 50 };
const screenshots = join(import.meta.dirname, 'screenshots');
const QUIET = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const DESKTOP: BrowserContextOptions = { viewport: { width: 1280, height: 800 } };
const PHONE: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
};

interface Own {
  readonly id: string;
  readonly x: string;
  readonly y: string;
  readonly gold: string;
}

describe.skipIf(!need('linux') || !need('chromium'))('the arena in a browser', () => {
  let cluster: Cluster;
  let browser: Browser;
  let look: Look;
  const closed: string[] = [];
  const errors: string[] = [];

  beforeAll(async () => {
    cluster = await Cluster.start({ topology: 'topology.ts', gateways: 1, bots: 0 });
    look = new Look(cluster.dir, SCENE);
    browser = await chromium.launch({ executablePath: pathOf('chromium'), args: QUIET });
  });

  afterAll(async () => {
    await browser?.close();
    look?.close();
    await cluster?.stop();
  });

  async function open(options: BrowserContextOptions): Promise<Page> {
    const page = await (await browser.newContext(options)).newPage();
    page.on('websocket', socket => socket.on('close', () => closed.push(socket.url())));
    page.on('pageerror', error => errors.push(error.message));
    page.on('console', message => {
      if (message.type() === 'error') errors.push(message.text());
    });
    await page.goto(cluster.web);
    await page.waitForSelector('#link[data-status="open"]');
    await page.waitForSelector('#purse[data-id]');
    return page;
  }

  const own = (page: Page): Promise<Own> =>
    page.evaluate(() => ({ ...document.querySelector<HTMLElement>('#purse')!.dataset }) as unknown as Own);

  /** Walks for a moment and waits until the player stands, on the server and on the page. */
  async function walk(page: Page): Promise<Own> {
    const before = await own(page);
    // Towards the middle of the map, so that no wall is near.
    const [dx, dy] = [Number(before.x) < 800 ? 'KeyD' : 'KeyA', Number(before.y) < 500 ? 'KeyS' : 'KeyW'];
    await page.keyboard.down(dx);
    await page.keyboard.down(dy);
    await expect
      .poll(async () => Math.abs(Number((await own(page)).x) - Number(before.x)), PATIENT)
      .toBeGreaterThan(30);
    await page.keyboard.up(dx);
    await page.keyboard.up(dy);
    await expect
      .poll(async () => {
        const { id, x, y } = await own(page);
        const record = look.world().players.find(({ slot, generation }) => `${slot}.${generation}` === id)!;
        const { vx, vy } = record as unknown as { vx: number; vy: number };
        return vx === 0 && vy === 0 && record.x.toFixed(2) === x && record.y.toFixed(2) === y;
      }, PATIENT)
      .toBe(true);
    return own(page);
  }

  async function kill(page: Page, nth: number): Promise<void> {
    await expect.poll(() => cluster.standbyOf(SCENE), PATIENT).toBeDefined();
    const killed = cluster.ownerOf(SCENE);
    await page.click('#kill');
    await page.waitForSelector(`#gaps[data-count="${nth}"]`, { state: 'attached' });
    expect(cluster.ownerOf(SCENE)).not.toBe(killed);
  }

  test(`${KILLS} kills: the same player, the same place, the same gold, and the socket never closed`, async () => {
    const page = await open(DESKTOP);
    const before = await walk(page);
    expect(Number(before.gold)).toBeGreaterThan(0);
    for (let n = 1; n <= KILLS; n++) {
      await kill(page, n);
      expect(await own(page)).toEqual(before);
    }
    await expect.poll(() => page.textContent('#survived'), PATIENT).toBe(String(KILLS));
    expect(await page.textContent('#gap')).toMatch(/^[\d.]+ ms$/);
    expect(await page.locator('#plot rect').count()).toBe(KILLS);
    expect(await page.locator('#gaps li').count()).toBe(KILLS);
    // And the game goes on: the last life obeys.
    const after = await walk(page);
    expect(after.id).toBe(before.id);
    expect(after.x).not.toBe(before.x);
    expect(closed).toEqual([]);
    expect(errors).toEqual([]);
    await page.context().close();
    closed.length = 0;
  });

  test('a reload goes on as the same player', async () => {
    const page = await open(DESKTOP);
    const before = await walk(page);
    await page.reload();
    await page.waitForSelector('#purse[data-id]');
    expect(await own(page)).toEqual(before);
    await page.context().close();
  });

  test('with bots, on a desktop and on a phone', async () => {
    const random = new Seeded(1);
    const stop = new AbortController();
    const bots = await Promise.all(
      Array.from({ length: 16 }, (_, k) =>
        Bot.join({ url: cluster.urls[0], name: botName(k + 1), random: random.fork(k) }),
      ),
    );
    const games = bots.map(bot => bot.play(stop.signal));
    try {
      for (const [name, options] of [
        ['desktop', DESKTOP],
        ['phone', PHONE],
      ] as const) {
        const page = await open(options);
        await expect.poll(async () => Number(await page.textContent('#players')), PATIENT).toBeGreaterThan(bots.length);
        for (let n = 1; n <= 3; n++) await kill(page, n);
        const { width, height } = options.viewport!;
        const touch = name === 'phone' ? ['#stick', '#hit', '#give', '#drop'] : [];
        for (const selector of ['#kill', '#link', '#survived', '#purse', '#plot', ...touch]) {
          const box = (await page.locator(selector).boundingBox())!;
          expect(box, selector).not.toBeNull();
          expect(box.x, selector).toBeGreaterThanOrEqual(0);
          expect(box.y, selector).toBeGreaterThanOrEqual(0);
          expect(box.x + box.width, selector).toBeLessThanOrEqual(width);
          expect(box.y + box.height, selector).toBeLessThanOrEqual(height);
        }
        await page.screenshot({ path: join(screenshots, `${name}.png`) });
        expect(errors).toEqual([]);
        await page.context().close();
      }
    } finally {
      stop.abort();
      await Promise.all(games);
      for (const bot of bots) bot.close(true);
    }
  });

  test('the stick of a phone walks', async () => {
    const page = await open(PHONE);
    const before = await own(page);
    const stick = (await page.locator('#stick').boundingBox())!;
    const [x, y] = [stick.x + stick.width / 2, stick.y + stick.height / 2];
    const touch = await page.context().newCDPSession(page);
    const finger = (type: 'touchStart' | 'touchMove' | 'touchEnd', dx: number): Promise<unknown> =>
      touch.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x: x + dx, y }] });
    const dx = Number(before.x) < 800 ? 44 : -44;
    await finger('touchStart', 0);
    await finger('touchMove', dx);
    await expect.poll(async () => (Number((await own(page)).x) - Number(before.x)) * dx, PATIENT).toBeGreaterThan(0);
    await finger('touchEnd', dx);
    await page.context().close();
  });

  describe('the web server', () => {
    const ask = (path: string, method: string, headers: Record<string, string>): Promise<number> =>
      new Promise((resolve, reject) => {
        const { hostname, port, host } = new URL(cluster.web);
        const asked = request({ hostname, port, path, method, headers: { host, ...headers } }, answer => {
          answer.resume();
          resolve(answer.statusCode!);
        });
        asked.once('error', reject);
        asked.end();
      });

    test.each<[string, string, string, Record<string, string>, number]>([
      ['a kill without an origin', '/kill', 'POST', {}, 403],
      ['a kill from another page', '/kill', 'POST', { origin: 'http://evil.example' }, 403],
      ['a kill under another name', '/kill', 'POST', { host: 'evil.example', origin: 'http://evil.example' }, 403],
      ['a kill by a link', '/kill', 'GET', {}, 405],
      ['a way out of a folder', '/modules/@lich/schema/../../../package.json', 'GET', {}, 404],
      ['the same, hidden', '/app/page/..%2f..%2fscene.js', 'GET', {}, 404],
      ['a file that is not for the page', '/app/scene.js', 'GET', {}, 404],
      ['a look at the page under another name', '/', 'GET', { host: 'evil.example' }, 403],
    ])('refuses %s', async (_name, path, method, headers, status) => {
      const lives = cluster.livesOf(SCENE);
      expect(await ask(path, method, headers)).toBe(status);
      expect(cluster.livesOf(SCENE)).toBe(lives);
    });
  });

  test('stops in order and leaves nothing behind', async () => {
    expect(look.check()).toEqual([]);
    expect(brokenRules(look.world())).toEqual([]);
    // Nobody ended but those that the button killed.
    expect(cluster.ended.filter(({ node, how }) => node !== SCENE || how !== 'SIGKILL')).toEqual([]);
    expect(await cluster.stop()).toEqual({ code: 0, left: [] });
  });
});
