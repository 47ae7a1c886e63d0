import type { ServerContext } from '../context.ts';
import type { Metrics } from '../metrics.ts';
import type { Operation } from '../operation.ts';
import { accessOperations } from './access.ts';
import { agentOperations } from './agent.ts';
import { applyOperations } from './apply.ts';
import { auditOperations } from './audit.ts';
import { docsOperations } from './docs.ts';
import { findingOperations } from './findings.ts';
import { flowOperations } from './flow.ts';
import { healthOperations } from './health.ts';
import { discoverOperations, endpointOperations, hostOperations } from './host.ts';
import { identityOperations } from './identity.ts';
import { namespaceOperations } from './namespace.ts';
import { policyOperations } from './policy.ts';
import { policyHistoryOperations } from './policy-history.ts';
import { previewOperations } from './preview.ts';
import { simulateOperations } from './simulate.ts';
import { workloadOperations } from './workload.ts';

/** In the order in which /docs shows them. */
export function allOperations(context: ServerContext, metrics: Metrics, version: string): Operation[] {
  const operations = [
    ...workloadOperations(context),
    ...previewOperations(context),
    ...policyOperations(context),
    ...policyHistoryOperations(context),
    ...applyOperations(context),
    ...accessOperations(context),
    ...simulateOperations(context),
    ...namespaceOperations(context),
    ...flowOperations(context),
    ...endpointOperations(context),
    ...identityOperations(context),
    ...discoverOperations(context),
    ...hostOperations(context),
    ...findingOperations(context),
    ...auditOperations(context),
    ...agentOperations(context),
    ...healthOperations(context, metrics),
  ];
  return [...operations, ...docsOperations(operations, version)];
}
