/** A storm: the arena with bots, and kills at random moments. Most kills hit the process that owns the scene, some its
 * standby, some a gateway; a few hit the scene again before a standby is there. After each kill and between them the state
 * is read from outside and held against the rules; at the end every ledger is held against the server's counters.
 *
 *   npm run storm -- --kills 200 --seed 1 [--bots 50] [--seconds 300] [--eager] [--json]
 *
 * A kill waits until the standby has rehearsed; with `--eager` only until there is one.
 *
 * Ends with code 1 when anything was lost, doubled or torn, a socket was closed though its gateway lived, a structure was
 * damaged, or a process died that nobody killed. */
import { parseArgs } from 'node:util';
import { pause } from './bots.ts';
import { Cluster } from './cluster.ts';
import { type Spread, spreadOf } from './figures.ts';
import { brokenRules } from './invariants.ts';
import { Look } from './look.ts';
import { Seeded } from './seeded.ts';
import { type BotsReport, StormBots } from './storm-bots.ts';
import type { StormResult, Target } from './storm-result.ts';

const SCENE = 'arena-1';
const GATEWAYS = 2;
/** Between two looks from outside. */
const LOOK_MS = 40;
/** A bound that nothing should come near: what takes longer is a failure of its own. */
const PATIENCE_MS = 30_000;
const FINDINGS_SHOWN = 12;
const SLOWEST_SHOWN = 5;

