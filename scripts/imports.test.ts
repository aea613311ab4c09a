import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { checkTree, importsOf } from './lib/imports.mjs';

const trees: string[] = [];
afterEach(() => trees.splice(0).forEach(tree => fs.rmSync(tree, { recursive: true })));

/** What the rules say of a tree with these files, as `path: message`. */
function verdict(files: Record<string, string>): string[] {
  const root = fs.mkdtempSync(join(tmpdir(), 'lich-imports-'));
  trees.push(root);
  const manifest = { dependencies: { ws: '8' } };
  const tree = {
    'package.json': JSON.stringify({ devDependencies: { vitest: '4' } }),
    'packages/schema/package.json': JSON.stringify({ name: '@lich/schema' }),
    'packages/client/package.json': JSON.stringify({ name: '@lich/client' }),
    'packages/lich/package.json': JSON.stringify({ name: 'lich', ...manifest }),
    ...files,
  };
  for (const [path, text] of Object.entries(tree)) {
    fs.mkdirSync(dirname(join(root, path)), { recursive: true });
    fs.writeFileSync(join(root, path), text);
  }
  return checkTree(root).map(({ file, line, message }) => `${relative(root, file)}:${line} ${message}`);
}

const lich = (path: string) => `packages/lich/src/${path}`;

describe('each planted violation is found', () => {
  const planted: [what: string, file: string, text: string, message: RegExp][] = [
    ['a room imports one below it', lich('shm/segment.ts'), `import { pool } from '../state/index.ts';`, /below it/],
    ['only a type', lich('shm/segment.ts'), `import type { Pool } from '../state/index.ts';`, /below it/],
    ['a type in a type position', lich('shm/segment.ts'), `let a: import('../bus/index.ts').Lane;`, /below it/],
    ['a re-export', lich('shm/index.ts'), `export * from '../state/index.ts';`, /below it/],
    ['a late import', lich('shm/segment.ts'), `await import('../bus/index.ts');`, /below it/],
    [
      'on several lines',
      lich('shm/segment.ts'),
      `import {\n  a,\n  b,\n} from '../bus/index.ts';`,
      /segment.ts:4 .*below it/,
    ],
    ['a test too', lich('shm/segment.test.ts'), `import { a } from '../state/index.ts';`, /below it/],
    ['testing in product code', lich('cli/up.ts'), `import { storm } from '../testing/index.ts';`, /tests only/],
    ['the insides of a room', lich('bus/lane.ts'), `import { a } from '../state/undo-log.ts';`, /insides/],
    ['the whole package from a room', lich('bus/lane.ts'), `import { a } from '../index.ts';`, /whole package/],
    ['the package by its own name', lich('bus/lane.ts'), `import { a } from 'lich/state';`, /by path/],
    ['a path into another package', lich('bus/a.ts'), `import '../../../schema/src/errors.ts';`, /by its name/],
    ['an undeclared package', lich('bus/a.ts'), `import 'left-pad';`, /not a dependency/],
    ['a tool in product code', lich('bus/a.ts'), `import 'vitest';`, /not a dependency/],
    ['Node in schema', 'packages/schema/src/a.ts', `import 'node:fs';`, /no Node/],
    ['a test helper in schema', 'packages/schema/src/a.ts', `import './testing/b.ts';`, /tests only/],
    ['a package in schema', 'packages/schema/src/a.ts', `import 'ws';`, /imports nothing/],
    ['the server in the client', 'packages/client/src/a.ts', `import 'lich';`, /may not import the server/],
    ['a package in the client', 'packages/client/src/a.ts', `import 'ws';`, /only @lich\/schema/],
    ['a path from an example', 'examples/x/a.ts', `import '../../packages/lich/src/index.ts';`, /by its name/],
  ];
  test.each(planted)('%s', (_, file, text, message) => {
    expect(verdict({ [file]: text })).toEqual([expect.stringMatching(message)]);
  });

  test('a circle', () => {
    const files = { [lich('bus/a.ts')]: `import './b.ts';`, [lich('bus/b.ts')]: `import { a } from './a.ts';` };
    expect(verdict(files)).toEqual([expect.stringMatching(/imports itself: .*a\.ts → .*b\.ts → .*a\.ts/)]);
  });
});

test('what is allowed is not reported', () => {
  const files = {
    [lich('index.ts')]: `export { pool } from './state/index.ts';`,
    [lich('state/pool.ts')]:
      `import { open } from '../shm/internal.ts';\nimport { CodedError } from '@lich/schema';\nimport fs from 'node:fs';`,
    [lich('state/pool.test.ts')]:
      `import { test } from 'vitest';\nimport { crash } from '../testing/index.ts';\nimport { a } from '../shm/header.ts';\nimport { need } from '../../../../scripts/lib/capability.mjs';`,
    [lich('state/a.ts')]: `import type { B } from './b.ts';`,
    [lich('state/b.ts')]: `import { a } from './a.ts';`,
    [lich('testing/storm.ts')]: `import { up } from '../cli/up.ts';`,
    [lich('gateway/socket.ts')]: `import { WebSocketServer } from 'ws';`,
    'packages/schema/src/testing/a.ts': `import { test } from 'vitest';\nimport '../b.ts';`,
    'packages/client/src/a.ts': `import { struct } from '@lich/schema';`,
    'examples/x/a.ts': `import { service } from 'lich';\nimport './b.ts';`,
  };
  expect(verdict(files)).toEqual([]);
});

test('comments and template texts name no modules', () => {
  const text = `// import 'a'\n/* from 'b'\n */ const c = \`import 'd'\`; const s = 'it // is'; import 'e';`;
  expect(importsOf(text)).toEqual([{ specifier: 'e', line: 3, runs: true, atLoad: true }]);
});
