/** A message of the quarantine, handled as if it had just come: when somebody orders it, and when it is replayed. */
import { DATA, type PayloadCodec } from '../bus/index.ts';
import type { Segment } from '../shm/index.ts';
import { arraysOf } from '../state/internal.ts';
import type { Core, Logic } from './core.ts';
import type { PlayerRecord, Players } from './players.ts';
import { refusePromise } from './promise.ts';
import type { MessageEntry } from './quarantine.ts';
import type { Service } from './service.ts';
import { INPUT } from './system-messages.ts';

/** In a transaction.
 * @param codecs by message id @param others what handles messages of other services
 * @throws what the handler of an own message throws; RangeError when its player is gone; MustWait */
export function handleAgain(
  core: Core,
  service: Service,
  codecs: readonly (PayloadCodec | undefined)[],
  context: unknown,
  players: Players | undefined,
  others: Pick<Logic, 'deliver'>,
  { type, a, b, sender, priority, from, messageId, payload }: MessageEntry,
): void {
  const bytes = Buffer.from(payload, 'base64');
  const words = (bytes.length + 3) >> 2;
  const buffer = new ArrayBuffer(Math.max(16, words * 4));
  new Uint8Array(buffer).set(bytes);
  const memory = arraysOf(buffer) as unknown as Segment;
  const own = service.protocol.messages[messageId];
  if (from === core.name && own?.role === 'own') {
    refusePromise(own.name, service.spec.on[own.name]!(context, codecs[messageId]!.read(memory, 0, words * 4)));
    return;
  }
  // Whom an answer goes to, and how.
  if (sender >= 0) core.bus.inbox.stream = core.bus.streamOf(sender, priority ?? DATA);
  if (type !== INPUT || players === undefined) {
    others.deliver(sender, type, a, b, memory, 0, words);
    return;
  }
  const again = (): PlayerRecord | undefined =>
    core.store.pools.get(service.spec.me!)!.resolve(memory.u32[0], memory.u32[1]) as PlayerRecord | undefined;
  const me = again();
  if (me === undefined || me.$session !== a >>> 0 || me.$generation !== b >>> 0)
    throw new RangeError('its player is gone, or has come back since');
  // Its number was passed over when it was set aside.
  const last = me.$lastIn;
  me.$lastIn = memory.u32[2] - 1;
  players.deliver(sender, type, a, b, memory, 0, words);
  const after = again();
  if (after !== undefined) after.$lastIn = last;
}
