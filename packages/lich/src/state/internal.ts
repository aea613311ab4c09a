/** What the rooms below need besides index.ts, and users do not. */
export { arraysOf } from './memory.ts';
export { machinesOf } from './machine-names.ts';
export { SITE_MESSAGE, SITE_RESUME, SITE_SPREAD, SITE_TICK, SITE_WALK, TRIES_MAX, Visits } from './visits.ts';
