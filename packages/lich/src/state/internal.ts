/** What the rooms below need besides index.ts, and users do not. */
export { machinesOf } from './machine-names.ts';
