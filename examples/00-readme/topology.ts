/** What runs: `npx lich up topology.ts`. */
import { gateway, topology } from 'lich';

export const zone = topology({
  gateway: { run: gateway({ ws: Number(process.env.LICH_README_WS ?? 7777) }) },
  arena: { run: './scene.ts', standby: 1 },
  bank: { run: './bank.ts' },
});
