/** How tools write numbers and tables. */
let thousands: Intl.NumberFormat | undefined;

export function number(value: number): string {
  // Made on first use: it takes longer than most commands do.
  thousands ??= new Intl.NumberFormat('en-US');
  return thousands.format(value);
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = -1;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]!}`;
}

export function time(ms: number): string {
  return new Date(ms).toISOString().replace('T', ' ').slice(0, 19);
}

export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** Lines with aligned columns, two blanks apart. @param right columns that end at one line, by index */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = [], indent = '  '): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, k) => (widths[k] = Math.max(widths[k] ?? 0, cell.length)));
  return rows.map(row => {
    const cells = row.map((cell, k) => (right.includes(k) ? cell.padStart(widths[k]!) : cell.padEnd(widths[k]!)));
    return `${indent}${cells.join('  ')}`.trimEnd();
  });
}

/** At most so many characters. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(1, width - 1))}…`;
}

/** Columns of the terminal; a pipe has as many as it likes. */
export function columns(): number {
  return process.stdout.isTTY ? (process.stdout.columns ?? 100) : Number.POSITIVE_INFINITY;
}
