/** Call what a user passed in. What it throws does not reach the client, whose own state is in order by then: it is
 * reported as an error that nobody caught.
 * @internal */
export function callUser<A extends readonly unknown[]>(fn: (...args: A) => void, ...args: A): void {
  try {
    fn(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
