/** Asks the agent of this host, which runs beside the server, who is connected. */
import { request } from 'node:http';
import { CallerLabel, type CallerQuestion } from '../api/caller-label.ts';
import { check } from '../api/check.ts';
import type { LabelOf } from './access.ts';

/** No agent listens there: then nobody has a name. */
const ABSENT = new Set(['ENOENT', 'ECONNREFUSED']);

/** @param socketPath the agent's own REST; asked for each request, since who is connected may get a name meanwhile */
export function agentLabels(socketPath: string): LabelOf {
  return async (peer, _fd, patienceMs) => {
    if (peer.kind === 'unix') return await ask(socketPath, { pid: peer.pid }, patienceMs);
    return peer.cookie === undefined ? undefined : await ask(socketPath, { cookie: peer.cookie }, patienceMs);
  };
}

function ask(socketPath: string, question: CallerQuestion, patienceMs: number): Promise<CallerLabel | undefined> {
  const query = Object.entries(question).map(([name, value]) => `${name}=${value}`);
  const signal = AbortSignal.timeout(patienceMs);
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      if (ABSENT.has(error.code ?? '')) resolve(undefined);
      else if (signal.aborted) reject(new Error(`the agent at ${socketPath} has not answered in ${patienceMs} ms`));
      else reject(new Error(`the agent at ${socketPath}: ${error.message}`));
    };
    const options = { socketPath, path: `/v1/labels?${query}`, headers: { host: 'localhost' }, agent: false, signal };
    const asking = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', fail);
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        try {
          resolve(toLabel(response.statusCode ?? 0, JSON.parse(text)));
        } catch (error) {
          fail(error as Error);
        }
      });
    });
    asking.on('error', fail);
    asking.end();
  });
}

/** Throws what the agent says instead of a label. */
function toLabel(status: number, body: unknown): CallerLabel {
  const { detail } = body as { readonly detail?: string };
  if (status !== 200) throw new Error(detail ?? `status ${status}`);
  const label = check(CallerLabel, body);
  if (!label.ok) throw new Error('its answer is no label');
  return label.value as CallerLabel;
}
