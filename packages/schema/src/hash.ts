/** 64 bits over a value that JSON can hold, as 16 hex digits. Key order in objects does not matter; undefined members do
 * not count, nor do those named in `without`, at any depth. FNV-1a over the UTF-16 units of the canonical text: for telling versions apart, not against forgery. */
export function hashOf(value: unknown, without: readonly string[] = []): string {
  const text = canonical(value, without);
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = ((hash ^ BigInt(unit & 0xff)) * 0x100_0000_01b3n) & 0xffff_ffff_ffff_ffffn;
    hash = ((hash ^ BigInt(unit >>> 8)) * 0x100_0000_01b3n) & 0xffff_ffff_ffff_ffffn;
  }
  return hash.toString(16).padStart(16, '0');
}

function canonical(value: unknown, without: readonly string[]): string {
  if (Array.isArray(value)) return `[${value.map(element => canonical(element, without)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = value as Record<string, unknown>;
    const names = Object.keys(members)
      .filter(name => members[name] !== undefined && !without.includes(name))
      .sort();
    return `{${names.map(name => `${JSON.stringify(name)}:${canonical(members[name], without)}`).join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}
