import { CodedError } from '@lich/schema';

/** What can go wrong in a gateway; docs/errors.md says when, and what to do. */
export type GatewayCode = 'GATEWAY_BAD_OPTION' | 'GATEWAY_NO_SERVICE' | 'GATEWAY_LISTEN' | 'GATEWAY_OUTPUT_TOO_LARGE';

/** A gateway that cannot start as it is told, or output that it could not keep. */
export class GatewayError extends CodedError<GatewayCode> {}
