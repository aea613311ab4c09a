/** Node ids: 32 bits, world.zone.kind.instance, the first on top. How many bits each part has is the same for all nodes of a
 * cluster: `topology(…, { ids: [8, 8, 8, 8] })`. Written as four numbers, `1.1.3.2`. */

/** Bits of world, zone, kind and instance; their sum is 32. */
export type IdWidths = readonly [world: number, zone: number, kind: number, instance: number];

/** What a topology without `ids` has. */
export const DEFAULT_WIDTHS: IdWidths = [8, 8, 8, 8];

const PARTS = ['world', 'zone', 'kind', 'instance'] as const;

/** @returns what is wrong with them; undefined = nothing */
export function flawOfWidths(widths: unknown): string | undefined {
  if (!Array.isArray(widths) || widths.length !== 4) return `${JSON.stringify(widths)}, not four numbers of bits`;
  if (widths.some(bits => !Number.isInteger(bits) || bits < 0 || bits > 31))
    return `${JSON.stringify(widths)}: each is a whole number 0..31`;
  const sum = (widths as number[]).reduce((a, b) => a + b, 0);
  if (sum !== 32) return `${JSON.stringify(widths)}, ${sum} bits together, not 32`;
  // Numbers of both begin with 1.
  if (widths[2] === 0 || widths[3] === 0) return `${JSON.stringify(widths)}: kind and instance have a bit at least`;
  return undefined;
}

/** Largest value of a part that has so many bits. */
export function mostOf(bits: number): number {
  return 2 ** bits - 1;
}

/** @returns the 32-bit id
 * @throws TypeError when a part does not fit its width */
export function nodeId(
  world: number,
  zone: number,
  kind: number,
  instance: number,
  widths: IdWidths = DEFAULT_WIDTHS,
): number {
  let id = 0;
  for (const [k, part] of [world, zone, kind, instance].entries()) {
    const most = mostOf(widths[k]!);
    if (!Number.isInteger(part) || part < 0 || part > most)
      throw new TypeError(`node id part ${PARTS[k]} ${part} is not 0..${most}`);
    id = id * (most + 1) + part;
  }
  return id >>> 0;
}

/** @returns the four parts of an id */
export function partsOf(id: number, widths: IdWidths = DEFAULT_WIDTHS): [number, number, number, number] {
  const parts: [number, number, number, number] = [0, 0, 0, 0];
  let rest = id >>> 0;
  for (let k = 3; k >= 0; k--) {
    const size = mostOf(widths[k]!) + 1;
    parts[k] = rest % size;
    rest = Math.floor(rest / size);
  }
  return parts;
}

/** @returns the id in dotted notation, `1.1.2.1` */
export function formatId(id: number, widths: IdWidths = DEFAULT_WIDTHS): string {
  return partsOf(id, widths).join('.');
}

/** @returns the id of `1.1.2.1`
 * @throws TypeError when the text is none, or a part does not fit its width */
export function parseId(text: string, widths: IdWidths = DEFAULT_WIDTHS): number {
  const parts = /^(\d{1,10})\.(\d{1,10})\.(\d{1,10})\.(\d{1,10})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined)
    throw new TypeError(`${JSON.stringify(text)} is no node id; want four numbers such as 1.1.2.1`);
  return nodeId(parts[0]!, parts[1]!, parts[2]!, parts[3]!, widths);
}