class Storm {
  readonly #options: Options;
  readonly #random: Seeded;
  readonly #torn: string[] = [];
  readonly #violations: string[] = [];
  readonly #killed: Record<Target, number> = { scene: 0, again: 0, standby: 0, gateway: 0 };
  /** Lives of the scene that began without a standby. */
  readonly #cold = new Set<number>();
  #cluster!: Cluster;
  #look!: Look;
  #bots!: StormBots;
  #snapshots = 0;
  #takeovers = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#random = new Seeded(options.seed);
  }

  async run(signal: AbortSignal): Promise<StormResult> {
    const began = performance.now();
    const { bots, seed } = this.#options;
    this.#cluster = await Cluster.start({ topology: 'storm.topology.ts', gateways: GATEWAYS });
    try {
      this.#look = new Look(this.#cluster.dir, SCENE);
      this.#bots = await StormBots.join(this.#cluster.urls, bots, seed, this.#options.kills + 1);
      await this.#kills(signal);
      const report = await this.#bots.settle();
      this.#settle();
      return this.#result(report, (performance.now() - began) / 1000);
    } finally {
      await this.#bots?.end();
      this.#look?.close();
      await this.#cluster.stop();
    }
  }

  async #kills(signal: AbortSignal): Promise<void> {
    const { kills, seconds } = this.#options;
    const until = performance.now() + seconds * 1000;
    for (let n = 1; n <= kills && !signal.aborted && performance.now() < until; n++) {
      const target = this.#pick();
      if (target !== 'again') await this.#calm(signal);
      await this.#watch(this.#random.int(0, 400), signal);
      await this.#kill(target, n);
    }
    await this.#calm(signal);
  }

  #pick(): Target {
    const roll = this.#random.float();
    return roll < 0.74 ? 'scene' : roll < 0.8 ? 'again' : roll < 0.9 ? 'standby' : 'gateway';
  }

  /** Look at the state from outside, again and again, for `ms`. */
  async #watch(ms: number, signal: AbortSignal): Promise<void> {
    const until = performance.now() + ms;
    do {
      this.#inspect();
      await pause(Math.min(LOOK_MS, Math.max(0, until - performance.now())), signal);
    } while (performance.now() < until && !signal.aborted);
  }

  /** Until a warm standby is there and all bots are connected: a gap is the scene's then, and no gateway's. */
  async #calm(signal: AbortSignal): Promise<void> {
    const isRehearsed = !this.#options.eager;
    await this.#until('a warm standby and connected bots', signal, () => {
      return this.#cluster.standbyOf(SCENE, isRehearsed) !== undefined && this.#bots.allConnected;
    });
  }

  async #until(what: string, signal: AbortSignal, is: () => boolean): Promise<void> {
    const until = performance.now() + PATIENCE_MS;
    while (!is() && !signal.aborted) {
      if (performance.now() > until)
        throw new Error(`no ${what} after ${PATIENCE_MS / 1000} s\n${this.#cluster.logs()}`);
      await pause(10, signal);
    }
  }

  async #kill(target: Target, n: number): Promise<void> {
    const gateway = this.#random.int(1, GATEWAYS);
    const node = target === 'gateway' ? `gateway-${gateway}` : SCENE;
    const isStandby = target === 'standby';
    const hadStandby = this.#cluster.standbyOf(SCENE) !== undefined;
    const lives = this.#cluster.livesOf(node);
    const epoch = this.#look.epoch;
    const pid = isStandby ? this.#cluster.standbyOf(node) : this.#cluster.ownerOf(node);
    if (pid === undefined) return;
    if (target === 'gateway') this.#bots.willKill(gateway);
    else if (!isStandby) this.#bots.willEnd(epoch + 1);
    this.#cluster.kill(pid);
    this.#killed[target]++;
    if (!isStandby) {
      await this.#until(`new owner of ${node}`, new AbortController().signal, () => {
        const owner = this.#cluster.ownerOf(node);
        return owner !== undefined && owner !== pid && this.#cluster.livesOf(node) > lives;
      });
    }
    if (node === SCENE && !isStandby) {
      this.#takeovers++;
      if (!hadStandby) this.#cold.add(epoch + 1);
    }
    this.#inspect();
    this.#progress(n, target, pid);
  }

  /** One consistent copy of the whole state, against the rules. */
  #inspect(): void {
    this.#snapshots++;
    this.#torn.push(...brokenRules(this.#look.world()));
  }

  /** The structures themselves are walked, and what happened is held against what was done. */
  #settle(): void {
    this.#inspect();
    this.#violations.push(...this.#look.check());
    const { survived } = this.#look.figures();
    if (survived !== this.#takeovers) {
      this.#violations.push(`the scene counts ${survived} lives after a kill, there were ${this.#takeovers}`);
    }
    for (const { node, pid, how } of this.#cluster.ended) {
      if (!this.#cluster.hasKilled(pid)) this.#violations.push(`${node}, process ${pid}, ended by itself: ${how}`);
    }
  }

  #progress(n: number, target: Target, pid: number): void {
    const { kills, quiet } = this.#options;
    if (quiet) return;
    const findings = this.#torn.length + this.#violations.length;
    process.stderr.write(`kill ${n} of ${kills}: ${target}, pid ${pid}; findings so far: ${findings}\n`);
  }

  /** A gap that all bots saw is the scene's; one that few saw is theirs, or their gateway's. */
  #showSlowest({ gaps }: BotsReport): void {
    const lives = new Map<number, number[]>();
    for (const { epoch, gapMs } of gaps) lives.set(epoch, [...(lives.get(epoch) ?? []), gapMs]);
    const slowest = [...lives]
      .filter(([epoch]) => !this.#cold.has(epoch))
      .map(([epoch, all]) => ({ epoch, bots: all.length, ...spreadOf(all) }))
      .sort((a, b) => b.max - a.max)
      .slice(0, SLOWEST_SHOWN);
    for (const { epoch, bots, p50, max } of slowest) {
      process.stderr.write(`among the longest gaps: life ${epoch}, ${bots} bots, p50 ${p50} ms, longest ${max} ms\n`);
    }
  }

  #result(report: BotsReport, seconds: number): StormResult {
    const gapsOf = (cold: boolean) => report.gaps.filter(({ epoch }) => this.#cold.has(epoch) === cold);
    const gaps = (cold: boolean): Spread => spreadOf(gapsOf(cold).map(({ gapMs }) => gapMs));
    const findings = [
      ...this.#torn.map(text => `torn: ${text}`),
      ...this.#violations.map(text => `violation: ${text}`),
      ...report.disconnects.map(text => `disconnect: ${text}`),
      ...report.findings,
    ];
    for (const finding of findings.slice(0, FINDINGS_SHOWN)) process.stderr.write(`${finding}\n`);
    if (findings.length > FINDINGS_SHOWN) process.stderr.write(`… and ${findings.length - FINDINGS_SHOWN} more\n`);
    if (!this.#options.quiet) this.#showSlowest(report);
    return {
      kills: Object.values(this.#killed).reduce((a, b) => a + b, 0),
      takeovers: this.#takeovers,
      sinceKillMs: spreadOf(
        gapsOf(false).flatMap(({ sinceKillMs }) => (sinceKillMs === undefined ? [] : [sinceKillMs])),
      ),
      gapMs: gaps(false),
      coldGapMs: gaps(true),
      lost: report.lost,
      doubled: report.doubled,
      torn: this.#torn.length,
      disconnects: report.disconnects.length,
      violations: this.#violations.length,
      killed: this.#killed,
      bots: this.#options.bots,
      seed: this.#options.seed,
      seconds: Math.round(seconds),
      messages: this.#look.figures().messages,
      checks: report.checked,
      snapshots: this.#snapshots,
    };
  }
}

interface Options {
  readonly kills: number;
  readonly seed: number;
  readonly bots: number;
  readonly seconds: number;
  readonly eager: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

function optionsOf(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      kills: { type: 'string', default: '200' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      bots: { type: 'string', default: '50' },
      seconds: { type: 'string', default: '3600' },
      eager: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'kills' | 'seed' | 'bots' | 'seconds'): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 0) return value;
    process.stderr.write(`storm: --${name} ${values[name]}: want a whole number\n`);
    process.exit(2);
  };
  const { eager, json, quiet } = values;
  return {
    kills: whole('kills'),
    seed: whole('seed'),
    bots: whole('bots'),
    seconds: whole('seconds'),
    eager,
    json,
    quiet,
  };
}

