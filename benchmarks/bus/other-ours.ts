/** The other node of our trials. */
import { helperInput, orphaned, pin } from '../lib/tools.ts';
import { type BusNode, type OtherOursInput, runNode } from './node.ts';

/** Messages in one transaction. */
const BATCH = 32;

const { dir, role, messages, bytes } = helperInput<OtherOursInput>();
let node: BusNode;
let peer = 0;
let answered = 0;

function sendAll({ core: { bus, store } }: BusNode): void {
  let turns = 0;
  for (let k = 0; k < messages; ) {
    store.log.begin();
    for (const to = Math.min(messages, k + BATCH); k < to; k++) if (!node.send(peer, k, bytes)) break;
    store.log.commit();
    bus.publish();
    if ((++turns & 0xf_ffff) === 0 && orphaned()) process.exit();
  }
}

if (role === 'send') pin(0);
await runNode(dir, 'other', {
  // A sender that goes takes nothing with it, but its peer may still read its lane.
  stay: true,
  onMessage() {
    node.send(peer, answered++, bytes);
  },
  async open(made) {
    node = made;
    peer = await node.indexOf('ours');
    process.send!('ready');
    if (role === 'send') sendAll(node);
  },
});
process.disconnect();
