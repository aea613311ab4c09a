/** Each rule over the same cases under both linters: oxlint, which reads TypeScript, and ESLint, which here reads
 * JavaScript. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { RuleTester } from 'eslint';
import { describe, expect, it, test } from 'vitest';
import lint, { rules } from './index.ts';

const HEAD = `import { service, struct, extend, u32 } from 'lich';\nimport * as s from '@lich/schema';\n`;
/** A service with this handler. */
const handler = (body: string, before = '') => `${HEAD}${before}\nservice('a', { on: { go(ctx) { ${body} } } });`;
/** A service, and this beside it. */
const beside = (text: string) => `${HEAD}${text}\nservice('a', { on: {} });`;

const three = ['mutated', 'mutated', 'mutated'];
const four = ['timer', 'timer', 'timer', 'timer'];

interface Cases {
  readonly valid: Readonly<Record<string, string>>;
  readonly invalid: Readonly<Record<string, readonly [code: string, ...messages: string[]]>>;
}

const CASES: Readonly<Record<string, Cases>> = {
  'no-module-state': {
    valid: {
      'a constant': beside('const MAX = 3;'),
      'a table that is only read': beside('const t = [1, 2]; export function at(k) { return t[k]; }'),
      'a table filled while the module is loaded': beside('const t = new Map(); for (const k of [1]) t.set(k, k);'),
      'a let in a function': beside('export function f() { let n = 0; n++; return n; }'),
      'a local container': beside('export function f() { const t = []; t.push(1); return t; }'),
      'a file without a service': 'let n = 0; export const next = () => n++;',
      'set of something that was not made here': beside('const it = make(); export function f() { it.set(1); }'),
      'another service function': `import { service } from 'other'; let n = 0; service('a', { f() { n++; } });`,
      'a parameter of the same name': beside('const t = []; export function f(t) { t.push(1); }'),
    },
    invalid: {
      'a let': [beside('let n = 0; export const next = () => n++;'), 'let'],
      'a let that is exported': [beside('export let n = 0;'), 'let'],
      'a var': [beside('var n;'), 'let'],
      'two in one': [beside('let a, b;'), 'let', 'let'],
      'a Map that is changed': [beside('const t = new Map(); export function f() { t.set(1, 2); }'), 'mutated'],
      'an array': [beside('const t = []; export const f = () => { t.push(1); t[0] = 2; t.length = 0; };'), ...three],
      'an object': [beside('const t = {}; export const f = k => { t.a = 1; t[k]++; delete t[k]; };'), ...three],
      'in depth': [beside('const t = { all: [] }; export const f = k => t.all[0].push(k);'), 'mutated'],
      'by Object.assign': [beside('const t = {}; export const f = () => Object.assign(t, { a: 1 });'), 'mutated'],
      'a member of what something else made': [beside('const t = make(); export function f() { t.n = 1; }'), 'mutated'],
      'beside a record class': [`${HEAD}let n = 0; class A extends struct({}) { f() { return n++; } }`, 'let'],
      'by a namespace': [`${HEAD}let n = 0; class A extends s.struct({}) {}`, 'let'],
    },
  },
  'no-class-fields': {
    valid: {
      'methods, getters, statics': `${HEAD}class A extends struct({}) { static n = 1; get x() { return 1; } f() {} }`,
      'fields of other classes': `${HEAD}class A { n = 1; #m = 2; } class B extends A { k = 3; }`,
      'somebody else’s struct': `import { struct } from 'other'; class A extends struct({}) { n = 1; }`,
    },
    invalid: {
      'a field': [`${HEAD}class A extends struct({ hp: u32 }) { hp = 100; }`, 'field'],
      'without a value': [`${HEAD}class A extends struct({}) { n; }`, 'field'],
      'a computed one': [`${HEAD}class A extends struct({}) { [Symbol.iterator] = 1; }`, 'field'],
      'a private field and method': [`${HEAD}class A extends struct({}) { #n = 1; #f() {} }`, 'private', 'private'],
      'a constructor': [`${HEAD}class A extends struct({}) { constructor() { super(); } }`, 'constructor'],
      'a class over a record class': [`${HEAD}class A extends struct({}) {} class B extends A { n = 1; }`, 'field'],
      extend: [`${HEAD}const B = class extends extend(A, {}) { n = 1; };`, 'field'],
      'mix by a namespace': [`${HEAD}class B extends s.mix(A, C) { n = 1; }`, 'field'],
    },
  },
  'no-wall-clock': {
    valid: {
      'ctx.now, ctx.random, ctx.after': handler(`ctx.now; ctx.random.int(0, 5); ctx.after(1, 'x', {});`),
      'a date from a number': handler('new Date(ctx.now).getHours();'),
      'onCommit runs outside': handler(
        'ctx.onCommit(async () => { setTimeout(() => {}, 1); await fetch(Date.now()); });',
      ),
      'a clock of one’s own': handler('Date.now();', 'const Date = { now() { return 1; } };'),
      'beside the service': beside('export const began = Date.now(); setInterval(() => Math.random(), 1000);'),
      'a service of another library': `import { service } from 'other'; service('a', { f() { Date.now(); } });`,
      'Math of the other kind': handler('Math.floor(1.5);'),
      'a property called now': handler('({ now: 1, then: 2 }).now; ctx.Date;'),
    },
    invalid: {
      'Date.now': [handler('Date.now();'), 'clock'],
      'new Date and Date()': [handler('new Date(); Date();'), 'clock', 'clock'],
      'performance, process': [handler('performance.now(); process.hrtime();'), 'clock', 'clock'],
      'Math.random': [handler('Math.random();'), 'chance'],
      'from node:crypto': [`import { randomInt as r } from 'node:crypto';\n${handler('r(5);')}`, 'chance'],
      timers: [handler('setTimeout(f); setInterval(f); setImmediate(f); queueMicrotask(f);'), ...four],
      'imported timers': [
        `import { setTimeout as wait } from 'node:timers/promises';\n${handler('wait(1);')}`,
        'timer',
      ],
      'an async handler': [`${HEAD}service('a', { async tick() { await 1; } });`, 'promise'],
      promises: [
        handler('new Promise(f); Promise.all([]); fetch(1); g().then(f);'),
        'promise',
        'promise',
        'promise',
        'promise',
      ],
      'a helper, once': [handler('help(); help();', 'function help() { return Date.now(); }'), 'clock'],
      'a helper of a helper': [handler('a();', 'const b = () => Math.random(); const a = () => b();'), 'chance'],
      'a handler by name': [`${HEAD}function go() { Date.now(); } service('a', { on: { go } });`, 'clock'],
      'a table by name': [`${HEAD}const on = { go: () => Date.now() }; service('a', { on });`, 'clock'],
      'a spread table': [`${HEAD}const more = { go() { Date.now(); } }; service('a', { on: { ...more } });`, 'clock'],
      'a spec by name': [`${HEAD}const spec = { tick() { Date.now(); } }; service('a', spec);`, 'clock'],
      'a method of a record': [`${HEAD}class A extends struct({}) { get old() { return Date.now(); } }`, 'clock'],
      'an action of a machine': [
        `${HEAD}class A extends struct({ m: s.machine({ states: { a: { enter() { Date.now(); }, exit: () => later() } } }) }) {}\nconst later = () => setTimeout(f);`,
        'clock',
        'timer',
      ],
      'inside a callback': [handler('[1].forEach(() => Math.random());'), 'chance'],
      'in an argument of onCommit': [handler('ctx.onCommit(later(Date.now()));'), 'clock'],
    },
  },
};

