/** Why a lane cannot be made: out of the way of those that are. */
import { BusError } from './errors.ts';

export function refuseLane(lanes: number): never {
  throw new BusError('BUS_TOO_MANY_LANES', `all ${lanes} lanes of this node are in use: raise limits.lanes`);
}

export function refuseRoom(wantedBytes: number, dataBytes: number): never {
  throw new BusError(
    'BUS_NO_ROOM',
    `no ${wantedBytes} bytes in a row are free in the ${dataBytes} bytes of lanes: raise limits.lanesBytes`,
  );
}

export function refuseSize(bytes: number, mostBytes: number): never {
  throw new BusError(
    'BUS_RECORD_TOO_LARGE',
    `a record of ${bytes} bytes is larger than half of the largest lane, ${mostBytes} bytes: raise limits.maxLaneBytes`,
  );
}

export function refuseUndeclared(peer: number): never {
  throw new BusError(
    'BUS_UNDECLARED',
    `lanes are made at start, and none to node index ${peer} is declared: name its kind in \`talks\` of the topology entry`,
  );
}
