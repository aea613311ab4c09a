// Light on purpose: a topology file loads this with `lich`. What runs a link is in internal.ts.
export { LINK_CODES, type LinkCode, LinkError } from './errors.ts';
export { nats, type NatsLinkOptions, tcp, type TcpLinkOptions } from './options.ts';
export type { Certificates, SharedSecret, TcpSecurity } from './tcp-security.ts';