function summary(result: StormResult): string {
  const { sinceKillMs, gapMs, coldGapMs, killed } = result;
  const spread = ({ p50, p99, max }: Spread): string => `p50 ${p50}, p99 ${p99}, longest ${max} ms`;
  return [
    ``,
    `storm: ${result.kills} kills in ${result.seconds} s, seed ${result.seed}, ${result.bots} bots`,
    `  killed       scene ${killed.scene + killed.again} (${killed.again} of them before a standby was warm), standby ${killed.standby}, gateway ${killed.gateway}`,
    `  first word   ${spread(sinceKillMs)} after the kill`,
    `  silence      ${spread(gapMs)}, the time between two frames included`,
    ...(killed.again > 0 ? [`  without one  ${spread(coldGapMs)}`] : []),
    `  messages     ${result.messages} handled; ${result.checks} counters compared: ${result.lost} lost, ${result.doubled} doubled`,
    `  state        ${result.snapshots} snapshots from outside: ${result.torn} torn; ${result.violations} violations`,
    `  sockets      ${result.disconnects} closed though their gateway lived`,
    ``,
  ].join('\n');
}

const options = optionsOf(process.argv.slice(2));
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
process.stderr.write(`storm: seed ${options.seed}, ${options.kills} kills, ${options.bots} bots\n`);
try {
  const result = await new Storm(options).run(stop.signal);
  process.stdout.write(summary(result));
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  const { lost, doubled, torn, disconnects, violations } = result;
  process.exitCode = lost + doubled + torn + disconnects + violations === 0 ? 0 : 1;
} catch (error) {
  process.stderr.write(`storm (seed ${options.seed}): ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}
