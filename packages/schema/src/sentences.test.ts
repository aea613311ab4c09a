import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const source = dirname(fileURLToPath(import.meta.url));
const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');

// One line of a user's program each, and what the compiler must say about it.
const MISUSES: [string, RegExp][] = [
  ['struct({ f() {} });', /a record holds data only: a function belongs into the class body, as a method or a getter/],
  ['struct({ hp: 100 });', /a field is a kind such as int, text\(24\), array\(u8, 4\), or a struct class/],
  ['struct({ constructor: int });', /this name is reserved: choose another name for the field/],
  ['command({ l: list(int, 3) });', /what grows cannot be in a message: use array\(kind, n\), whose size is fixed/],
  ['command({ t: text() });', /text\(\) and bytes\(\) cannot be in a message: use text\(n\) or bytes\(n\)/],
  ['event({ f: () => 0 });', /a message holds data only, not a function/],
  ['state({ a: 3 });', /an entry of a state is pool\(Class\), a kind such as int, or a struct class/],
  ["machine({ initial: 'a', states: { a: { to: ['b'] } } });", /Type '"b"' is not assignable to type '"a"'/],
  ["player.mode.to('gone').to('here');", /'"here"' is not assignable to parameter of type 'never'/],
  ["player.mode = 'here';", /Cannot assign to 'mode' because it is a read-only property/],
  ['extend(Item, { count: int });', /the base has a field or a member of this name already/],
  ['variants({ Kinded });', /has the name of its class in variant: rename the field/],
  ["int.init('x');", /Argument of type 'string' is not assignable to parameter of type 'number'/],
  ['walk.dz;', /Property 'dz' does not exist on type 'HandlerFields</],
  ['map(int);', /Expected 2-3 arguments, but got 1/],
  ['text().sync;', /Property 'sync' does not exist on type 'LongTextKind'/],
  ['list(int, 2).sync;', /Property 'sync' does not exist on type 'ListKind</],
  ['player.at = player.at;', /Cannot assign to 'at' because it is a read-only property/],
];

test('the compiler answers misuse with a sentence', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lich-sentences-'));
  try {
    const lines = [
      `import { command, event, extend, int, list, machine, map, optional, pool, protocol, state, struct, text, variants, type PayloadOf } from '${join(source, 'index.ts')}';`,
      'class Item extends struct({ count: int }) {}',
      'class Kinded extends struct({ variant: int }) {}',
      "const mode = machine({ initial: 'here', states: { here: { to: ['gone'] }, gone: {} } });",
      'class Player extends struct({ at: Item, mode, pet: optional(Item) }) {}',
      'const P = protocol({ walk: command({ dx: int }) });',
      "declare const walk: PayloadOf<typeof P, 'walk'>; declare const player: Player;",
      'export const used = { event, extend, list, map, pool, state, variants };',
    ];
    const first = lines.length + 1;
    writeFileSync(join(directory, 'misuse.ts'), [...lines, ...MISUSES.map(([line]) => line)].join('\n'));
    const compilerOptions = {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      noEmit: true,
      types: [],
      allowImportingTsExtensions: true,
      skipLibCheck: true,
    };
    const files = ['misuse.ts', join(source, 'globals.d.ts')];
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', directory, '--pretty', 'false'], { encoding: 'utf8' });
    const said = new Map<number, string>();
    let line = 0;
    for (const text of stdout.split('\n')) {
      line = Number(/misuse\.ts\((\d+),/.exec(text)?.[1] ?? line);
      said.set(line, `${said.get(line) ?? ''}${text}\n`);
    }
    for (const [index, [, sentence]] of MISUSES.entries()) expect(said.get(first + index)).toMatch(sentence);
    expect([...said.keys()].filter(at => at < first)).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
