/** Calls of the REST API over http or a unix socket, with node:http alone. No retries: a person stands before it. */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { curl, toPath } from './curl.ts';
import { Failure } from './failure.ts';
import { problemFailure } from './problem.ts';
import { type Target, targetText } from './target.ts';

export type { Target } from './target.ts';

export interface Request {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Encoded: "/v1/workloads/shop/frontend". */
  readonly path: string;
  readonly query?: readonly (readonly [string, string])[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The file that `body` came from, for --show-curl. */
  readonly bodyFile?: string;
  /** The answer is a stream without an end. */
  readonly follow?: true;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface Client {
  /** Any status; throws Failure 3 when nothing answers, 4 when this user may not open the socket. */
  send(request: Request): Promise<Answer>;
  /** The body of a 2xx as JSON (undefined when empty); any other status is a Failure. */
  json<T>(request: Request): Promise<T>;
  /** NDJSON lines as they come, until the other side ends; any status but 2xx is a Failure. */
  lines(request: Request): AsyncGenerator<string, void, void>;
  /** `send`, with any status but 2xx as a Failure. */
  must(request: Request): Promise<Answer>;
}

export interface Wiring {
  readonly targets: readonly Target[];
  /** "the Postern server", for the text of exit 3. */
  readonly what: string;
  readonly howToStart: readonly string[];
  readonly userAgent: string;
  /** Called once per call with the equivalent curl. */
  readonly showCurl?: (text: string) => void;
  /** Milliseconds of silence after which a call that is no stream is given up. */
  readonly silenceMs: number;
}

export function createClient(wiring: Wiring): Client {
  let reached: Target | undefined;

  /** The next target is tried only when the request cannot have reached this one. */
  async function open(request: Request): Promise<IncomingMessage> {
    const tried: string[] = [];
    let exit: 3 | 4 = 3;
    const targets = reached ? [reached] : wiring.targets;
    for (const [i, target] of targets.entries()) {
      try {
        const answer = await call(target, request, wiring);
        reached = target;
        wiring.showCurl?.(curl(target, request));
        return answer;
      } catch (error) {
        tried.push(`  tried ${targetText(target)}: ${whyNot(error)}`);
        const isLast = i === targets.length - 1 || !NOT_SENT.has((error as NodeJS.ErrnoException).code ?? '');
        if (!isLast) continue;
        wiring.showCurl?.(curl(target, request));
        if ((error as NodeJS.ErrnoException).code === 'EACCES') exit = 4;
        break;
      }
    }
    const help = exit === 4 ? ['hint: run it as root (sudo)'] : wiring.howToStart;
    throw new Failure(exit, `cannot reach ${wiring.what}`, [...tried, ...help]);
  }

  async function send(request: Request): Promise<Answer> {
    const answer = await open(request);
    return { status: answer.statusCode ?? 0, headers: answer.headers, text: await readAll(answer, wiring.what) };
  }

  async function must(request: Request): Promise<Answer> {
    const answer = await send(request);
    if (answer.status < 200 || answer.status > 299) throw problemFailure(answer, request);
    return answer;
  }

  async function json<T>(request: Request): Promise<T> {
    const answer = await must(request);
    return parseJson<T>(answer.text, wiring.what);
  }

  async function* lines(request: Request): AsyncGenerator<string, void, void> {
    const answer = await open(request);
    const status = answer.statusCode ?? 0;
    if (status < 200 || status > 299) {
      throw problemFailure({ status, headers: answer.headers, text: await readAll(answer, wiring.what) }, request);
    }
    let rest = '';
    answer.setEncoding('utf8');
    try {
      for await (const chunk of answer as AsyncIterable<string>) {
        const parts = (rest + chunk).split('\n');
        rest = parts.pop()!;
        for (const line of parts) if (line.trim() !== '') yield line;
      }
    } catch (error) {
      throw new Failure(3, `lost the connection to ${wiring.what}: ${whyNot(error)}`);
    } finally {
      answer.destroy();
    }
    if (rest.trim() !== '') yield rest;
  }

  return { send, must, json, lines };
}

const NOT_SENT = new Set(['ENOENT', 'ECONNREFUSED', 'EACCES', 'ENOTFOUND', 'EAI_AGAIN']);

function call(target: Target, request: Request, wiring: Wiring): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const body = request.body === undefined ? undefined : Buffer.from(request.body);
  const outgoing: ClientRequest = httpRequest({
    ...(target.kind === 'unix' ? { socketPath: target.path, host: 'localhost' } : toHost(target.url)),
    method: request.method,
    path: toPath(request),
    agent: false,
    headers: {
      accept: 'application/json',
      'user-agent': wiring.userAgent,
      ...(body ? { 'content-length': String(body.length) } : {}),
      ...request.headers,
    },
  });
  outgoing.on('error', reject);
  outgoing.on('response', (answer) => {
    if (!request.follow) answer.setTimeout(wiring.silenceMs, () => answer.destroy(new Error('no answer in time')));
    resolve(answer);
  });
  if (!request.follow) outgoing.setTimeout(wiring.silenceMs, () => outgoing.destroy(new Error('no answer in time')));
  outgoing.end(body);
  return promise;
}

function toHost(url: URL) {
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 80 : Number(url.port) };
}

async function readAll(answer: IncomingMessage, what: string): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of answer) chunks.push(chunk as Buffer);
  } catch (error) {
    throw new Failure(3, `lost the connection to ${what}: ${whyNot(error)}`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function parseJson<T>(text: string, what: string): T {
  if (text.trim() === '') return undefined as T;
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new Failure(3, `${what} answered something that is not JSON: ${text.slice(0, 200)}`);
  }
}

function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'no such socket';
  if (code === 'ECONNREFUSED') return 'connection refused, nothing listens there';
  if (code === 'EACCES') return 'this user may not open it';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'this name has no address';
  if (code === 'ECONNRESET') return 'the other side closed the connection';
  return message;
}
