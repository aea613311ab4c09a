/** The service that is killed: it holds many records and answers with the time at which it handled a message. */
import { nowNs } from 'lich/shm';
import { service } from 'lich/runtime';
import { KillerProtocol, unitOf, WorldProtocol, WorldState } from './world.ts';

const killer = { name: 'killer', protocol: KillerProtocol };
const PER_TRANSACTION = 500;

export default service('world', {
  state: WorldState,
  protocol: WorldProtocol,
  start(ctx) {
    ctx.post('fill', { from: 0 });
  },
  on: {
    fill(ctx, { from }) {
      const { units } = ctx.state;
      const end = Math.min(from + PER_TRANSACTION, units.capacity);
      for (let id = from; id < end; id++) units.create(unitOf(id));
      if (end < units.capacity) ctx.post('fill', { from: end });
    },
    probe(ctx, { n }) {
      const { units } = ctx.state;
      const unit = units.get(n % units.capacity);
      if (unit) unit.hp++;
      ctx.send(killer, 'handled', { n, atNs: nowNs(), epoch: ctx.life.epoch, records: units.size });
    },
  },
});
