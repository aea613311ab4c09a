import { File, keyOf, meta, type Node, type Rule } from './ast.ts';

/** A record class holds no data of its own: `hp = 100` would hide the record's hp and lose what is written. */
export const noClassFields: Rule = {
  meta: meta('no class fields, #private members and constructors in record classes', {
    field:
      'The class field {{name}} of {{owner}} would live in the process and be lost with it: declare it in struct({ … }), with .init(…) for its first value, or keep what cannot be stored in local({{owner}}, …).',
    private:
      '{{owner}} has {{name}}, and records have no #private members: what they hold lives in the segment. Declare it in struct({ … }).',
    constructor:
      'The constructor of {{owner}} never runs: records are made by their pool. Give first values by .init(…) or in pool.create({ … }).',
  }),
  create(context) {
    return {
      Program() {
        for (const record of new File(context).records) {
          const owner = (record.id?.name as string | undefined) ?? 'this class';
          for (const member of record.body.body as Node[]) check(member, owner);
        }
      },
    };
    function check(member: Node, owner: string): void {
      if (member.static || member.declare || /^TSAbstract|^TSIndex|^StaticBlock/.test(member.type)) return;
      const report = (messageId: string) => {
        const name = keyOf(member) ?? 'with a computed name';
        context.report({ node: member, messageId, data: { owner, name: messageId === 'private' ? `#${name}` : name } });
      };
      if (member.key?.type === 'PrivateIdentifier') report('private');
      else if (member.type === 'PropertyDefinition' || member.type === 'AccessorProperty') report('field');
      else if (member.kind === 'constructor' && member.value?.body) report('constructor');
    }
  },
};
