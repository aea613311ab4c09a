/** Every snippet of the documentation is checked, so that none rots.
 *
 * - A `ts` block is a piece of a file that is compiled and run: the line before it names the file,
 *   `<!-- from examples/00-readme/scene.ts -->`, and its lines stand there as they stand here (a common indentation
 *   apart). A line `// ...` in the block stands for any lines left out.
 * - A command in an `sh` block exists: the npm script, the verb of `lich`, the file given to `node`.
 * - A link to a file of the repository leads somewhere. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { filesBelow } from './lib/tree.mjs';

const root = join(import.meta.dirname, '..');
const pages = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'UPGRADING.md']
    .map(name => join(root, name))
    .filter(existsSync),
  ...filesBelow(join(root, 'docs'), path => path.endsWith('.md')),
];

export interface Block {
  readonly language: string;
  readonly line: number;
  readonly text: string;
  /** The file named in the comment before it. */
  readonly from?: string;
}

export function blocksOf(page: string): Block[] {
  const blocks = [...page.matchAll(/(?:<!-- from (\S+) -->\s*\n)?^```(\w+)[^\n]*\n([\s\S]*?)^```/gm)];
  return blocks.map(match => ({
    from: match[1],
    language: match[2],
    text: match[3],
    line: page.slice(0, match.index).split('\n').length,
  }));
}

/** Lines without what they are all indented by and without blank lines at the ends. */
function dedent(text: string): string[] {
  const lines = text
    .replace(/^(\s*\n)+|\s+$/g, '')
    .split('\n')
    .map(line => line.trimEnd());
  const indents = lines.filter(Boolean).map(line => line.length - line.trimStart().length);
  const least = Math.min(...indents);
  return lines.map(line => line.slice(least));
}

/** Does `block` stand in `file`, with `// ...` for what it leaves out? */
export function standsIn(block: string, file: string): boolean {
  const fileLines = file.split('\n').map(line => line.trimEnd());
  const parts = dedent(block)
    .join('\n')
    .split(/^\s*\/\/ \.\.\.$\n?/m)
    .filter(part => part.trim());
  let after = 0;
  return parts.every(part => {
    const wanted = dedent(part);
    for (let at = after; at + wanted.length <= fileLines.length; at++) {
      const piece = dedent(fileLines.slice(at, at + wanted.length).join('\n'));
      if (piece.join('\n') !== wanted.join('\n')) continue;
      after = at + wanted.length;
      return true;
    }
    return false;
  });
}

const scripts = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> })
  .scripts;

/** What is wrong with a command line, or nothing. */
export function wrongCommand(line: string): string | undefined {
  const words = line
    .replace(/#.*$/, '')
    .trim()
    .replace(/^\$ /, '')
    .replace(/^(\w+=\S*\s+)+/, '')
    .split(/\s+/);
  if (words[0] === 'npm') {
    const name = words[1] === 'run' ? words[2] : ['start', 'test'].includes(words[1]) ? words[1] : undefined;
    return name && !(name in scripts) ? `no npm script ${name}` : undefined;
  }
  if (words[0] === 'npx' && words[1] === 'lich') words.shift();
  if (words[0] === 'lich' && words[1] && !words[1].startsWith('-')) {
    return existsSync(join(root, 'packages/lich/src/cli', `${words[1]}.ts`)) ? undefined : `no verb ${words[1]}`;
  }
  if (words[0] === 'node') {
    const file = words.find(word => /\.[mc]?[jt]s$/.test(word));
    return file &&
      !existsSync(join(root, file.replace('/dist/', '/src/').replace(/\.js$/, '.ts'))) &&
      !existsSync(join(root, file))
      ? `no file ${file}`
      : undefined;
  }
  return undefined;
}

describe.each(pages.map(path => relative(root, path)))('%s', name => {
  const page = readFileSync(join(root, name), 'utf8');
  const blocks = blocksOf(page);

  test('each ts block stands in a file that is compiled', () => {
    const wrong = blocks
      .filter(({ language }) => language === 'ts')
      .filter(
        ({ from, text }) =>
          !from || !existsSync(join(root, from)) || !standsIn(text, readFileSync(join(root, from), 'utf8')),
      )
      .map(
        ({ line, from }) => `${name}:${line} ${from ? `differs from ${from}` : 'names no file: <!-- from path -->'}`,
      );
    expect(wrong).toEqual([]);
  });

  test('each command exists', () => {
    const wrong = blocks
      .filter(({ language }) => ['sh', 'bash', 'shell'].includes(language))
      .flatMap(({ text, line }) => text.split('\n').map(command => ({ line, problem: wrongCommand(command) })))
      .filter(({ problem }) => problem)
      .map(({ line, problem }) => `${name}:${line} ${problem}`);
    expect(wrong).toEqual([]);
  });

  test('each link into the repository leads to a file', () => {
    const links = [...page.replace(/```[\s\S]*?```/g, '').matchAll(/\]\((?!\w+:|#)([^)#\s]+)/g)].map(match => match[1]);
    expect(links.filter(link => !existsSync(join(root, dirname(name), link)))).toEqual([]);
  });
});

describe('the checks find what they are for', () => {
  test('a snippet that differs, in one word or in its order', () => {
    const file = 'class A {\n  one() {\n    return 1;\n  }\n  two() {}\n}\n';
    expect(standsIn('one() {\n  return 1;\n}\n', file)).toBe(true);
    expect(standsIn('class A {\n  // ...\n  two() {}\n}\n', file)).toBe(true);
    expect(standsIn('one() {\n  return 2;\n}\n', file)).toBe(false);
    expect(standsIn('two() {}\n// ...\none() {\n', file)).toBe(false);
  });

  test('blocks and the file they name', () => {
    const page = 'a\n\n<!-- from x/y.ts -->\n```ts\nlet a;\n```\n\n```sh\nnpm test\n```\n';
    expect(blocksOf(page)).toEqual([
      { language: 'ts', line: 3, text: 'let a;\n', from: 'x/y.ts' },
      { language: 'sh', line: 8, text: 'npm test\n', from: undefined },
    ]);
  });

  test('commands that do not exist', () => {
    expect(wrongCommand('LICH_TEST_REQUIRE=chromium npm test')).toBeUndefined();
    expect(wrongCommand('npm run bench -- state   # prints a table')).toBeUndefined();
    expect(wrongCommand('npm run bensh')).toBe('no npm script bensh');
    expect(wrongCommand('npx lich fly')).toBe('no verb fly');
    expect(wrongCommand('node scripts/none.mjs')).toBe('no file scripts/none.mjs');
  });
});
