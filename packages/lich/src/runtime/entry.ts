/** `node entry.js <json of a NodeSpec>`: the process of one node. Alone in its file, because it awaits: what a service
 * imports must not wait for the service. With `{ "spareOf": … }` it loads what every service needs and is told later. */
import { type NodeSpec, runNode, type SpareSpec, warmUp } from './node-process.ts';

const said = JSON.parse(process.argv[2] ?? '{}') as NodeSpec | (SpareSpec & { spareOf: string });
if ('spareOf' in said) {
  const orphaned = (): never => process.exit(0);
  process.once('disconnect', orphaned);
  const told = new Promise<NodeSpec>(resolve =>
    process.once('message', spec => {
      process.off('disconnect', orphaned);
      // Not at once: Node is still looking at what came in.
      setImmediate(() => process.disconnect());
      resolve(spec as NodeSpec);
    }),
  );
  await warmUp(said);
  await runNode(await told);
} else await runNode(said);
