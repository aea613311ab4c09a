export type { BusNode, FarBus, FarRun } from './far-bus.ts';
export { Link, type LinkCounts, type LinkHost } from './link.ts';
export { LinkLogic } from './logic.ts';
export { linkCore, type LinkNodeOptions } from './run.ts';
export { tcpTransport, type TcpOptions } from './tcp.ts';
export type { Connection, HostAddress, Transport, TransportEvents, TransportOptions } from './transport.ts';
