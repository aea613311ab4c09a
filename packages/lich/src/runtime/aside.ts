/** Messages that were set aside because they kept ending the process: one file each, with all that is known.
 *
 *   <dir>/aside/<node>-<epoch>-<type>-<a>-<b>.json      the bytes of the payload are in it, base64
 *
 * Written before the commit that moves past the message: a kill in between writes the same file again. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { idOf, tagOf } from '../bus/index.ts';
import type { Core } from './core.ts';

export interface SetAside {
  readonly from: string;
  readonly type: number;
  readonly a: number;
  readonly b: number;
  /** Deaths while it was being handled. */
  readonly tries: number;
}

export function setAside(core: Core, what: SetAside, payload: Uint8Array): void {
  const dir = join(core.dir, 'aside');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, `${core.name}-${core.life.epoch}-${what.type >>> 0}-${what.a >>> 0}-${what.b >>> 0}.json`);
  const text = JSON.stringify({
    node: core.name,
    epoch: core.life.epoch,
    atMs: core.now,
    from: what.from,
    protocolTag: tagOf(what.type),
    messageId: idOf(what.type),
    a: what.a,
    b: what.b,
    deaths: what.tries,
    payload: Buffer.from(payload).toString('base64'),
  });
  writeFileSync(`${path}.tmp`, `${text}\n`, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
  core.log.error('a message was set aside: it kept ending the process', { ...what, file: path });
}
