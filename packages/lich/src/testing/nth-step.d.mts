/** Counts steps of this process that others can see, and stops before one of them. */
export class Steps {
  constructor(native: object, at: number, stop: () => void);
  count: number;
  names: string[];
  stores(log: object): void;
  remove(): void;
}
