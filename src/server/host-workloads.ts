/** What the files of hosts register: taken from the agents, given identities, shown beside the control plane's own. */
import type { HostIdentities, HostWorkload } from '../api/host-workload.ts';
import type { Workload } from '../api/workload.ts';
import { validateWorkload } from '../core/workload.ts';
import type { ServerContext } from './context.ts';
import { hostWorkloadKey, type Operation } from './plan.ts';
import { ProblemError, toProblem } from './problem-error.ts';
import type { Reports } from './reports.ts';
import type { State, StoredHostWorkload } from './state.ts';
import { toWorkload } from './view.ts';

type PutHostWorkload = Extract<Operation, { type: 'putHostWorkload' }>;

/** All or nothing. What the host registered before and does not now is taken away. */
export async function putHostWorkloads(
  { store }: Pick<ServerContext, 'store'>,
  host: string,
  workloads: readonly HostWorkload[],
  actor: string,
): Promise<HostIdentities> {
  const puts = workloads.map(({ file, ...body }): PutHostWorkload => {
    const name = `workload ${body.namespace}/${body.name} of ${file}`;
    const result = validateWorkload(body.namespace, body.name, body);
    if (!result.ok) throw toProblem(result, name);
    if (result.value.addresses !== undefined)
      throw new ProblemError(
        'invalid',
        `Cannot accept ${name}: addresses are the same for every host, register it with the control plane`,
      );
    return { type: 'putHostWorkload', host, file, workload: result.value };
  });
  const kept = new Set(workloads.map(({ namespace, name }) => hostWorkloadKey(namespace, name, host)));
  const gone = [...store.state.hostWorkloads].filter(([key, stored]) => stored.host === host && !kept.has(key));
  const deletes = gone.map(
    ([, { namespace, name }]): Operation => ({ type: 'deleteHostWorkload', host, namespace, name }),
  );
  const isNew = ({ workload, file }: PutHostWorkload) => {
    const { namespace, name, ...spec } = workload;
    const stored = store.state.hostWorkloads.get(hostWorkloadKey(namespace, name, host));
    return stored === undefined || stored.file !== file || JSON.stringify(stored.spec) !== JSON.stringify(spec);
  };
  // A fleet that connects again says what is known: that takes no lock.
  const operations = [...puts.filter(isNew), ...deletes];
  const { state } = operations.length === 0 ? store : await store.write(operations, { actor });
  const items = [...kept].map((key) => {
    const { namespace, name, identity, createdRevision } = state.hostWorkloads.get(key)!;
    return { namespace, name, identity, createdRevision };
  });
  const identities = [...new Set(items.map(({ identity }) => identity))].map((id) => {
    const { labels, ports } = state.identities.get(String(id))!;
    return { id, labels: [...labels], ...(ports !== undefined && { ports }) };
  });
  return { revision: state.revision, items, identities };
}

/** With where it comes from, and whether the control plane's own registration of that name takes its place. */
export function toFileWorkload(stored: StoredHostWorkload, state: State, reports: Reports): Workload {
  const { namespace, name, host, file } = stored;
  const shown = toWorkload(stored, reports);
  const isBeaten = state.workloads.has(`${namespace}/${name}`);
  const here = isBeaten ? [] : reports.endpointsOf(`${namespace}/${name}`).filter((endpoint) => endpoint.host === host);
  const hint = `the control plane registers ${namespace}/${name} too, and its registration counts: rename one of them`;
  return {
    ...shown,
    status: {
      ...shown.status,
      endpoints: here.length,
      hosts: here.length > 0 ? 1 : 0,
      drifted: here.filter(({ state: is }) => is === 'drifted').length,
      ...(isBeaten ? { conflicts: [`${namespace}/${name} of the control plane`], hint } : {}),
      source: 'file',
      host,
      file,
    },
  };
}

/** By `namespace/name` or `namespace/name@host`; the first by host where several have it. */
export function findFileWorkload(state: State, key: string): StoredHostWorkload | undefined {
  const exact = state.hostWorkloads.get(key);
  if (exact !== undefined) return exact;
  return [...state.hostWorkloads.values()]
    .filter(({ namespace, name }) => `${namespace}/${name}` === key)
    .sort((a, b) => (a.host < b.host ? -1 : 1))[0];
}
