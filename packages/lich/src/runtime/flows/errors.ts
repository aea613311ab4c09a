/** What a step of a flow failed with, as its record has it: name, code and message of the error that was thrown. */
export class FlowStepError extends Error {
  /** That of a coded error; undefined for others. */
  readonly code: string | undefined;

  constructor(name: string, code: string | undefined, message: string) {
    super(message);
    this.name = name;
    this.code = code;
  }
}

/** What of an error is recorded. */
export function errorValue(error: unknown): { name: string; code: string | undefined; message: string } {
  try {
    if (error instanceof Error) {
      const { code } = error as { code?: unknown };
      return {
        name: whole(error.name, 64),
        code: typeof code === 'string' ? whole(code, 64) : undefined,
        message: whole(error.message, 1_000),
      };
    }
    return { name: 'Error', code: undefined, message: whole(error, 1_000) };
  } catch {
    return { name: 'Error', code: undefined, message: 'an error that cannot be read' };
  }
}

/** Halves of characters are no text. */
function whole(text: unknown, most: number): string {
  return new TextDecoder().decode(new TextEncoder().encode(String(text).slice(0, most)));
}

export function errorOf(value: unknown): FlowStepError {
  const { name, code, message } = value as ReturnType<typeof errorValue>;
  return new FlowStepError(name, code, message);
}
