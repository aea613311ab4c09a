/** What runs under `npm run storm`: no page, and the storm brings its own bots. */
import { gateway, topology } from 'lich';
import { GATEWAYS, GATEWAY_PORT } from './settings.ts';

export const zone = topology({
  gateway: { run: gateway({ ws: GATEWAY_PORT }), count: GATEWAYS },
  arena: { run: './scene.ts', standby: 1, config: './config.ts' },
});
