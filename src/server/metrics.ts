/** Counters of the server, as Prometheus text. Gauges are read when asked for. */

export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly type?: 'gauge' | 'counter';
  readonly value: () =>
    | number
    | readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

const BUCKETS_MS = [1, 2, 5, 10, 25, 50, 100, 250, 1000];

export class Metrics {
  readonly #gauges: Gauge[] = [];
  readonly #requests = new Map<string, number>();
  readonly #buckets = BUCKETS_MS.map(() => 0);
  #count = 0;
  #sumMs = 0;

  add(...gauges: readonly Gauge[]): void {
    this.#gauges.push(...gauges);
  }

  request(method: string, status: number, ms: number): void {
    const key = `${method} ${status}`;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    this.#count++;
    this.#sumMs += ms;
    for (const [i, bound] of BUCKETS_MS.entries()) if (ms <= bound) this.#buckets[i]!++;
  }

  toText(): string {
    const lines: string[] = [];
    const head = (name: string, help: string, type: string) => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    };
    for (const { name, help, type = 'gauge', value } of this.#gauges) {
      head(name, help, type);
      const now = value();
      if (typeof now === 'number') lines.push(`${name} ${now}`);
      else for (const { labels, value: n } of now) lines.push(`${name}${labelText(labels)} ${n}`);
    }
    head('postern_http_requests_total', 'Answered requests.', 'counter');
    for (const [key, n] of this.#requests) {
      const [method = '', status = ''] = key.split(' ');
      lines.push(`postern_http_requests_total${labelText({ method, status })} ${n}`);
    }
    const name = 'postern_http_request_duration_seconds';
    head(name, 'Time from the request to its answer; streams are left out.', 'histogram');
    for (const [i, bound] of BUCKETS_MS.entries())
      lines.push(`${name}_bucket{le="${bound / 1000}"} ${this.#buckets[i]}`);
    lines.push(
      `${name}_bucket{le="+Inf"} ${this.#count}`,
      `${name}_sum ${this.#sumMs / 1000}`,
      `${name}_count ${this.#count}`,
    );
    return `${lines.join('\n')}\n`;
  }
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const quoted = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  return `{${Object.entries(labels)
    .map(([key, value]) => `${key}="${quoted(value)}"`)
    .join(',')}}`;
}
