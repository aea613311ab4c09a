/** What every transport has to do: one suite for all of them. */
import { expect, test } from 'vitest';
import { LinkError } from '../errors.ts';
import { decode, encodeHello, encodePing, FRAME_BYTES_MAX, HELLO, PING } from '../frames.ts';
import type { Connection, Transport, TransportEvents } from '../transport.ts';
import { ModelHost } from './model-host.ts';

/** Transports of a few hosts that can reach each other. */
export interface TransportRig {
  /** By name, in order; not open yet. */
  readonly transports: ReadonlyMap<string, Transport>;
  /** Break what there is between all of them, at once. */
  cut(): void;
  /** Begin to change bytes on the way now and then, and to be slow; or stop it. */
  spoil(bad: boolean): void;
  close(): Promise<void>;
}

export type MakeRig = (hosts: readonly string[]) => Promise<TransportRig>;

/** A host's end: what it was told. */
export class Ear implements TransportEvents {
  readonly host: string;
  readonly connections = new Map<string, Connection>();
  readonly frames: { readonly from: string; readonly bytes: Uint8Array }[] = [];
  readonly closed: { readonly host: string; readonly why: LinkError }[] = [];
  readonly failures: { readonly host: string | undefined; readonly why: LinkError }[] = [];
  connects = 0;
  drains = 0;
  onFrame: (connection: Connection, bytes: Uint8Array) => void = () => {};

  constructor(host: string) {
    this.host = host;
  }

