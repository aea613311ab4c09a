/** The peer's server: loads its records from a file, then handles messages. */
import { readFileSync } from 'node:fs';
import { deserialize } from 'node:v8';
import { nowNs } from 'lich/shm';
import type { unitOf } from './world.ts';

type Plain = ReturnType<typeof unitOf>;

const units = new Map<number, Plain>();
for (const unit of deserialize(readFileSync(process.argv[2])) as Plain[]) units.set(unit.id, unit);

process.on('message', (n: number) => {
  const unit = units.get(n % units.size);
  if (unit) unit.hp++;
  process.send!({ atNs: nowNs(), records: units.size });
});
