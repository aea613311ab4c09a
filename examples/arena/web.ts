/** The web server of the arena: the page, some figures, and a way to kill the scene. One more process of the cluster; it
 * writes nothing into the game and only looks at its segments from outside. */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { join } from 'node:path';
import type { Log, NodeContext } from 'lich';
import { Look } from './look.ts';
import { type Served, filesToServe, readServed, refusal, securityHeaders } from './serve.ts';
import { WEB_PORT, exampleFolder, gatewayUrls, modulesOf } from './settings.ts';

const SCENE = 'arena-1';

/** Serves until the cluster stops. */
export default async function web({ dir, signal, log, announce }: NodeContext): Promise<void> {
  const port = WEB_PORT;
  const example = exampleFolder();
  const files = filesToServe({
    example,
    dist: join(example, 'dist'),
    modules: { '@lich/schema': modulesOf('@lich/schema'), '@lich/client': modulesOf('@lich/client') },
  });
  const gateways = gatewayUrls();
  const headers = securityHeaders(readServed(files.get('/')!).toString(), gateways);
  const look = new Look(dir, SCENE);
  const server = createServer((request, response) =>
    answer(request, response, { port, files, headers, look, gateways, log }),
  );
  await listen(server, port);
  announce(`http://127.0.0.1:${port}`);
  await new Promise(resolve => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', resolve, { once: true });
  });
  look.close();
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = `port ${port} is taken: stop what uses it, or set LICH_ARENA_PORT to another one`;
      reject(cause.code === 'EADDRINUSE' ? new Error(taken, { cause }) : cause);
    });
    server.listen(port, '127.0.0.1', resolve);
  });
}

interface Serving {
  readonly port: number;
  readonly files: ReadonlyMap<string, Served>;
  readonly headers: Readonly<Record<string, string>>;
  readonly look: Look;
  readonly gateways: readonly string[];
  readonly log: Log;
}

/** @internal */
export function answer(request: IncomingMessage, response: ServerResponse, serving: Serving): void {
  const send = (status: number, type: string, body: string | Buffer, more: Record<string, string> = {}): void => {
    response.writeHead(status, { ...serving.headers, 'content-type': type, ...more });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  const json = (status: number, value: object, more?: Record<string, string>): void =>
    send(status, 'application/json; charset=utf-8', `${JSON.stringify(value)}\n`, more);
  request.resume(); // bodies are not read: no request needs one
  try {
    const refused = refusal(request, serving.port);
    if (refused !== undefined) return json(403, { error: refused });
    const path = new URL(request.url ?? '/', 'http://arena').pathname;
    const wanted = path === '/kill' ? ['POST'] : ['GET', 'HEAD'];
    if (!wanted.includes(request.method ?? ''))
      return json(405, { error: `want ${wanted[0]}` }, { allow: wanted.join(', ') });
    if (path === '/kill') return kill(serving, json);
    if (path === '/status') return json(200, { ...serving.look.figures(), gateways: serving.gateways });
    const served = serving.files.get(path);
    return served ? send(200, served.type, readServed(served)) : json(404, { error: `nothing is at ${path}` });
  } catch (error) {
    serving.log.error('a request failed', { url: request.url, error: String(error) });
    return json(500, { error: 'this went wrong; the log says how' });
  }
}

/** SIGKILL to whoever owns the scene's state now. */
function kill({ look, log }: Serving, json: (status: number, value: object) => void): void {
  const owner = look.owner();
  if (!owner) return json(409, { error: 'nobody runs the scene at this moment' });
  process.kill(owner.pid, 'SIGKILL');
  log.info('killed the scene, as asked', { killed: owner.pid, epoch: owner.epoch });
  return json(200, { pid: owner.pid, epoch: owner.epoch });
}
