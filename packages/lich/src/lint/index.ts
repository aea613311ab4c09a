export { plugin as default, rules } from './plugin.ts';
export type { Rule } from './ast.ts';
