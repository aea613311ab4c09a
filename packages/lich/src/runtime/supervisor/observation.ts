/** What a supervisor does for those who look: it collects the nodes' lines, and answers a Prometheus server. */
import { LogCollector } from '../report/collector.ts';
import { MetricsSource, prometheusText, type Sample } from '../report/metrics.ts';
import { type MetricsServer, serveMetrics } from '../report/metrics-server.ts';
import { LOG_FILE_LIMITS } from '../report/rotating-file.ts';
import type { TopologyOptions } from '../topology.ts';

export class Observation {
  readonly #collector: LogCollector;
  readonly #metrics: MetricsSource;
  readonly #options: TopologyOptions;
  readonly #exits = new Map<string, number>();
  readonly #names: () => Iterable<string>;
  #server: MetricsServer | undefined;

  /** @param names of the nodes, as they are now */
  constructor(dir: string, options: TopologyOptions, names: () => Iterable<string>) {
    this.#names = names;
    this.#options = options;
    this.#collector = new LogCollector(dir, { ...LOG_FILE_LIMITS, ...options.logs });
    this.#metrics = new MetricsSource(dir);
  }

  /** @throws RuntimeError `RUNTIME_METRICS` */
  async open(): Promise<void> {
    for (const name of this.#names()) this.#collector.add(name);
    if (this.#options.metrics !== undefined)
      this.#server = await serveMetrics(this.#options.metrics, () => this.text());
  }

  /** Where metrics are to be had. */
  get metrics(): string | undefined {
    return this.#server && `http://${this.#options.metrics!.host ?? '127.0.0.1'}:${this.#server.port}/metrics`;
  }

  look(): void {
    for (const name of this.#names()) this.#collector.add(name);
    this.#collector.look();
  }

  /** All that a node has said until now is in its file, its last words too where nobody owns it. */
  lastWords(name: string): void {
    this.#collector.collectDead(name);
  }

  /** A process of a node has ended. Of an adopted one nobody says how. */
  exited(node: string, code: number | undefined, signal: string | undefined): void {
    this.#collector.collect(node);
    const key = `${node} ${signal ?? (code === undefined ? 'unknown' : `code ${code}`)}`;
    this.#exits.set(key, (this.#exits.get(key) ?? 0) + 1);
  }

  text(): string {
    const exits: Sample[] = [...this.#exits].map(([key, value]) => {
      const [node = '', ...how] = key.split(' ');
      return { metric: 'lich_exits_total', labels: { node, how: how.join(' ') }, value };
    });
    return prometheusText([...this.#metrics.samples(this.#names()), ...this.#metrics.busSamples(), ...exits]);
  }

  /** Once all nodes have ended. */
  close(): void {
    this.#server?.close();
    this.#collector.close();
    this.#metrics.close();
  }
}
