import { CodedError } from '@lich/schema';

/** What can go wrong in a gateway; docs/errors.md says when, and what to do. */
export type GatewayCode = 'GATEWAY_BAD_OPTION' | 'GATEWAY_NO_SERVICE' | 'GATEWAY_LISTEN' | 'GATEWAY_OUTPUT_TOO_LARGE';

export class GatewayError extends CodedError<GatewayCode> {}
