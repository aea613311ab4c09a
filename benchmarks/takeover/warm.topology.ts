import { topology } from 'lich/runtime';

export const world = topology({ world: { run: './world-service.js', standby: 1 } });
