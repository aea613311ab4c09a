// Light on purpose: every service's process loads this with `lich`. What runs a gateway is in internal.ts.
export { type GatewayCode, GatewayError } from './errors.ts';
export type { GatewayFigures } from './figures.ts';
export { gateway, type GatewayOptions } from './options.ts';
