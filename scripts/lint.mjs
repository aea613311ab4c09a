// npm run lint: oxlint with typed rules, the format check and the import rules.
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkTree } from './lib/imports.mjs';
import { runTool } from './lib/run.mjs';
import { root, setup } from './setup.mjs';

/** Prints each import that the rules of scripts/lib/imports.mjs forbid. @returns true when there is none */
export function lintImports() {
  const violations = checkTree(root);
  for (const { file, line, message } of violations)
    process.stdout.write(`${relative(root, file)}:${line} ${message}\n`);
  return violations.length === 0;
}

/** @returns true when oxlint and the format check found nothing */
export async function lintCode() {
  const oxlint = await runTool('oxlint/bin/oxlint', ['--deny-warnings']);
  const biome = await runTool('@biomejs/biome/bin/biome', ['format', '.']);
  return oxlint.code === 0 && biome.code === 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await setup({ compileErrors: 'return' });
  const code = await lintCode();
  process.exitCode = lintImports() && code ? 0 : 1;
}
