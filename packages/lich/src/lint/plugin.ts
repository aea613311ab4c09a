import type { Rule } from './ast.ts';
import { noClassFields } from './no-class-fields.ts';
import { noModuleState } from './no-module-state.ts';
import { noWallClock } from './no-wall-clock.ts';

/** The rules by their names. */
export const rules: Readonly<Record<string, Rule>> = {
  'no-class-fields': noClassFields,
  'no-module-state': noModuleState,
  'no-wall-clock': noWallClock,
};

interface Plugin {
  readonly meta: { readonly name: string };
  readonly rules: typeof rules;
  /** For ESLint's flat configuration: `export default [lint.configs.recommended]`. */
  readonly configs: { readonly recommended: { readonly plugins: object; readonly rules: Record<string, 'error'> } };
}

const base = { meta: { name: 'lich' }, rules };

/** Lint rules for those who write services, for oxlint (`jsPlugins`) and ESLint. Imports nothing. */
export const plugin: Plugin = {
  ...base,
  configs: {
    recommended: {
      plugins: { lich: base },
      rules: Object.fromEntries(Object.keys(rules).map(name => [`lich/${name}`, 'error' as const])),
    },
  },
};
