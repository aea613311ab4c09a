/** `node capsule-entry.js <json of a CapsuleReplay>`: started by `lich replay`. */
import { type CapsuleReplay, replayCapsule } from './capsule-replay.ts';

process.stdout.write(`${await replayCapsule(JSON.parse(process.argv[2] ?? '{}') as CapsuleReplay)}\n`);
// What was opened must not keep the process.
process.exit(0);
