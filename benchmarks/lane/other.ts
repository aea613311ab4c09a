/** The other process of our trials. */
import { helperInput, orphaned, pin } from '../lib/tools.ts';
import { type End, peerIndex, runEnd } from './end.ts';

export interface OtherInput {
  readonly dir: string;
  /** `send`: as fast as the lane takes them. `poll`: answer each message, never asleep. `sleep`: answer each, asleep in
   * between. `block`: the same, blocked in the bell instead of the event loop. */
  readonly role: 'send' | 'poll' | 'sleep' | 'block';
  readonly messages: number;
  /** Messages in one transaction. */
  readonly batch: number;
}

const { dir, role, messages, batch } = helperInput<OtherInput>();
let peer = 0;
let answered = 0;
let turns = 0;
let node: End;

function sendAll({ core }: End): void {
  const { bus, store } = core;
  for (let k = 0; k < messages; ) {
    store.log.begin();
    for (const to = Math.min(messages, k + batch); k < to; k++) if (!node.send(peer, k)) break;
    store.log.commit();
    bus.publish();
    if ((++turns & 0xf_ffff) === 0 && orphaned()) process.exit();
  }
  // Heads of the receiver are read on the way, so all but the last lane-full is taken; it ends with us alive.
}

function answerAll({ core }: End): void {
  const { bells, bus, self } = core;
  while (answered < messages) {
    if ((++turns & 0xf_ffff) === 0 && orphaned()) process.exit();
    if (role === 'poll') {
      bus.poll();
      continue;
    }
    const seen = bells.rings(self.index);
    bells.arm(self.index);
    if (bus.poll() === 0) bells.blockUntilRung(self.index, seen, 50);
    bells.disarm(self.index);
  }
}

if (role === 'send' || role === 'poll') pin(0);
await runEnd(dir, 'other', 2, {
  onMessage() {
    node.send(peer, answered++);
  },
  async open(end) {
    node = end;
    peer = await peerIndex(end, 'ours');
    process.send!('ready');
    if (role === 'send') sendAll(end);
    else if (role !== 'sleep') answerAll(end);
  },
  // A sender that goes takes nothing with it, but its peer may still read its lane.
  stay: true,
});
process.disconnect();
