import { RuntimeError } from './errors.ts';

/** Refuse what a handler returned if it is a promise: the message would commit before its work is done. What becomes of
 * that promise is nobody's business any more, and must not end the process when it is rejected.
 * @throws RuntimeError `RUNTIME_HANDLER_PROMISE` */
export function refusePromise(name: string, result: unknown): void {
  if (typeof result !== 'object' || result === null || typeof (result as { then?: unknown }).then !== 'function')
    return;
  Promise.resolve(result).catch(() => {});
  throw new RuntimeError(
    'RUNTIME_HANDLER_PROMISE',
    `handler ${name} returned a promise: handlers are synchronous, one message is one transaction`,
  );
}
