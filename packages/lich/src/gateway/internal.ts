export type { ClientSocket } from './client-socket.ts';
export { GatewayLogic, type GatewayTarget } from './logic.ts';
export { type GatewaySettings, settingsOf } from './options.ts';
export { gatewayCore, type GatewayNode, type GatewayNodeOptions, targetOf } from './run.ts';
