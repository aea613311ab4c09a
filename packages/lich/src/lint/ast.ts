/** What the rules share: a small part of ESLint's rule interface (which oxlint's JS plugins run too), which names of a
 * file are Lich's, and which functions of it are rules of the game. */

/** A node of the syntax tree, ESTree with TypeScript's additions. */
export interface Node {
  readonly type: string;
  readonly parent?: Node;
  // What else there is depends on the type.
  readonly [key: string]: any;
}

/** A function of any form. */
export interface FunctionNode extends Node {
  readonly async: boolean;
}

interface Definition {
  readonly type: string;
  readonly node: Node;
}

export interface Variable {
  readonly name: string;
  readonly defs: readonly Definition[];
  readonly references: readonly { readonly identifier: Node; isWrite(): boolean }[];
}

interface Scope {
  readonly set: ReadonlyMap<string, Variable>;
  readonly upper: Scope | null;
}

/** What a rule is given for a file. */
export interface RuleContext {
  readonly sourceCode: {
    readonly ast: Node;
    getScope(node: Node): Scope;
    getDeclaredVariables(node: Node): readonly Variable[];
  };
  report(problem: { node: Node; messageId: string; data?: Record<string, string> }): void;
}

/** A rule as ESLint and oxlint take it. */
export interface Rule {
  readonly meta: {
    readonly type: 'problem';
    readonly docs: { readonly description: string; readonly url: string };
    readonly messages: Readonly<Record<string, string>>;
    readonly schema: readonly [];
  };
  create(context: RuleContext): Record<string, (node: Node) => void>;
}

/** @returns `meta` of a rule; its page is docs/lint.md */
export function meta(description: string, messages: Readonly<Record<string, string>>): Rule['meta'] {
  return { type: 'problem', docs: { description, url: 'docs/lint.md' }, messages, schema: [] };
}

const OURS = /^(?:@lich\/schema|lich)(?:\/|$)/;
const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);
/** Parts of a node that are types only, and the way back. */
const SKIPPED = new Set(['parent', 'typeAnnotation', 'returnType', 'typeParameters', 'typeArguments', 'implements']);

export function isFunction(node: Node | null | undefined): node is FunctionNode {
  return node !== null && node !== undefined && FUNCTIONS.has(node.type);
}

/** The nodes below this one, types left out. */
export function* children(node: Node): Generator<Node> {
  for (const key of Object.keys(node)) {
    if (SKIPPED.has(key)) continue;
    const value: unknown = node[key];
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) yield item;
    } else if (isNode(value)) yield value;
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

/** Without parentheses, `as`, `satisfies` and `!`. */
export function bare(node: Node | null | undefined): Node | undefined {
  let at = node ?? undefined;
  while (
    at !== undefined &&
    at.expression &&
    (/^TS\w+Expression$/.test(at.type) || at.type === 'ParenthesizedExpression')
  )
    at = at.expression as Node;
  return at;
}

/** The name of a property or of a member access, where it is written down. */
export function keyOf(node: Node): string | undefined {
  const key = (node.type === 'MemberExpression' ? node.property : node.key) as Node;
  if (!node.computed && (key.type === 'Identifier' || key.type === 'PrivateIdentifier')) return key.name as string;
  return key.type === 'Literal' ? String(key.value) : undefined;
}

/** What is known of a file before a rule looks at it. */
export class File {
  readonly context: RuleContext;
  /** Local name → name in the module it is imported from. */
  readonly #imported = new Map<string, { from: string; name: string }>();
  readonly #spaces = new Set<string>();
  /** Second arguments of `service(name, spec)`. */
  readonly specs: Node[] = [];
  /** Classes over struct(…), extend(…), mix(…), and those over them in this file. */
  readonly records: Node[] = [];

  constructor(context: RuleContext) {
    this.context = context;
    for (const statement of context.sourceCode.ast.body as Node[]) {
      if (statement.type !== 'ImportDeclaration') continue;
      const from = String(statement.source.value);
      for (const one of statement.specifiers as Node[]) {
        const local = one.local.name as string;
        if (one.type === 'ImportSpecifier') {
          this.#imported.set(local, { from, name: (one.imported.name ?? one.imported.value) as string });
        } else if (OURS.test(from)) this.#spaces.add(local);
      }
    }
    this.#find(context.sourceCode.ast);
  }

  /** The module and the name there of an identifier that was imported. */
  importOf(name: string): { from: string; name: string } | undefined {
    return this.#imported.get(name);
  }

  /** The name in Lich of what is called, or undefined. */
  lichName(callee: Node): string | undefined {
    if (callee.type === 'Identifier') {
      const found = this.#imported.get(callee.name as string);
      return found !== undefined && OURS.test(found.from) ? found.name : undefined;
    }
    if (callee.type !== 'MemberExpression' || callee.object.type !== 'Identifier') return undefined;
    return this.#spaces.has(callee.object.name as string) ? keyOf(callee) : undefined;
  }

  variable(identifier: Node): Variable | undefined {
    const name = identifier.name as string;
    for (let scope: Scope | null = this.context.sourceCode.getScope(identifier); scope !== null; scope = scope.upper) {
      const found = scope.set.get(name);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Is that the name of something that JavaScript or Node bring, and not of something declared in the file? */
  isGlobal(identifier: Node): boolean {
    return (this.variable(identifier)?.defs.length ?? 0) === 0;
  }

  /** What an identifier was declared as: a function, a class, or the initial value of a const. */
  declared(identifier: Node): Node | undefined {
    const definition = this.variable(identifier)?.defs[0];
    if (definition === undefined) return undefined;
    if (definition.type === 'FunctionName' || definition.type === 'ClassName') return definition.node;
    return definition.type === 'Variable' ? bare(definition.node.init as Node | null) : undefined;
  }

  #find(node: Node): void {
    if (node.type === 'CallExpression' && this.lichName(node.callee) === 'service') {
      const spec = bare(node.arguments[1] as Node | undefined);
      const found = spec?.type === 'Identifier' ? this.declared(spec) : spec;
      if (found?.type === 'ObjectExpression') this.specs.push(found);
    }
    if ((node.type === 'ClassDeclaration' || node.type === 'ClassExpression') && this.#isRecord(node.superClass)) {
      this.records.push(node);
    }
    for (const child of children(node)) this.#find(child);
  }

  #isRecord(parent: Node | null): boolean {
    const base = bare(parent);
    if (base?.type === 'CallExpression') return ['struct', 'extend', 'mix'].includes(this.lichName(base.callee) ?? '');
    if (base?.type !== 'Identifier') return false;
    const above = this.declared(base);
    return above !== undefined && this.records.includes(above);
  }
}
