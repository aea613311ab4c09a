/** A project for tests of deploys: `ping` counts up and sends each number to `pong`, 10,000 a second; pong must get each
 * once, in order, whatever is deployed meanwhile. */
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect } from 'vitest';
import { removeTestDirs, testDir } from './children.ts';
import { LichUp, rootOf, until } from './lich-up.ts';

const LICH = fileURLToPath(new URL('../../bin/lich.js', import.meta.url));
const MODULES = fileURLToPath(new URL('../../../../node_modules', import.meta.url));

/** What runs, once `running` has been called. */
export let up: LichUp | undefined;
afterEach(async () => {
  await up?.stop();
  up = undefined;
  removeTestDirs();
});

export interface Version {
  /** What the handler of `note` does besides counting. */
  readonly note?: string;
  readonly resumed?: string;
  readonly own?: string;
  readonly on?: string;
  readonly fields?: string;
  /** Fields of a guest, and what the handler does with one: there are 300, and the number says which one it is for. */
  readonly guest?: string;
  readonly visit?: string;
  readonly born?: string;
  readonly commands?: string;
  readonly top?: string;
}

export const pong = (v: Version = {}): string => `
import { command, f32, int, list, map, own, pool, protocol, service, set, state, struct, text, u8, u16, u32 } from 'lich';
${v.top ?? ''}
export class Guest extends struct({ ${v.guest ?? 'hits: int'} }) { ${v.born ?? ''} }
export const PongProtocol = protocol({ ${v.commands ?? 'note: command({ n: int })'}, ${v.own ?? 'later: own({ n: int })'} });
export default service('pong', {
  state: state({ ${v.fields ?? 'last: int, wrong: int, by: int, lives: int, fired: int'}, guests: pool(Guest) }),
  protocol: PongProtocol,
  config: { later: 3_600_000 },
  start(ctx) {
    for (let k = 0; k < 300; k++) ctx.state.guests.create();
    ctx.after(ctx.config.later, 'later' as never, { n: 1 } as never);
  },
  resumed({ state }) { state.lives++; ${v.resumed ?? ''} },
  on: {
    note({ state }, { n }) {
      if (n !== state.last + 1) state.wrong++;
      state.last = n;
      const guest = state.guests.get(n % 300)!;
      ${v.visit ?? 'guest.hits++;'}
      ${v.note ?? 'state.by = 1;'}
    },
    ${v.on ?? 'later({ state }, { n }) { state.fired += n; },'}
  },
});`;

const PING = `
import { int, own, protocol, service, state } from 'lich';
import pong from './pong.ts';
export const PingProtocol = protocol({ go: own({}) });
export default service('ping', {
  state: state({ sent: int }), protocol: PingProtocol,
  start(ctx) { ctx.every(2, 'go', {}); },
  on: { go(ctx) { for (let k = 0; k < 20 && ctx.send(pong, 'note', { n: ctx.state.sent + 1 }); k++) ctx.state.sent++; } },
});`;

export const topologyOf = (pong = ''): string => `
import { topology } from 'lich';
export const zone = topology({
  pong: { run: './pong.ts', limits: { logBytes: 1 << 20 }, ${pong} },
  ping: { run: './ping.ts', limits: { logBytes: 1 << 20 } },
});`;

/** A project that runs. */
export async function running(first: Version = {}, more = ''): Promise<{ write: (v: Version) => void; file: string }> {
  const at = testDir();
  fs.writeFileSync(`${at}/package.json`, '{ "type": "module" }');
  fs.symlinkSync(MODULES, `${at}/node_modules`);
  fs.writeFileSync(`${at}/ping.ts`, PING);
  fs.writeFileSync(`${at}/topology.ts`, topologyOf(more));
  const write = (v: Version): void => fs.writeFileSync(`${at}/pong.ts`, pong(v));
  write(first);
  up = await LichUp.up(`${at}/topology.ts`, `${at}/cluster`);
  await beyond(100);
  return { write, file: `${at}/pong.ts` };
}

export interface Done {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

export function deploy(...args: string[]): Promise<Done> {
  const child = spawn(process.execPath, [LICH, 'deploy', ...args, '--dir', up!.dir]);
  let out = '';
  let errors = '';
  child.stdout.on('data', chunk => (out += String(chunk)));
  child.stderr.on('data', chunk => (errors += String(chunk)));
  return new Promise(resolve => child.once('close', code => resolve({ code, out, errors })));
}

export function pongNow(): Record<string, number> {
  const reader = up!.reader('pong-1');
  const found = rootOf(reader);
  reader.segment.close();
  return found;
}

export async function beyond(more: number): Promise<void> {
  const reader = up!.reader('pong-1');
  const { last } = rootOf(reader);
  await until(() => rootOf(reader).last! >= last! + more);
  reader.segment.close();
}

export async function whole(node = 'pong-1'): Promise<void> {
  await beyond(200);
  expect(pongNow().wrong).toBe(0);
  const reader = up!.reader(node);
  expect(reader.check()).toEqual([]);
  reader.segment.close();
}
