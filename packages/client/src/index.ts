export { connect } from './connect.ts';
export type { ConnectOptions } from './connect.ts';
export type { Game, Takeover } from './game.ts';
export type { Status } from './connection.ts';
export { ClientError } from './errors.ts';
export type { ClientCode, ClientErrorOptions } from './errors.ts';
export type { BackoffOptions } from './backoff.ts';
export type { WebSocketConstructor, WebSocketLike } from './socket.ts';
export type { Me, MirrorPool, MirrorRecord, PayloadArgs, SyncedPoolNames, View } from './types.ts';
