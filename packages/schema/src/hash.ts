/** 64 bits over a value that JSON can hold, as 16 hex digits. Key order in objects does not matter; undefined members do
 * not count. FNV-1a over the UTF-16 units of the canonical text: for telling versions apart, not against forgery. */
export function hashOf(value: unknown): string {
  const text = canonical(value);
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = ((hash ^ BigInt(unit & 0xff)) * 0x100_0000_01b3n) & 0xffff_ffff_ffff_ffffn;
    hash = ((hash ^ BigInt(unit >>> 8)) * 0x100_0000_01b3n) & 0xffff_ffff_ffff_ffffn;
  }
  return hash.toString(16).padStart(16, '0');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = value as Record<string, unknown>;
    const names = Object.keys(members)
      .filter(name => members[name] !== undefined)
      .sort();
    return `{${names.map(name => `${JSON.stringify(name)}:${canonical(members[name])}`).join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}
