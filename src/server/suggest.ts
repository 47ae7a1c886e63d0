/** The least policy that allows what was seen, checked by the compiler beside what is in force. */
import { toYaml } from '../api/document.ts';
import type { SuggestBody, Suggestion } from '../api/simulate.ts';
import { isOutside, RESERVED, reservedName } from '../core/identity.ts';
import { parsePolicy } from '../core/policy.ts';
import {
  MOST_ADDRESSES,
  type SeenConnection,
  type SuggestedEnd,
  type SuggestedPolicy,
  suggestPolicies,
} from '../core/suggest.ts';
import { FlowJudge, protocolNumber } from './flow-judge.ts';
import { MOST_KINDS, type Observed, type ObservedEnd, type ObservedRange } from './observed.ts';
import type { Reports } from './reports.ts';
import { policyKey, rememberPolicy, type State, type StoredPolicy } from './state.ts';

const NAMES_ICMP = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'a' },
  spec: { endpointSelector: {}, ingress: [{ icmps: [{ fields: [{ type: 8 }] }] }] },
};
/** Whether this version enforces what it would suggest. */
const ICMPS = parsePolicy(NAMES_ICMP).ok;

type Found = Omit<Suggestion, 'since' | 'until'>;

export function suggest(
  { kinds, isWhole }: { readonly kinds: readonly Observed[]; readonly isWhole: boolean },
  state: State,
  reports: Reports,
  { workload, namespace, direction = 'both', dropped = false, range }: SuggestBody & { readonly range: ObservedRange },
): Found {
  const left = new Map<string, number>();
  const used: { readonly flow: Observed; readonly seen: SeenConnection }[] = [];
  for (const flow of kinds) {
    const seen = toSeen(flow, state);
    const why =
      typeof seen === 'string'
        ? seen
        : !dropped && flow.verdict === 'DROPPED'
          ? 'was denied (dropped: true allows it)'
          : undefined;
    if (why === undefined) used.push({ flow, seen: seen as SeenConnection });
    else left.set(why, (left.get(why) ?? 0) + flow.flows);
  }
  const registered = [...state.workloads.values()].map((stored) => ({
    namespace: stored.namespace,
    labels: stored.spec.labels,
  }));
  const wanted = workload === undefined ? undefined : state.workloads.get(workload);
  const policies = suggestPolicies(
    used.map(({ seen }) => seen),
    registered,
    {
      icmps: ICMPS,
      isProtected: (end, side) =>
        (direction === 'both' || direction === side) &&
        (namespace === undefined || end.namespace === namespace) &&
        (wanted === undefined ||
          (end.namespace === wanted.namespace && JSON.stringify(end.labels) === JSON.stringify(wanted.spec.labels))),
    },
  );
  const notes = [
    ...(isWhole ? [] : [`more than ${MOST_KINDS} kinds of connection were seen: the rarest were left out`]),
    ...(policies.length === 0 ? ['nothing was seen that could be allowed: a longer since, or traffic first'] : []),
    ...stillDenied(
      policies,
      used.map(({ flow }) => flow),
      state,
      reports,
    ),
  ];
  return {
    documents: policies.map(({ document }) => document),
    yaml: toText(policies, range, notes),
    flows: used.reduce((sum, { flow }) => sum + flow.flows, 0),
    left: [...left].map(([why, flows]) => ({ why, flows })),
    notes,
  };
}

function toSeen(flow: Observed, state: State): SeenConnection | string {
  const [from, to] = [toEnd(flow.from, state), toEnd(flow.to, state)];
  if (typeof from === 'string') return from;
  if (typeof to === 'string') return to;
  const port = flow.icmpType ?? flow.port;
  const protocol = protocolNumber(flow.protocol);
  return { from, to, protocol, ...(port !== undefined && { port }), flows: flow.flows, last: flow.last };
}

/** An end as policy can name it, or why it cannot. */
function toEnd({ workload, identity, ip }: ObservedEnd, state: State): SuggestedEnd | string {
  const key = workload ?? state.identities.get(String(identity ?? ''))?.workloads[0];
  const stored = key === undefined ? undefined : state.workloads.get(key);
  if (stored !== undefined)
    return {
      type: 'workload',
      namespace: stored.namespace,
      labels: stored.spec.labels,
      name: firstNameOf(stored.identity, state),
    };
  if (key !== undefined) return `${key} is not registered any more`;
  if (ip !== undefined && (identity === undefined || isOutside(identity) || identity === RESERVED.world))
    return { type: 'address', ip };
  const name = identity === undefined || identity === RESERVED.unknown ? undefined : reservedName(identity);
  return name === undefined
    ? `identity ${identity ?? '?'} is not registered any more`
    : { type: 'entity', entity: name };
}

/** Workloads of one identity have one policy: it is called after the first of them. */
function firstNameOf(identity: number, state: State): string {
  const [key = ''] = state.identities.get(String(identity))?.workloads ?? [];
  return key.slice(key.indexOf('/') + 1);
}

/** What other policy, in force now, would deny all the same. */
function stillDenied(
  policies: readonly SuggestedPolicy[],
  flows: readonly Observed[],
  state: State,
  reports: Reports,
): string[] {
  if (policies.length === 0) return [];
  const judge = new FlowJudge(withPolicies(state, policies), reports);
  const denied = flows.flatMap((flow) => {
    const judged = judge.judge(flow);
    if (typeof judged === 'string' || judged.verdict !== 'DROPPED') return [];
    const side = judged.ingress.verdict === 'DROPPED' ? judged.ingress : judged.egress;
    return [`${judged.from.name} -> ${judged.to.name} would still be denied by ${side.rules[0]}`];
  });
  return [...new Set(denied)];
}

/** The state with the suggestion in force. */
export function withPolicies(state: State, suggested: readonly SuggestedPolicy[]): State {
  const policies = new Map(state.policies);
  for (const { document } of suggested) {
    const result = parsePolicy(document);
    if (!result.ok) throw new Error(`a suggested policy is refused: ${JSON.stringify(result.errors)}`);
    rememberPolicy(document, result.value);
    const { kind, namespace, name } = result.value;
    const meta = { uid: '', revision: state.revision, createdAt: '', updatedAt: '', updatedBy: '' };
    const stored: StoredPolicy = {
      kind,
      ...(namespace !== undefined && { namespace }),
      name,
      document,
      textHash: '',
      meta,
      createdRevision: state.revision,
    };
    policies.set(policyKey(kind, namespace, name), stored);
  }
  return { ...state, policies };
}

function toText(
  policies: readonly SuggestedPolicy[],
  { since, until }: ObservedRange,
  notes: readonly string[],
): string {
  const head = [
    `# Allows what was seen from ${since.toISOString()} to ${until.toISOString()}, and nothing else. Review it before you apply it:`,
    '# what is rare (a nightly job, a failover) may not have been seen.',
    ...notes.map((note) => `# Note: ${note}`),
    ...(JSON.stringify(policies).includes('"world"')
      ? [`# More than ${MOST_ADDRESSES} addresses outside are world.`]
      : []),
  ];
  const texts = policies.map(({ document, comments }) =>
    [...comments.map((comment) => `# ${comment}`), toYaml(document)].join('\n'),
  );
  return `${head.join('\n')}\n${texts.join('---\n')}`;
}
