/** A control plane for a test file: its own folders, its own database, gone at the end. Not a mock: the real server. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { type RunningServer, type ServerOptions, startServer } from '../../src/server/server.ts';

export interface TestServer extends RunningServer {
  readonly dir: string;
  readonly logged: string[];
}

export function temporaryDir(): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'pt-'));
  // The database's uid must be able to pass.
  chmodSync(dir, 0o711);
  return dir;
}

export async function startTestServer(options: Partial<ServerOptions> & { dir?: string } = {}): Promise<TestServer> {
  const dir = options.dir ?? temporaryDir();
  const logged: string[] = [];
  const server = await startServer({
    listen: '127.0.0.1:0',
    stateDir: path.join(dir, 'state'),
    runDir: path.join(dir, 'run'),
    log: (level, message) => logged.push(`${level} ${message}`),
    ...options,
  }).catch((error) => {
    if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
    throw error;
  });
  return Object.defineProperties(
    {
      dir,
      logged,
      async close() {
        await server.close();
        if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
      },
    },
    Object.fromEntries(Object.entries(Object.getOwnPropertyDescriptors(server)).filter(([name]) => name !== 'close')),
  ) as TestServer;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  /** The parsed body; undefined when there is none or it is not JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
  readonly body: any;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** A value goes as JSON, a string as YAML. */
  readonly body?: unknown;
  readonly overTcp?: boolean;
}

/** One request, over the unix socket unless told otherwise. */
export function call(
  server: Pick<RunningServer, 'url' | 'socketPath'>,
  method: string,
  target: string,
  { headers = {}, body, overTcp = false }: CallOptions = {},
): Promise<Answer> {
  const text = typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body);
  const type = typeof body === 'string' ? 'application/yaml' : 'application/json';
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        method,
        path: target,
        headers: { ...(text !== undefined && { 'content-type': type }), ...headers },
        ...(overTcp ? { host: '127.0.0.1', port: new URL(server.url).port } : { socketPath: server.socketPath }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const all = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: all, body: parse(all) });
        });
      },
    );
    request.on('error', reject);
    request.end(text);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export interface Lines {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
  readonly lines: any[];
  /** Resolves when a line for which `test` holds has come; rejects after 10 s. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
  until(test: (line: any) => boolean): Promise<any>;
  close(): void;
}

/** Opens a stream and collects its lines. */
export function openLines(
  server: Pick<RunningServer, 'socketPath'>,
  target: string,
  headers: Record<string, string> = {},
): Promise<Lines> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ path: target, headers, socketPath: server.socketPath }, (response) => {
      const lines: unknown[] = [];
      const reader = createInterface({ input: response });
      reader.on('line', (line) => {
        if (line !== '') lines.push(parse(line) ?? line);
      });
      // Closing it ourselves is an abort to the reader.
      reader.on('error', () => undefined);
      response.on('error', () => undefined);
      resolve({
        status: response.statusCode ?? 0,
        lines,
        until: async (test) => {
          await eventually(() => lines.some(test), `a line of ${target}; had ${JSON.stringify(lines).slice(0, 500)}`);
          return lines.find(test);
        },
        close: () => request.destroy(),
      });
    });
    request.on('error', reject);
    request.end();
  });
}

/** Waits for a condition, at most 20 s. */
export async function eventually(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const until = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > until) throw new Error(`never came: ${what}`);
    await delay(10);
  }
}

export const cnp = (name: string, app = name, from = 'frontend', port = '6379') => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { namespace: 'shop', name },
  spec: {
    endpointSelector: { matchLabels: { app } },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: from } }], toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] }],
  },
});

export const workload = (app: string) => ({ labels: { app }, match: { systemdUnit: `${app}.service` } });
