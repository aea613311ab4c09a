/** What runs: `npm start`. Ports and the number of bots can be set from outside (settings.ts). */
import { gateway, program, topology } from 'lich';
import { GATEWAYS, GATEWAY_PORT } from './settings.ts';

export const zone = topology({
  gateway: { run: gateway({ ws: GATEWAY_PORT }), count: GATEWAYS },
  arena: { run: './scene.ts', standby: 1, config: './config.ts' },
  web: { run: program('./web.ts') },
  bots: { run: program('./crowd.ts') },
});
