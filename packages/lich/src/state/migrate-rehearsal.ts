/** A migration before the migration: done whole while the owner serves, from a copy as of one commit into a segment that
 * never gets a name. It proves that the code can do it (hooks, room, the check of the result) and that there is a way back,
 * and it leaves its code compiled: the next one, in the same process, is the one that players wait for. */
import { attachSegment, createReplacement } from '../shm/index.ts';
import { StateError } from './errors.ts';
import { differences, type MigrateNodeOptions, type MigrationOutlook, usedOf } from './migrate-node.ts';
import { examineMigration, migrate } from './migrate.ts';
import { catalogOf, Reader } from './reader.ts';

/** What came of it. */
export interface RehearsedMigration extends MigrationOutlook {
  /** Why the new state could not be brought back into the layout of now; empty when it could. */
  readonly noWayBack: readonly string[];
}

/** Takes as much memory as is in use twice, until the end. @throws as `migrateNode` */
export function rehearseMigration({ dir, name, plan }: MigrateNodeOptions): RehearsedMigration {
  const segment = attachSegment({ dir, name, kind: 'state', readOnly: true });
  try {
    const layouts = catalogOf(segment);
    const before = { ...plan, layouts };
    const found = new Reader(segment, { hidden: true }).whole(memory => {
      const { records, unfit, ms } = examineMigration(segment, plan, { layouts }, memory);
      if (unfit.count > 0) return { records, unfit, ms, noWayBack: [] };
      const { layoutHash, regions, catalog } = plan;
      const next = createReplacement({ dir, name, kind: 'state', layoutHash, regions, catalog });
      try {
        const done = migrate(segment, next.segment, plan, { layouts, memory });
        return { records, unfit, ms: done.ms, noWayBack: wayBackOf() };
      } finally {
        next.discard();
      }
      function wayBackOf(): string[] {
        try {
          return examineMigration(next.segment, before, { layouts: plan.layouts }).unfit.list;
        } catch (error) {
          if (error instanceof StateError) return [error.message];
          throw error;
        }
      }
    });
    return { ...differences(segment, layouts, plan), ...found, usedBytes: usedOf(segment) };
  } finally {
    segment.close();
  }
}
