import { chmodSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { dirname } from 'node:path';
import type { CallerLabel } from '../api/caller-label.ts';
import { AdoptRequest, RunRequest } from '../api/run.ts';
import { DEFAULT_GATEWAYS, type Gateways } from '../core/gateways.ts';
import type { CallerLabels } from './caller-label.ts';
import type { Enforcement } from './enforcement.ts';
import type { Findings } from './findings.ts';
import type { FlowLog } from './flow-log.ts';
import type { HostReports } from './host-report.ts';
import { callerOf, isTrusted } from './local-access.ts';
import { LocalProblem, readLocalBody } from './local-body.ts';
import { sendProblem } from './local-problem.ts';
import { adopt, listRuns, type RunSources, runUnder } from './local-run.ts';

export interface LocalApi {
  close(): Promise<void>;
}

export interface LocalApiSources {
  readonly reports: HostReports;
  readonly callers: CallerLabels;
  readonly enforcement: Enforcement;
  readonly findings: Findings;
  readonly flows: FlowLog;
  readonly gateways: Gateways;
  readonly runs: RunSources;
}

/**
 * The agent's own REST on a unix socket: what this host does, also when the control plane is away. Everybody may open it;
 * who it is, asked of the kernel, decides: reads are root's, POST /v1/run also that of the users whom the workload names,
 * GET /v1/labels everybody's: a server that is not root asks it, and what it says the control plane tells every user too.
 * GET /v1/status /v1/endpoints /v1/discover /v1/identities /v1/policy /v1/maps /v1/runs /v1/gateways
 * /v1/labels?pid=N|cookie=N /v1/findings[?fresh=true] /v1/flows[?last=N&follow=true]
 * POST /v1/run /v1/adopt
 */
export function startLocalApi(path: string, sources: LocalApiSources): Promise<LocalApi> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    answer(request, response, sources).catch((error: Error) => {
      if (error instanceof LocalProblem) sendProblem(response, error.status, error.message, error.hint, error.errors);
      else sendProblem(response, 500, error.message);
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      chmodSync(path, 0o666);
      resolve({ close: () => closeServer(server, path) });
    });
  });
}

const PATHS = [
  '/v1/status',
  '/v1/endpoints',
  '/v1/discover',
  '/v1/identities',
  '/v1/policy',
  '/v1/maps',
  '/v1/gateways',
  '/v1/runs',
  '/v1/findings',
  '/v1/flows',
  '/v1/labels',
  '/healthz',
];

async function answer(request: IncomingMessage, response: ServerResponse, sources: LocalApiSources): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const caller = callerOf(request);
  if (request.method === 'POST' && url.pathname === '/v1/run')
    return sendJson(response, await runUnder(await readLocalBody(request, RunRequest), caller, sources.runs));
  if (request.method === 'POST' && url.pathname === '/v1/adopt')
    return sendJson(response, await adopt(await readLocalBody(request, AdoptRequest), caller, sources.runs));
  if (request.method !== 'GET')
    throw new LocalProblem(
      405,
      "The agent's API takes GET, and POST /v1/run and /v1/adopt",
      'all else is written to the control plane: postern apply -f FILE',
    );
  if (url.pathname === '/healthz') return sendJson(response, { status: 'ok' });
  if (url.pathname === '/v1/labels') return sendJson(response, labelAsked(url, sources.callers));
  if (!isTrusted(caller)) throw new LocalProblem(403, `uid ${caller.uid} may not read this: root may`, 'sudo');
  await answerRead(request, response, url, sources);
}

async function answerRead(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  { reports, enforcement, findings, flows, runs, gateways }: LocalApiSources,
): Promise<void> {
  const state = enforcement.applied;
  switch (url.pathname) {
    case '/v1/status': {
      const { endpoints, discover, drifts = [], waiting = [], ...status } = await reports.report();
      return sendJson(response, {
        ...status,
        endpoints: endpoints.length,
        drifted: drifts.length,
        waiting: waiting.map(({ workload, clause, reason }) => `${workload} match[${clause}]: ${reason}`),
        unclaimed: discover.filter(({ kind }) => kind !== 'talker').length,
        uid: state.uid,
      });
    }
    case '/v1/endpoints':
      return sendJson(response, { items: (await reports.report()).endpoints });
    case '/v1/discover':
      return sendJson(response, { items: (await reports.report()).discover });
    case '/v1/identities':
      return sendJson(response, { items: [...state.identities.values()] });
    case '/v1/policy':
      return sendJson(response, {
        revision: state.revision,
        uid: state.uid,
        policies: [...state.policies.keys()],
        identities: [...state.identities.keys()].map((id) => ({ id, ...enforcement.enforced(id) })),
      });
    case '/v1/maps':
      return sendJson(response, { items: await reports.maps() });
    case '/v1/gateways':
      return sendJson(response, { items: toGatewayList(gateways) });
    case '/v1/runs':
      return sendJson(response, { items: listRuns(runs) });
    case '/v1/findings': {
      const isFresh = url.searchParams.get('fresh') === 'true';
      return sendJson(response, isFresh ? await findings.fresh() : findings.found);
    }
    case '/v1/flows':
      return sendFlows(request, response, url, flows);
    default:
      return sendProblem(response, 404, `No such path: ${url.pathname}`, `paths: ${PATHS.join(' ')}`);
  }
}

/** Exactly one of `pid` and `cookie`, a number. */
function labelAsked({ search, searchParams }: URL, callers: CallerLabels): CallerLabel {
  const asked = [...searchParams];
  const [name, value] = asked[0] ?? [];
  if (asked.length !== 1 || (name !== 'pid' && name !== 'cookie') || !/^\d{1,15}$/.test(value!))
    throw new LocalProblem(400, `"${search}" must be pid=NUMBER or cookie=NUMBER`);
  try {
    return callers({ [name]: Number(value) });
  } catch (error) {
    throw new LocalProblem(404, (error as Error).message);
  }
}

/** Those that are on this host, and what the operator added, first. */
function toGatewayList(
  gateways: Gateways,
): { path: string; startsJobs: boolean; isDefault: boolean; isHere: boolean }[] {
  const list = [...gateways.values()].map(({ path, startsJobs }) => ({
    path,
    startsJobs,
    isDefault: DEFAULT_GATEWAYS.get(path)?.startsJobs === startsJobs,
    isHere: isResolved(path),
  }));
  return list.sort((a, b) => Number(b.isHere) - Number(a.isHere) || (a.path < b.path ? -1 : 1));
}

/** A name that leads elsewhere is never seen at an exec: what it leads to is. */
function isResolved(path: string): boolean {
  try {
    return realpathSync(path) === path;
  } catch {
    return false;
  }
}

function sendFlows(request: IncomingMessage, response: ServerResponse, url: URL, flows: FlowLog): void {
  const last = url.searchParams.get('last') ?? '100';
  if (!/^\d{1,6}$/.test(last)) return sendProblem(response, 400, `"last" must be a number, not "${last}"`);
  if (url.searchParams.get('follow') !== 'true') return sendJson(response, { items: flows.last(Number(last)) });
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  response.flushHeaders();
  for (const flow of flows.last(Number(last))) response.write(`${JSON.stringify(flow)}\n`);
  const end = flows.follow((flow) => {
    // a reader that does not keep up is cut off rather than kept in memory
    if (response.writableLength > 8 * 1024 * 1024) response.destroy();
    else response.write(`${JSON.stringify(flow)}\n`);
  });
  request.on('close', end);
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function closeServer(server: Server, path: string): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      rmSync(path, { force: true });
      resolve();
    });
    server.closeAllConnections();
  });
}
