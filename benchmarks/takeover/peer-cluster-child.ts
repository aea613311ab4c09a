/** node:cluster: the primary forks a worker again when it dies; a worker loads its records and handles messages. */
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { deserialize } from 'node:v8';
import { nowNs } from 'lich/shm';
import type { unitOf } from './world.ts';

type Plain = ReturnType<typeof unitOf>;

if (cluster.isPrimary) {
  const fork = (): void => {
    const worker = cluster.fork();
    worker.on('message', message => process.send!({ ...(message as object), pid: worker.process.pid }));
    process.removeAllListeners('message');
    process.on('message', n => worker.send(n as number));
    process.once('disconnect', () => worker.process.kill('SIGKILL'));
  };
  cluster.on('exit', fork);
  process.once('disconnect', () => {
    cluster.removeAllListeners('exit');
    process.exit();
  });
  fork();
} else {
  const units = new Map<number, Plain>();
  for (const unit of deserialize(readFileSync(process.argv[2])) as Plain[]) units.set(unit.id, unit);
  process.on('message', (n: number) => {
    const unit = units.get(n % units.size);
    if (unit) unit.hp++;
    process.send!({ atNs: nowNs(), records: units.size });
  });
  process.send!({ atNs: nowNs(), records: units.size });
}
