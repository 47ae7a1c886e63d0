import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import type { Container } from '../core/match-place.ts';

/** A container as its runtime lists it; where it runs is asked for separately. */
export type ListedContainer = Omit<Container, 'cgroup'>;

/** Docker's API, which Podman speaks too, on a unix socket: what is running, and a word whenever that changes. */
export interface ContainerRuntime {
  list(): Promise<ListedContainer[]>;
  /** Of its first process; undefined = not running any more. */
  pidOf(id: string): Promise<number | undefined>;
  /** Calls back on every start, end and rename; resolves when the stream ends. */
  watch(onChange: () => void): Promise<void>;
  close(): void;
}

const REQUEST_MS = 5_000;
const MAX_BYTES = 32 * 1024 * 1024;
const ACTIONS = ['start', 'die', 'rename', 'remove', 'destroy'];

export function createContainerRuntime(socketPath: string): ContainerRuntime {
  const open = new Set<ClientRequest>();
  const request = (path: string): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const sent = get({ socketPath, path, headers: { host: 'localhost' }, agent: false }, resolve);
      open.add(sent);
      sent.on('error', reject).on('close', () => open.delete(sent));
    });
  const json = async (path: string): Promise<unknown> => {
    const response = await request(path);
    const timer = setTimeout(() => response.destroy(new Error(`${path}: no answer in ${REQUEST_MS} ms`)), REQUEST_MS);
    try {
      const text = await readText(response);
      if (response.statusCode === 404) return undefined;
      if (response.statusCode !== 200) throw new Error(`${path}: ${response.statusCode} ${text.slice(0, 200)}`);
      return JSON.parse(text);
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    list: async () => ((await json('/containers/json')) as DockerContainer[]).map(toListed),
    pidOf: async (id) => {
      const found = (await json(`/containers/${id}/json`)) as { State?: { Pid?: number } } | undefined;
      return found?.State?.Pid || undefined;
    },
    watch: async (onChange) => {
      const filters = encodeURIComponent(JSON.stringify({ type: ['container'] }));
      // From a moment ago, so that nothing is missed between the stream and the list.
      const since = Math.floor(Date.now() / 1000) - 1;
      const response = await request(`/events?since=${since}&filters=${filters}`);
      if (response.statusCode !== 200) throw new Error(`/events: ${response.statusCode}`);
      let rest = '';
      for await (const chunk of response.setEncoding('utf8')) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop()!;
        if (rest.length > MAX_BYTES) throw new Error('/events: a line without an end');
        if (lines.some(isChange)) onChange();
      }
    },
    close: () => {
      for (const sent of open) sent.destroy();
    },
  };
}

interface DockerContainer {
  readonly Id: string;
  readonly Names?: readonly string[] | null;
  readonly Image?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
}

function toListed({ Id, Names, Image, Labels }: DockerContainer): ListedContainer {
  return { id: Id, name: (Names?.[0] ?? Id).replace(/^\//, ''), image: Image ?? '', labels: Labels ?? {} };
}

function isChange(line: string): boolean {
  try {
    const { Action, status } = JSON.parse(line) as { Action?: string; status?: string };
    return ACTIONS.includes(Action ?? status ?? '');
  } catch {
    return false;
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk;
    if (text.length > MAX_BYTES) throw new Error(`an answer of more than ${MAX_BYTES} bytes`);
  }
  return text;
}
