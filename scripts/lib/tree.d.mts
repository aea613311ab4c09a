export function filesBelow(folder: string, keep?: (path: string) => boolean): string[];
export function isTest(path: string): boolean;
