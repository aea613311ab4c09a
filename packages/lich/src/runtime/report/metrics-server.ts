/** The endpoint that a Prometheus server asks: `GET /metrics`. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { RuntimeError } from '../errors.ts';

/** Where it listens. */
export interface MetricsOptions {
  readonly port: number;
  /** Default 127.0.0.1: figures are nobody else's business. */
  readonly host?: string;
}

export interface MetricsServer {
  readonly port: number;
  close(): void;
}

/** @param text made anew for each request
 * @throws RuntimeError `RUNTIME_METRICS` when it cannot listen there */
export function serveMetrics({ port, host = '127.0.0.1' }: MetricsOptions, text: () => string): Promise<MetricsServer> {
  const server: Server = createServer((request, response) => {
    if (request.url?.split('?')[0] !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('GET /metrics\n');
      return;
    }
    try {
      const body = text();
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(body);
    } catch (error) {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(`${String(error)}\n`);
    }
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new RuntimeError(
          'RUNTIME_METRICS',
          `the metrics endpoint cannot listen on ${host}:${port} (${error.code}): give another metrics.port, or 0 for any`,
          { cause: error },
        ),
      ),
    );
    server.listen(port, host, () => {
      server.unref();
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () => {
          server.close();
          server.closeAllConnections();
        },
      });
    });
  });
}
