/** `postern status`: the one screen; exit 0 when all is well, 1 when somebody has to act. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Discovered } from '../../api/discover.ts';
import type { Endpoint } from '../../api/endpoint.ts';
import type { Flow } from '../../api/flow.ts';
import type { Host } from '../../api/host.ts';
import type { Policy } from '../../api/policy.ts';
import type { Workload } from '../../api/workload.ts';
import type { Client } from '../client.ts';
import type { Call, Command } from '../command.ts';
import { readFlows } from '../flow-read.ts';
import { WATCH } from '../global-flags.ts';
import { FLOW_LIMIT, type Overview, statusText } from '../status-text.ts';
import { listAll } from '../watch.ts';

export const STATUS: Command = {
  path: ['status'],
  summary: 'Show on one screen whether all is well, and what to do if not',
  args: [],
  flags: [{ name: 'host', value: 'NAME', summary: 'only this host, in full', complete: 'host' }, WATCH],
  help: 'Exit code: 0 all is well, 1 something is to be done, 3 the server cannot be reached. One host from inside: postern agent status.',
  examples: [
    ['postern status', 'now'],
    ['postern status --watch', 'every 2 seconds'],
    ['postern status --host web-07', 'one of many hosts, in full'],
    ['postern status > /dev/null || notify', 'from a script'],
  ],
  run: async (call) => {
    if (!call.on('watch')) return (await show(call)).exit;
    for (;;) {
      const { text } = await show(call, false);
      await call.out.print(call.io.stdout.isTTY ? `\x1b[H\x1b[2J${text}` : `${text}\n`);
      await wait(2000);
    }
  },
};

async function show(call: Call, print = true): Promise<{ exit: number; text: string }> {
  const overview = await loadOverview(call.server, call.text('host'));
  const { text, toDo } = statusText(overview, Date.now(), call.out.colour);
  const exit = toDo.length === 0 ? 0 : 1;
  if (!print) return { exit, text };
  if (call.out.format === 'table') await call.out.print(text);
  else {
    const { revision, hosts, workloads, policies, unclaimed, provisional, dropped, audited, lost } = overview;
    await call.out.value({
      ok: exit === 0,
      toDo,
      revision,
      hosts,
      workloads: workloads.length,
      policies: policies.length,
      unclaimed,
      provisional,
      last15Minutes: {
        allowed: hosts.reduce((sum, { status }) => sum + (status.recent?.allowed ?? 0), 0),
        dropped: dropped.length,
        audit: audited.length,
        lost,
      },
    });
  }
  return { exit, text };
}

async function loadOverview(server: Client, host: string | undefined): Promise<Overview> {
  const list = <T>(path: string, query: readonly (readonly [string, string])[] = []) => listAll<T>(server, path, query);
  const onHost = host === undefined ? [] : [['host', host] as const];
  const workloads = await list<Workload>('/v1/workloads');
  const [policies, hosts, discovered, provisional, dropped, audited, lost] = await Promise.all([
    list<Policy>('/v1/policies'),
    host === undefined
      ? list<Host>('/v1/hosts')
      : server
          .json<Host>({ method: 'GET', path: `/v1/hosts/${encodeURIComponent(host)}` })
          .then((one) => ({ items: [one] })),
    list<Discovered>('/v1/discover', [...onHost, ['kind', 'listener']]),
    list<Endpoint>('/v1/endpoints', [...onHost, ['state', 'provisional']]),
    loadFlows(server, 'DROPPED', onHost),
    loadFlows(server, 'AUDIT', onHost),
    countLost(server),
  ]);
  return {
    revision: Math.max(workloads.revision, policies.revision),
    workloads: workloads.items,
    policies: policies.items,
    hosts: hosts.items,
    unclaimed: discovered.items.length,
    provisional: provisional.items.length,
    dropped,
    audited,
    lost,
  };
}

/** A filter never hides lost events: they are taken out here, and counted by themselves. */
async function loadFlows(
  server: Client,
  verdict: string,
  onHost: readonly (readonly [string, string])[],
): Promise<Flow[]> {
  const query = [...onHost, ['verdict', verdict], ['since', '15m']] as const;
  const { flows } = await readFlows(server, query, FLOW_LIMIT);
  return flows.filter((flow) => flow.event !== 'lost');
}

async function countLost(server: Client): Promise<number> {
  const { flows } = await readFlows(
    server,
    [
      ['event', 'lost'],
      ['since', '15m'],
    ],
    FLOW_LIMIT,
  );
  return flows.reduce((sum, flow) => sum + (flow.count ?? 0), 0);
}
