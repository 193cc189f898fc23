import type { RequestInfo } from '../http/request-info.ts';

/** Counts of requests for GET /metrics, in the names and the text format Prometheus users know. */
export class RequestMetrics {
  readonly #counts = new Map<string, number>();
  #seconds = 0;
  #total = 0;
  readonly #gauges: Readonly<Record<string, () => number>>;

  constructor(gauges: Readonly<Record<string, () => number>>) {
    this.#gauges = gauges;
  }

  observe(info: RequestInfo | undefined, code: number, seconds: number): void {
    // Watches last as long as their clients like: their time says nothing.
    if (info?.kind !== 'resource' || info.verb !== 'watch') {
      this.#seconds += seconds;
      this.#total++;
    }
    const resource = info?.kind === 'resource' ? info.resource : '';
    // Paths of clients are no labels: only what is served is counted by name.
    const labels =
      code === 404
        ? `verb="${info?.verb ?? ''}",resource=""`
        : `verb="${info?.verb ?? ''}",resource="${resource}"`;
    const key = `${labels},code="${code}"`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  format(): string {
    const lines = ['# TYPE apiserver_request_total counter'];
    for (const [labels, count] of this.#counts) lines.push(`apiserver_request_total{${labels}} ${count}`);
    lines.push(
      '# TYPE apiserver_request_duration_seconds summary',
      `apiserver_request_duration_seconds_sum ${this.#seconds}`,
      `apiserver_request_duration_seconds_count ${this.#total}`,
    );
    for (const [name, value] of Object.entries(this.#gauges)) {
      lines.push(`# TYPE ${name} gauge`, `${name} ${value()}`);
    }
    return `${lines.join('\n')}\n`;
  }
}
