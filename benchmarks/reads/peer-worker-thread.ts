/** The worker of `peer-worker`. It looks for messages every 64 transactions. */
import { parentPort } from 'node:worker_threads';
import { pin } from '../lib/tools.ts';
import { GROUP, moves, type Plain, RECORDS } from './work.ts';

pin(1);
const all = Array.from({ length: RECORDS }, (_, k) => ({
  gold: 0,
  hp: 100,
  x: 0,
  y: 0,
  z: 0,
  name: `unit ${k}`,
  level: 0,
  xp: 0,
  kind: 0,
})) satisfies Plain[];
const move = moves();
function some(): void {
  for (let k = 0; k < 64; k++) {
    move.next();
    if (move.undone) continue;
    const a = all[move.a];
    const b = all[move.b];
    a.gold -= move.by;
    b.gold += move.by;
    a.x += 0.5;
    b.x -= 0.5;
  }
  setImmediate(some);
}
parentPort!.on('message', (group: number) => parentPort!.postMessage(all.slice(group * GROUP, (group + 1) * GROUP)));
for (let k = 0; k < 1_000; k++) some();
parentPort!.postMessage('ready');
