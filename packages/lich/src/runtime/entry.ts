/** `node entry.js <json of a NodeSpec>`: the process of one node. Alone in its file, because it awaits: what a service
 * imports must not wait for the service. */
import { type NodeSpec, runNode } from './node-process.ts';

await runNode(JSON.parse(process.argv[2] ?? '{}') as NodeSpec);
