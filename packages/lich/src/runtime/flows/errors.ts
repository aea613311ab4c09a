import { CodedError } from '@lich/schema';

/** What a step of a flow failed with, as its record has it: name, code and message of the error that was thrown. */
export class FlowStepError extends Error {
  /** Its `code`, where that was a text. */
  readonly code: string | undefined;
  /** It was a CodedError: made to be read by who asked. */
  readonly isCoded: boolean;

  constructor(name: string, code: string | undefined, message: string, isCoded: boolean) {
    super(message);
    this.name = name;
    this.code = code;
    this.isCoded = isCoded;
  }
}

interface ErrorValue {
  readonly name: string;
  readonly code: string | undefined;
  readonly message: string;
  readonly coded: boolean;
}

/** What of an error is recorded. */
export function errorValue(error: unknown): ErrorValue {
  try {
    if (error instanceof Error) {
      const { code } = error as { code?: unknown };
      return {
        name: whole(error.name, 64),
        code: typeof code === 'string' ? whole(code, 64) : undefined,
        message: whole(error.message, 1_000),
        coded: error instanceof CodedError || (error instanceof FlowStepError && error.isCoded),
      };
    }
    return { name: 'Error', code: undefined, message: whole(error, 1_000), coded: false };
  } catch {
    return { name: 'Error', code: undefined, message: 'an error that cannot be read', coded: false };
  }
}

/** Halves of characters are no text. */
function whole(text: unknown, most: number): string {
  return new TextDecoder().decode(new TextEncoder().encode(String(text).slice(0, most)));
}

export function errorOf(value: unknown): FlowStepError {
  const { name, code, message, coded } = value as ErrorValue;
  return new FlowStepError(name, code, message, coded);
}
