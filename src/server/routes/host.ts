/** `/v1/hosts`, `/v1/endpoints`, `/v1/discover`: what the hosts see. Observed, so read only. */
import { Discovered } from '../../api/discover.ts';
import { Endpoint } from '../../api/endpoint.ts';
import { Host } from '../../api/host.ts';
import { listOf } from '../../api/list.ts';
import { answer, page } from '../answer.ts';
import type { ServerContext } from '../context.ts';
import type { Operation, Request } from '../operation.ts';
import { notFound } from '../plan.ts';
import { badParameter, booleanParameter, LIST_QUERY, WATCH_QUERY } from '../query.ts';
import { type SeenReport, toHost } from '../reports.ts';
import { watchReports } from '../watch-reports.ts';

const WATCH = { watch: WATCH_QUERY.watch };

export function hostOperations(context: ServerContext): Operation[] {
  const { store, reports } = context;
  const toObject = (seen: SeenReport) => toHost(seen, store.state, Date.now());
  return [
    {
      method: 'GET',
      path: '/v1/hosts',
      tag: 'Hosts',
      summary: 'List or watch hosts',
      access: 'read',
      query: { ...LIST_QUERY, ...WATCH },
      answers: { 200: { schema: listOf(Host), description: 'One page, or a stream' } },
      curl: '$P/v1/hosts',
      run(c) {
        if (booleanParameter(c, 'watch')) return watchReports(c, context, (seen) => [[seen.name, toObject(seen)]]);
        return answer(
          c,
          page(c, reports.all, () => true, toObject, store.state.revision),
        );
      },
    },
    {
      method: 'GET',
      path: '/v1/hosts/:name',
      tag: 'Hosts',
      summary: 'One host: its state, kernel, features, maps and counters',
      access: 'read',
      answers: { 200: { schema: Host, description: 'The host' } },
      curl: '$P/v1/hosts/web-1',
      run(c) {
        const name = c.req.param('name')!;
        const seen = reports.all.get(name);
        if (seen === undefined) throw notFound('hosts', name);
        return answer(c, toObject(seen));
      },
    },
  ];
}

export function endpointOperations(context: ServerContext): Operation[] {
  const { store, reports } = context;
  return [
    {
      method: 'GET',
      path: '/v1/endpoints',
      tag: 'Endpoints',
      summary: 'List or watch live instances of workloads, each with why it has its identity',
      access: 'read',
      query: {
        workload: { description: 'namespace/name' },
        host: { description: 'Name of the host' },
        identity: { description: 'Number of the identity' },
        state: { description: 'ok, provisional, conflict, drifted' },
        ...LIST_QUERY,
        ...WATCH,
      },
      answers: { 200: { schema: listOf(Endpoint), description: 'One page, or a stream' } },
      curl: '"$P/v1/endpoints?workload=shop/orders"',
      run(c) {
        const isWanted = endpointFilter(c);
        const entriesOf = (endpoints: readonly Endpoint[]) =>
          endpoints.filter(isWanted).map((endpoint): [string, Endpoint] => [endpoint.id, endpoint]);
        if (booleanParameter(c, 'watch')) return watchReports(c, context, ({ report }) => entriesOf(report.endpoints));
        const entries = entriesOf(reports.endpoints);
        return answer(
          c,
          page(
            c,
            entries,
            () => true,
            (endpoint) => endpoint,
            store.state.revision,
          ),
        );
      },
    },
  ];
}

export function discoverOperations(context: ServerContext): Operation[] {
  const { store, reports } = context;
  return [
    {
      method: 'GET',
      path: '/v1/discover',
      tag: 'Discover',
      summary: 'Running services that no workload claims, each with a registration that would',
      access: 'read',
      query: {
        host: { description: 'Name of the host' },
        kind: { description: 'listener, or talker: begins conversations and listens nowhere' },
        ...LIST_QUERY,
      },
      answers: { 200: { schema: listOf(Discovered), description: 'One page' } },
      curl: '$P/v1/discover',
      run(c) {
        const { host, kind } = c.req.query();
        if (kind !== undefined && kind !== 'listener' && kind !== 'talker')
          throw badParameter('kind', kind, 'must be listener or talker', ['listener', 'talker']);
        const entries = [...reports.all.values()]
          .filter(({ name }) => host === undefined || name === host)
          .flatMap(({ name, report }) =>
            report.discover
              .filter((found) => kind === undefined || (found.kind ?? 'listener') === kind)
              .map((found): [string, Discovered] => [`${name}/${String(found.process.pid).padStart(9, '0')}`, found]),
          );
        return answer(
          c,
          page(
            c,
            entries,
            () => true,
            (found) => found,
            store.state.revision,
          ),
        );
      },
    },
  ];
}

function endpointFilter(c: Request): (endpoint: Endpoint) => boolean {
  const { workload, host, identity, state } = c.req.query();
  return (endpoint) =>
    (workload === undefined || endpoint.workload === workload) &&
    (host === undefined || endpoint.host === host) &&
    (identity === undefined || String(endpoint.identity) === identity) &&
    (state === undefined || endpoint.state === state);
}
