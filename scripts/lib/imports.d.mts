export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}
export const ROOMS: readonly string[];
export function importsOf(text: string): { specifier: string; line: number; runs: boolean; atLoad: boolean }[];
export function checkTree(root: string): Violation[];
