/** What is legal in a policy and yet surprising. */
import { claimOf } from '../core/match-claim.ts';
import { type Policy, parsePolicy } from '../core/policy.ts';
import type { State, StoredIdentity, StoredPolicy } from './state.ts';
import { allowedSources, selectedIdentities } from './world.ts';

/** @param selected number of identities that the policy selects @param hosts number of hosts */
export function policyWarnings(
  stored: StoredPolicy,
  policy: Policy | undefined,
  selected: number,
  hosts: number,
  state: State,
): string[] {
  const reading = parsePolicy(stored.document);
  if (!reading.ok || policy === undefined) {
    const why = reading.ok ? 'unknown' : (reading.errors[0]?.message ?? 'unknown');
    return [`this version does not accept the document, so it is not enforced: ${why}`];
  }
  const warnings = [...(reading.warnings ?? [])];
  if (selected === 0 && policy.rules.some(({ host }) => !host))
    warnings.push('selects no registered workload: check the labels of endpointSelector');
  if (hosts === 0 && policy.rules.some(({ host }) => host))
    warnings.push('selects no known host: check the labels of nodeSelector and --host-labels of the agents');
  return [
    ...warnings,
    ...missingGroups(policy, state),
    ...unknownPorts(policy, state),
    ...forgeableSources(policy, state),
  ];
}

/** A group that does not exist is nobody: a deny rule then denies nothing. */
function missingGroups(policy: Policy, state: State): string[] {
  const named = policy.rules.flatMap(({ name, peers = [] }) =>
    peers.flatMap((peer) =>
      peer.type === 'cidr-group' && typeof peer.groups === 'string' && !state.policies.has(`ccg/${peer.groups}`)
        ? [`${name} names the CiliumCIDRGroup ${peer.groups}, which does not exist: it matches nobody`]
        : [],
    ),
  );
  return named.slice(0, NAMED);
}

/** A name is looked up where the destination declares its ports; one that nobody declares matches nothing. */
function unknownPorts(policy: Policy, state: State): string[] {
  const asked = policy.rules.flatMap(({ name, direction, ports = [] }) =>
    ports.flatMap((port) => ('name' in port ? [{ rule: name, direction, port: port.name }] : [])),
  );
  if (asked.length === 0) return [];
  const portsOf = (identities: Iterable<StoredIdentity>) =>
    new Set([...identities].flatMap(({ ports = {} }) => Object.keys(ports)));
  const declared = { ingress: portsOf(selectedIdentities(policy, state)), egress: portsOf(state.identities.values()) };
  return asked
    .filter(({ direction, port }) => !declared[direction].has(port))
    .map(({ rule, direction, port }) => {
      const whose = direction === 'ingress' ? 'no workload that the policy selects' : 'no registered workload';
      return `${rule} names the port "${port}", which ${whose} declares: it matches nothing`;
    })
    .slice(0, NAMED);
}

const NAMED = 5;

/** A right given to whoever can pretend to be somebody. */
function forgeableSources(policy: Policy, state: State): string[] {
  const found: string[] = [];
  for (const { workloads } of allowedSources(policy, state)) {
    for (const key of workloads) {
      const workload = state.workloads.get(key) ?? state.hostWorkloads.get(key);
      const spoofable = workload === undefined ? null : spoofableOf(workload.spec.match);
      if (spoofable !== null) found.push(`allows from ${key}, which ${spoofable} could claim`);
    }
  }
  const more = found.length - NAMED;
  return more > 0 ? [...found.slice(0, NAMED), `and from ${more} more that can be claimed`] : found;
}

const claims = new WeakMap<object, string | null>();

function spoofableOf(match: Parameters<typeof claimOf>[0]): string | null {
  let known = claims.get(match);
  if (known === undefined) {
    known = claimOf(match).spoofable;
    claims.set(match, known);
  }
  return known;
}
