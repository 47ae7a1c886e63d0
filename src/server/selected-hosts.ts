import { hostIdentityLabels } from '../core/label.ts';
import type { Policy } from '../core/policy.ts';
import { indexLabels, selects } from '../core/selector.ts';
import { CLUSTER_NAME } from './plan.ts';
import type { Reports } from './reports.ts';

/** Known hosts that a host policy selects; none for every other policy. */
export function selectedHosts(policy: Policy | undefined, reports: Reports): string[] {
  const subjects = new Set((policy?.rules ?? []).flatMap(({ host, subject }) => (host ? [subject] : [])));
  if (subjects.size === 0) return [];
  return [...reports.all.values()].flatMap(({ name, report }) => {
    const labels = indexLabels(hostIdentityLabels(report.labels ?? {}, CLUSTER_NAME));
    return [...subjects].some((subject) => selects(subject, labels)) ? [name] : [];
  });
}
