// Migrates node `game` of a directory, and is killed meanwhile: `node migrate.child.mjs DIR`.
import { writeSync } from 'node:fs';
import { migrateNode, storePlan } from 'lich/state';
import { ROOM, V2 } from './migrate.schemas.mjs';

const plan = storePlan(V2, ROOM);
writeSync(1, 'go');
migrateNode({ dir: process.argv[2], name: 'game', plan });
writeSync(1, 'done');