for (const name of ['describe', 'it'] as const) Object.assign(RuleTester, { [name]: { describe, it }[name] });

describe('eslint', () => {
  for (const [name, { valid, invalid }] of Object.entries(CASES)) {
    new RuleTester().run(name, rules[name] as never, {
      valid: Object.entries(valid).map(([what, code]) => ({ name: what, code })),
      invalid: Object.entries(invalid).map(([what, [code, ...messages]]) => ({
        name: what,
        code,
        errors: messages.map(messageId => ({ messageId })),
      })),
    });
  }
});

/** Not for ESLint, which would need another parser. */
const TYPED: readonly (readonly [rule: string, code: string, count: number])[] = [
  ['no-class-fields', `${HEAD}class A extends struct({ hp: u32 }) { declare hp: number; static n: number = 1; }`, 0],
  ['no-class-fields', `${HEAD}abstract class A extends struct({}) { abstract n: number; }`, 0],
  ['no-class-fields', `${HEAD}class A extends struct({}) { readonly n: number = 1; private m!: string; }`, 2],
  ['no-class-fields', `${HEAD}class A extends (struct({}) as never) { n = 1; }`, 1],
  ['no-module-state', beside('declare let n: number; const t: readonly number[] = [];'), 0],
  ['no-module-state', beside('const t = new Map<string, number>() as any; export const f = () => { t!.set(1); };'), 1],
  [
    'no-wall-clock',
    `${HEAD}service('a', { tick() { const d: typeof Date = null!; type T = ReturnType<typeof f>; } });`,
    0,
  ],
  ['no-wall-clock', `${HEAD}service('a', { tick(this: void): number { return Date.now() as number; } } as never);`, 1],
];

test('oxlint', () => {
  const cases = [
    ...Object.entries(CASES).flatMap(([rule, { valid, invalid }]) => [
      ...Object.values(valid).map(code => [rule, code, 0] as const),
      ...Object.values(invalid).map(([code, ...messages]) => [rule, code, messages.length] as const),
    ]),
    ...TYPED,
  ];
  const dir = mkdtempSync(join(tmpdir(), 'lich-rules-'));
  try {
    const plugin = join(import.meta.dirname, '../../dist/lint/index.js');
    const all = Object.fromEntries(Object.keys(rules).map(name => [`lich/${name}`, 'error']));
    const config = { jsPlugins: [plugin], categories: { correctness: 'off' }, rules: all };
    writeFileSync(join(dir, '.oxlintrc.json'), JSON.stringify(config));
    cases.forEach(([, code], k) => writeFileSync(join(dir, `${k}.ts`), code));
    const oxlint = join(import.meta.dirname, '../../../../node_modules/oxlint/bin/oxlint');
    const done = spawnSync(process.execPath, [oxlint, '--format=json', '.'], { cwd: dir, encoding: 'utf8' });
    const { diagnostics } = JSON.parse(done.stdout) as { diagnostics: { code: string; filename: string }[] };
    const found = cases.map(([rule, code], k) => ({
      code,
      rule,
      count: diagnostics.filter(one => basename(one.filename) === `${k}.ts`).filter(one => one.code === `lich(${rule})`)
        .length,
    }));
    expect(found).toEqual(cases.map(([rule, code, count]) => ({ code, rule, count })));
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('each rule has cases, and recommended switches each on', () => {
  expect(Object.keys(CASES).sort()).toEqual(Object.keys(rules).sort());
  expect(Object.keys(lint.configs.recommended.rules).sort()).toEqual(
    Object.keys(rules)
      .map(rule => `lich/${rule}`)
      .sort(),
  );
});

test('each message is a sentence that says what to do instead', () => {
  for (const { meta } of Object.values(rules)) {
    for (const message of Object.values(meta.messages))
      expect(message).toMatch(/^[{`A-Z].*: .*\.$|never runs|cannot wait/);
  }
});
