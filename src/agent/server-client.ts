import { type ClientRequest, type IncomingMessage, request } from 'node:http';

/** The few HTTP calls that an agent makes, over TCP or a unix socket (`unix:/path`). */
export class ServerClient {
  readonly #server: string;
  readonly #timeoutMs: number;

  constructor(server: string, timeoutMs = 10_000) {
    this.#server = server;
    this.#timeoutMs = timeoutMs;
  }

  /** Resolves with the answer's text when the server has taken the body; rejects on any status but 2xx. */
  send(method: 'POST' | 'PUT', path: string, contentType: string, body: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const req = this.#request(method, path, {
        'content-type': contentType,
        'content-length': Buffer.byteLength(body),
      });
      req.setTimeout(this.#timeoutMs, () => req.destroy(new Error(`no answer in ${this.#timeoutMs} ms`)));
      req.on('error', reject);
      req.on('response', (response) => {
        collect(response).then((text) => {
          const status = response.statusCode ?? 0;
          if (status >= 200 && status < 300) resolve(text);
          else reject(new Error(`${method} ${path}: ${status} ${text.slice(0, 300)}`));
        }, reject);
      });
      req.end(body);
    });
  }

  /** Calls `onLine` for each line of an endless answer; resolves when it ends, rejects when it breaks. */
  lines(
    path: string,
    onLine: (line: string) => void,
    { silenceMs, signal }: { silenceMs: number; signal: AbortSignal },
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const req = this.#request('GET', path, { accept: 'application/x-ndjson' });
      req.setTimeout(silenceMs, () => req.destroy(new Error(`silent for ${silenceMs} ms`)));
      signal.addEventListener('abort', () => req.destroy(new Error('stopped')), { once: true });
      req.on('error', reject);
      req.on('response', (response) => {
        if (response.statusCode !== 200) {
          collect(response).then(
            (text) => reject(new Error(`GET ${path}: ${response.statusCode} ${text.slice(0, 300)}`)),
            reject,
          );
          return;
        }
        let rest = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          const parts = (rest + chunk).split('\n');
          rest = parts.pop()!;
          for (const line of parts) if (line !== '') onLine(line);
        });
        response.on('end', resolve);
        response.on('error', reject);
      });
      req.end();
    });
  }

  #request(method: string, path: string, headers: Record<string, string | number>): ClientRequest {
    if (this.#server.startsWith('unix:'))
      return request({
        socketPath: this.#server.slice('unix:'.length),
        method,
        path,
        headers: { host: 'localhost', ...headers },
        agent: false,
      });
    return request(new URL(path, this.#server), { method, headers, agent: false });
  }
}

async function collect(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) text += chunk;
  return text;
}
