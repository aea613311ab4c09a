import { bare, File, isFunction, keyOf, meta, type Node, type Rule, type Variable } from './ast.ts';

/** Calls that change what they are called on: Array, Map, Set, typed arrays, Date. */
const MUTATORS = new Set(
  'push pop shift unshift splice sort reverse fill copyWithin set add delete clear setTime setDate setHours'.split(' '),
);
const OBJECT_MUTATORS = new Set(['assign', 'defineProperty', 'defineProperties', 'setPrototypeOf']);

/** What a module holds is gone when the process is killed, and every standby has its own. */
export const noModuleState: Rule = {
  meta: meta('no mutable state beside the state of a service', {
    let: '`{{kind}} {{name}}` is state of the process: a kill loses it and a standby has another one. Keep it in state({ … }); if it never changes, write const.',
    mutated:
      '{{name}} is changed here and belongs to the process: a kill loses it and a standby has another one. Keep it in state({ … }), or in local(Class, …) where it can be made again from a record.',
  }),
  create(context) {
    return {
      Program(program) {
        const file = new File(context);
        if (file.specs.length === 0 && file.records.length === 0) return;
        for (const statement of program.body as Node[]) {
          const declaration = (statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement) as Node;
          if (declaration?.type !== 'VariableDeclaration' || declaration.declare) continue;
          for (const variable of context.sourceCode.getDeclaredVariables(declaration)) {
            if (declaration.kind === 'const') changes(file, variable);
            else {
              context.report({
                node: variable.defs[0]!.node,
                messageId: 'let',
                data: { kind: declaration.kind as string, name: variable.name },
              });
            }
          }
        }
      },
    };

    /** Report each place that changes what a const holds, once the module is loaded. */
    function changes(file: File, variable: Variable): void {
      const initial = bare(variable.defs[0]!.node.init as Node | null);
      for (const { identifier } of variable.references) {
        const at = changeThrough(file, identifier, initial);
        if (at !== undefined && inFunction(at)) {
          context.report({ node: at, messageId: 'mutated', data: { name: variable.name } });
        }
      }
    }
  },
};

/** The node that changes what this identifier leads to: an assignment, ++, delete, a mutating call. */
function changeThrough(file: File, identifier: Node, initial: Node | undefined): Node | undefined {
  let at = identifier;
  let depth = 0;
  for (;;) {
    const up = at.parent;
    if (up === undefined) return undefined;
    if (up.type === 'MemberExpression' && up.object === at) depth++;
    else if (!(up.type === 'ChainExpression' || (/^TS\w+Expression$/.test(up.type) && up.expression === at))) break;
    at = up;
  }
  const user = at.parent!;
  if (depth === 0) {
    const isFirst = user.type === 'CallExpression' && user.arguments[0] === at;
    const callee = isFirst ? (user.callee as Node) : undefined;
    return callee?.type === 'MemberExpression' &&
      callee.object.type === 'Identifier' &&
      callee.object.name === 'Object' &&
      OBJECT_MUTATORS.has(keyOf(callee) ?? '')
      ? user
      : undefined;
  }
  if (user.type === 'AssignmentExpression' && user.left === at) return user;
  if (user.type === 'UpdateExpression') return user;
  if (user.type === 'UnaryExpression' && user.operator === 'delete') return user;
  const called = user.type === 'CallExpression' && user.callee === at && bare(at)?.type === 'MemberExpression';
  return called && MUTATORS.has(keyOf(bare(at)!) ?? '') && isContainer(file, initial) ? user : undefined;
}

/** Only what was made here is known to be one: `pool.set(…)` of something else may be anything. */
function isContainer(file: File, initial: Node | undefined): boolean {
  if (initial?.type === 'CallExpression') return file.lichName(initial.callee) === undefined && isArrayCall(initial);
  return initial !== undefined && ['ArrayExpression', 'ObjectExpression', 'NewExpression'].includes(initial.type);
}

/** Array.from(…), Array.of(…), Object.create(…), structuredClone(…). */
function isArrayCall({ callee }: Node): boolean {
  if (callee.type === 'Identifier') return ['Array', 'structuredClone'].includes(callee.name as string);
  return callee.type === 'MemberExpression' && ['Array', 'Object'].includes(callee.object.name as string);
}

/** A table that is filled while the module is loaded is the same in every process. */
function inFunction(node: Node): boolean {
  for (let at = node.parent ?? null; at !== null; at = at.parent ?? null) if (isFunction(at)) return true;
  return false;
}
