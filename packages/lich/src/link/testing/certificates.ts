/** Certificates for tests, good until 2126: one authority with the hosts a, b and c, and a stranger with one of its own.
 * make.sh beside them made them. */
import { readFileSync } from 'node:fs';
import type { Certificates } from '../tcp-security.ts';

const read = (name: string): string => readFileSync(new URL(`./certificates/${name}.pem`, import.meta.url), 'utf8');

export function certificateOf(host: string): Certificates {
  const authority = host === 'stranger' ? 'stranger-ca' : 'ca';
  return { cert: read(host), key: read(`${host}.key`), ca: read(authority) };
}
