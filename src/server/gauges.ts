/** What `/metrics` shows besides requests: read from where it is kept, when asked. */
import type { ServerContext } from './context.ts';
import type { Gauge } from './metrics.ts';

export function serverGauges({ store, reports, flows, streams }: ServerContext): Gauge[] {
  const counter = (name: string, help: string, value: () => number): Gauge => ({ name, help, type: 'counter', value });
  const gauge = (name: string, help: string, value: Gauge['value']): Gauge => ({ name, help, value });
  const perHost = (value: (seen: { report: { appliedRevision: number }; seenAt: string }) => number) => () =>
    [...reports.all.values()].map((seen) => ({ labels: { host: seen.name }, value: value(seen) }));
  return [
    gauge('postern_revision', 'Newest revision of the desired state.', () => store.state.revision),
    gauge('postern_objects', 'Objects in the desired state.', () =>
      (['namespaces', 'workloads', 'policies', 'identities'] as const).map((collection) => ({
        labels: { collection },
        value: store.state[collection].size,
      })),
    ),
    gauge('postern_streams', 'Open streams: watches, agents, followers of flows.', () => streams.count),
    counter('postern_flows_taken_total', 'Flows that agents sent.', () => flows.taken),
    counter('postern_flows_stored_total', 'Flows that are or were in the database.', () => flows.stored),
    counter('postern_flows_lost_total', 'Flows that could not be stored.', () => flows.lost),
    counter('postern_flows_dropped_total', 'Flows dropped by age or size, ever.', () => flows.partitions.dropped),
    gauge('postern_flows_bytes', 'Size of the stored flows.', () => flows.partitions.bytes),
    gauge(
      'postern_host_applied_revision',
      'Revision in the kernel of a host.',
      perHost(({ report }) => report.appliedRevision),
    ),
    gauge(
      'postern_host_last_seen_seconds',
      'When a host last reported.',
      perHost(({ seenAt }) => Date.parse(seenAt) / 1000),
    ),
    gauge('postern_workload_drifted', 'Instances that run outside of where the workload is registered to.', () =>
      [...store.state.workloads.keys()].flatMap((workload) => {
        const drifts = reports.driftsOf(workload);
        return [true, false]
          .map((named) => ({ named, value: drifts.filter((drift) => drift.named === named).length }))
          .filter(({ value }) => value > 0)
          .map(({ named, value }) => ({ labels: { workload, named: String(named) }, value }));
      }),
    ),
    gauge('postern_findings', 'Findings of a host: rights of workloads that are stronger than policy.', () =>
      [...reports.all.values()].flatMap(({ name: host, report: { findings = [] } }) =>
        [...Map.groupBy(findings, ({ kind, severity }) => `${kind} ${severity}`).values()].map((alike) => ({
          labels: { host, kind: alike[0]!.kind, severity: alike[0]!.severity },
          value: alike.length,
        })),
      ),
    ),
    gauge('process_resident_memory_bytes', 'Memory of the server, without its database.', () =>
      process.memoryUsage.rss(),
    ),
  ];
}