  connected(connection: Connection): void {
    this.connects++;
    this.connections.get(connection.host)?.close(new LinkError('LINK_REPLACED', 'a newer one'));
    this.connections.set(connection.host, connection);
    connection.maxFrameBytes = FRAME_BYTES_MAX;
    connection.onFrame = bytes => {
      this.frames.push({ from: connection.host, bytes: bytes.slice() });
      // As a link does: who dialled says HELLO, and is answered.
      if (decode(bytes).kind === HELLO && !connection.dialled) connection.send(this.#hello());
      this.onFrame(connection, bytes);
    };
    connection.onDrain = () => void this.drains++;
    connection.onClosed = why => {
      if (this.connections.get(connection.host) === connection) this.connections.delete(connection.host);
      this.closed.push({ host: connection.host, why });
    };
    if (connection.dialled) connection.send(this.#hello());
  }

  failed(host: string | undefined, why: LinkError): void {
    this.failures.push({ host, why });
  }

  #hello(): Uint8Array {
    return encodeHello({ cluster: 'test', host: this.host, created: 1, epoch: 1 });
  }

  /** HELLOs came both ways. */
  knows(host: string): boolean {
    return this.connections.has(host) && this.frames.some(frame => frame.from === host);
  }
}

export async function until(what: () => boolean): Promise<void> {
  for (let k = 0; !what(); k++) {
    if (k > Number(process.env.PATIENCE ?? 20_000)) throw new Error(`in vain: ${what.toString()}`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

const ROUNDS = process.env.LICH_SOAK ? 1_000 : 8;

const tokens = (ear: Ear, from: string): number[] =>
  ear.frames
    .filter(frame => frame.from === from)
    .map(frame => decode(frame.bytes))
    .flatMap(frame => (frame.kind === PING ? [frame.token] : []));

export function conformance(make: MakeRig): void {
  const rigged =
    (hosts: readonly string[], body: (ears: Ear[], rig: TransportRig) => Promise<void>) => async (): Promise<void> => {
      const rig = await make(hosts);
      const ears = hosts.map(host => new Ear(host));
      try {
        for (const ear of ears) await rig.transports.get(ear.host)!.open(ear);
        await until(() => ears.every(ear => hosts.every(host => host === ear.host || ear.knows(host))));
        await body(ears, rig);
      } finally {
        for (const transport of rig.transports.values()) await transport.close();
        await rig.close();
      }
    };

  test(
    'each pair of three hosts finds each other, once',
    rigged(['a', 'b', 'c'], async ears => {
      for (const ear of ears) {
        expect([...ear.connections.keys()].sort()).toEqual(['a', 'b', 'c'].filter(host => host !== ear.host));
        for (const [host, { dialled }] of ear.connections) expect(dialled).toBe(ear.host < host);
      }
    }),
  );

  test(
    'frames arrive whole and in order, in both directions at once',
    rigged(['a', 'b'], async ears => {
      const [a, b] = ears as [Ear, Ear];
      for (let token = 1; token <= 2_000; token++) {
        a.connections.get('b')!.send(encodePing(PING, token));
        b.connections.get('a')!.send(encodePing(PING, token));
      }
      await until(() => tokens(a, 'b').length === 2_000 && tokens(b, 'a').length === 2_000);
      const all = Array.from({ length: 2_000 }, (_, k) => k + 1);
      expect(tokens(a, 'b')).toEqual(all);
      expect(tokens(b, 'a')).toEqual(all);
    }),
  );

  test(
    'more than it takes is said to be enough, and when there is room again',
    rigged(['a', 'b'], async ears => {
      const [a, b] = ears as [Ear, Ear];
      const connection = a.connections.get('b')!;
      const frame = encodeHello({ cluster: 'x'.repeat(200), host: 'a', created: 1, epoch: 1 });
      const before = b.frames.length;
      let sent = 0;
      let enough = 0;
      for (; enough < 3; sent++) if (!connection.send(frame.slice())) enough++;
      await until(() => a.drains > 0);
      await until(() => b.frames.length - before === sent);
    }),
  );

  test(
    'one side closes: both are told, once, and find each other again',
    rigged(['a', 'b'], async ears => {
      const [a, b] = ears as [Ear, Ear];
      for (const [near, far] of [
        [a, b],
        [b, a],
      ] as const) {
        const [nearBefore, farBefore] = [near.closed.length, far.closed.length];
        near.connections.get(far.host)!.close(new LinkError('LINK_SILENT', 'for a test'));
        await until(() => near.closed.length > nearBefore && far.closed.length > farBefore);
        expect(near.closed[nearBefore]!.why.code).toBe('LINK_SILENT');
        await until(() => near.connections.has(far.host) && far.connections.has(near.host));
        expect([near.closed.length, far.closed.length]).toEqual([nearBefore + 1, farBefore + 1]);
      }
    }),
  );

  test(
    'what was sent before a close in order arrives',
    rigged(['a', 'b'], async ears => {
      const [a, b] = ears as [Ear, Ear];
      const connection = a.connections.get('b')!;
      for (let token = 1; token <= 100; token++) connection.send(encodePing(PING, token));
      connection.close(new LinkError('LINK_CLOSED', 'for a test'));
      await until(() => b.closed.length > 0);
      expect(tokens(b, 'a')).toHaveLength(100);
      expect(connection.send(encodePing(PING, 101))).toBe(false);
    }),
  );

  test(
    'a cut is told to both, and they find each other again',
    rigged(['a', 'b'], async (ears, rig) => {
      const [a, b] = ears as [Ear, Ear];
      rig.cut();
      await until(() => a.closed.length > 0 && b.closed.length > 0);
      await until(() => a.connections.has('b') && b.connections.has('a'));
      a.connections.get('b')!.send(encodePing(PING, 7));
      await until(() => tokens(b, 'a').includes(7));
    }),
  );

  test(
    'what the one who is told throws ends the connection with it',
    rigged(['a', 'b'], async ears => {
      const [a, b] = ears as [Ear, Ear];
      b.onFrame = (_, bytes) => {
        if (decode(bytes).kind === PING) throw new LinkError('LINK_BAD_FRAME', 'for a test');
      };
      a.connections.get('b')!.send(encodePing(PING, 1));
      a.connections.get('b')!.send(encodePing(PING, 2));
      await until(() => b.closed.length > 0 && a.closed.length > 0);
      expect(b.closed[0]!.why.code).toBe('LINK_BAD_FRAME');
      expect(tokens(b, 'a')).toEqual([1]);
    }),
  );

  test(
    'a frame larger than is allowed ends the connection',
    rigged(['a', 'b'], async ears => {
      const [a, b] = ears as [Ear, Ear];
      b.connections.get('a')!.maxFrameBytes = 64;
      a.connections.get('b')!.send(encodeHello({ cluster: 'x'.repeat(100), host: 'a', created: 1, epoch: 1 }));
      await until(() => b.closed.length > 0 && a.closed.length > 0);
      expect(b.closed[0]!.why.code).toBe('LINK_BAD_FRAME');
    }),
  );

  test(
    'a transport that is closed leaves the others',
    rigged(['a', 'b', 'c'], async (ears, rig) => {
      const [a, b, c] = ears as [Ear, Ear, Ear];
      await rig.transports.get('b')!.close();
      await until(() => a.closed.some(({ host }) => host === 'b') && c.closed.some(({ host }) => host === 'b'));
      a.connections.get('c')!.send(encodePing(PING, 1));
      await until(() => tokens(c, 'a').length === 1);
      expect(b.closed.map(({ host }) => host).sort()).toEqual(['a', 'c']);
    }),
  );

  test('links over it: each record arrives once and in order, whatever breaks', async () => {
    const names = ['a', 'b', 'c'];
    const rig = await make(names);
    const hosts = names.map(
      (name, k) =>
        new ModelHost(
          name,
          names.filter(other => other !== name),
          { createdMs: 1_000 * (k + 1) },
        ),
    );
    const began = performance.now();
    const nowMs = (): number => Math.floor(performance.now() - began) + 1;
    for (const host of hosts) {
      for (const [k, name] of names.entries()) host.addNode(`${name}-1`, k + 1, name === host.name ? undefined : name);
      host.start();
      host.onKick = () => void setImmediate(() => host.turn(nowMs()));
    }
    const turns = setInterval(() => hosts.forEach(host => host.turn(nowMs())), 5);
    try {
      for (const host of hosts) await rig.transports.get(host.name)!.open(host.link);
      const pairs = hosts.flatMap(host => host.nodes.map(({ index }) => [host, host.locals[0]!.index, index] as const));
      const arrived = (): number => hosts.reduce((sum, host) => sum + host.arrived, 0);
      rig.spoil(true);
      let sent = 0;
      for (let round = 1; round <= ROUNDS; round++) {
        for (const [host, local, far] of pairs) {
          for (let k = 0; k < 100; k++) host.send(local, far, k % 10 === 0 ? 1 : 0, 4 + ((k * 7) % 60), 0);
          sent += 100;
          host.onKick();
        }
        for (const host of hosts) host.consume(host.locals[0]!.index);
        // What breaks breaks while something is on its way.
        await until(() => arrived() >= sent - 800);
        if (round % 4 === 0) rig.cut();
      }
      rig.spoil(false);
      await until(() =>
        pairs.every(([host, local, far]) =>
          [0, 1].every(p => host.headOf(local, far, p) === host.tailOf(local, far, p)),
        ),
      );
      expect(hosts.flatMap(host => [...host.wrong, ...host.errors.map(String)])).toEqual([]);
      expect(arrived()).toBe(sent);
    } catch (error) {
      throw new Error(
        `${String(error)}\n${hosts.map(host => `${host.name}: ${JSON.stringify([...host.link.peers()])} ${JSON.stringify(host.link.counts)}`).join('\n')}\nat ${nowMs()}`,
      );
    } finally {
      clearInterval(turns);
      for (const transport of rig.transports.values()) await transport.close();
      await rig.close();
    }
  });
}
