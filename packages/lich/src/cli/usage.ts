/** The command was not called as it wants to be: exit code 2. */
export class UsageError extends Error {}
