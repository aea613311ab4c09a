import { bare, children, File, isFunction, keyOf, meta, type Node, type Rule } from './ast.ts';

const TIMERS = new Set(['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'requestAnimationFrame']);
const TIMER_MODULES = new Set(['timers', 'timers/promises']);
const RANDOM = new Set(['randomUUID', 'randomInt', 'randomBytes', 'getRandomValues', 'randomFill', 'randomFillSync']);
const CLOCKS: Readonly<Record<string, readonly string[]>> = {
  Date: ['now'],
  performance: ['now', 'timeOrigin'],
  process: ['hrtime', 'uptime'],
};
/** Functions given to these run outside the transaction: what they do is theirs. */
const DOORS = new Set(['onCommit', 'effect']);

/** A handler is a function of state, config and message. */
export const noWallClock: Rule = {
  meta: meta(
    'no clock, chance, timer or promise of the process in handlers, methods of records and actions of machines',
    {
      clock:
        '{{what}} differs from process to process and from run to run: read ctx.now, which stands still for the message (a method of a record takes it as an argument).',
      chance:
        '{{what}} draws numbers that no replay draws again: use ctx.random, whose state is part of the commit (a method of a record takes it as an argument).',
      timer:
        '{{what}} is lost with the process: use ctx.after(ms, name, payload), a message to the service itself that is kept in the segment.',
      promise:
        '{{what}} cannot be here: a handler is one transaction and cannot wait. Start what has to wait in ctx.onCommit(…), after the commit, and let its result come back as a message.',
    },
  ),
  create(context) {
    return {
      Program() {
        const file = new File(context);
        const seen = new Set<Node>();
        for (const spec of file.specs) table(spec);
        for (const record of file.records) {
          for (const member of record.body.body as Node[]) if (isFunction(member.value)) enter(member.value);
          // Entry and exit actions of machines, in what the fields are declared with.
          actions(record.superClass as Node);
        }

        function actions(node: Node): void {
          if (isFunction(node)) enter(node);
          else for (const child of children(node)) actions(child);
        }

        /** The functions of a service's table, and of the tables in it. */
        function table(object: Node): void {
          for (const property of object.properties as Node[]) {
            const value = bare((property.type === 'SpreadElement' ? property.argument : property.value) as Node);
            if (value !== undefined) part(value);
          }
        }

        function part(value: Node): void {
          const found = value.type === 'Identifier' ? file.declared(value) : value;
          if (found === undefined || seen.has(found)) return;
          if (isFunction(found)) enter(found);
          else if (found.type === 'ObjectExpression') {
            seen.add(found);
            table(found);
          } else if (found.type === 'CallExpression') {
            for (const argument of found.arguments as Node[]) part(argument);
          }
        }

        /** A function that runs as part of a message. */
        function enter(fn: Node): void {
          if (seen.has(fn)) return;
          seen.add(fn);
          if (fn.async) report(fn, 'promise', 'An async function');
          for (const child of children(fn)) visit(child);
        }

        function visit(node: Node): void {
          if (isFunction(node)) return enter(node);
          if (node.type === 'CallExpression') {
            call(node);
            if (isDoor(node.callee)) {
              for (const argument of node.arguments as Node[]) if (!isFunction(argument)) visit(argument);
              return visit(node.callee);
            }
          } else if (node.type === 'NewExpression') construct(node);
          else if (node.type === 'Identifier') {
            const target = follow(node);
            if (target !== undefined) enter(target);
          }
          for (const child of children(node)) visit(child);
        }

        /** A function of the same file that is named here. */
        function follow(identifier: Node): Node | undefined {
          const up = identifier.parent;
          const isName =
            (up?.type === 'MemberExpression' && up.property === identifier && !up.computed) ||
            (up?.type === 'Property' && up.key === identifier && !up.computed && !up.shorthand);
          const found = isName ? undefined : file.declared(identifier);
          return isFunction(found) ? found : undefined;
        }

        function isDoor(callee: Node): boolean {
          const name = callee.type === 'MemberExpression' ? keyOf(callee) : (callee.name as string | undefined);
          return DOORS.has(name ?? '') || file.lichName(callee) === 'local';
        }

        function call(node: Node): void {
          const callee = bare(node.callee as Node)!;
          if (callee.type === 'Identifier') return named(node, callee, false);
          if (callee.type !== 'MemberExpression') return;
          const name = keyOf(callee) ?? '';
          const object = bare(callee.object as Node)!;
          if (name === 'then') return report(node, 'promise', 'A promise');
          if (object.type !== 'Identifier') return;
          const from = file.importOf(object.name as string)?.from.replace(/^node:/, '');
          if (!file.isGlobal(object) && from !== 'perf_hooks') return;
          const what = `${object.name as string}.${name}()`;
          if (CLOCKS[object.name as string]?.includes(name)) report(node, 'clock', what);
          else if (object.name === 'Math' && name === 'random') report(node, 'chance', what);
          else if (object.name === 'crypto' && RANDOM.has(name)) report(node, 'chance', what);
          else if (object.name === 'process' && name === 'nextTick') report(node, 'timer', what);
          else if (object.name === 'Promise') report(node, 'promise', what);
        }

        function construct(node: Node): void {
          const callee = bare(node.callee as Node)!;
          if (callee.type === 'Identifier') named(node, callee, true);
        }

        function named(node: Node, callee: Node, isNew: boolean): void {
          const imported = file.importOf(callee.name as string);
          const from = imported?.from.replace(/^node:/, '');
          if (imported === undefined && !file.isGlobal(callee)) return;
          const name = imported?.name ?? (callee.name as string);
          const what = isNew ? `new ${name}()` : `${name}()`;
          if (TIMERS.has(name) && (imported === undefined || TIMER_MODULES.has(from!))) report(node, 'timer', what);
          else if (RANDOM.has(name) && from === 'crypto') report(node, 'chance', what);
          else if (imported !== undefined) return;
          else if (name === 'Date' && (node.arguments.length === 0 || !isNew)) report(node, 'clock', what);
          else if (name === 'Promise' || name === 'fetch') report(node, 'promise', what);
        }
      },
    };
    function report(node: Node, messageId: string, what: string): void {
      context.report({ node, messageId, data: { what } });
    }
  },
};
