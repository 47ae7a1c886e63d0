import { parsePrefix } from './cidr.ts';
import { type Identity, type IdentityId, RESERVED, RESERVED_IDENTITIES } from './identity.ts';
import { canonicalLabels, NAMESPACE_KEY, NAMESPACE_LABELS_PREFIX, NAMESPACE_NAME_LABEL, toLabel } from './label.ts';
import { resolveCidrGroups } from './policy-cidr-group.ts';
import { PolicyOrder } from './policy-order.ts';
import { type Policy, policyRef } from './policy-rule.ts';

/** All that a verdict depends on. */
export interface World {
  /**
   * Workloads. Reserved identities are peers in any case; one that is listed here replaces the built-in, and is
   * protected too if it can be: `init`, `health`, `ingress`, and the host with its labels (`k8s:key=value` beside
   * `reserved:host`), which host policies select.
   */
  readonly identities: readonly Identity[];
  /** Prefixes that have an identity on this host; see `cidrPrefixes`. */
  readonly cidrs: readonly { readonly id: IdentityId; readonly prefix: string }[];
  readonly policies: readonly Policy[];
  /** Labels of each namespace; they become labels of its endpoints, and replace those that an identity brings. */
  readonly namespaces: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly clusterName: string;
  /** Default `default`. */
  readonly enforcement?: 'default' | 'always' | 'never';
}

/**
 * By name, in policy order, groups of prefixes resolved. A name has one policy: the last that the list gives it.
 * Who asks again with almost the same policies keeps the `order`.
 */
export function policiesOf(
  { policies }: Pick<World, 'policies'>,
  order: PolicyOrder = new PolicyOrder(),
): ReadonlyMap<string, Policy> {
  const byName = new Map(order.sorted(policies).map((policy) => [refOf(policy), policy]));
  return new Map(resolveCidrGroups([...byName.values()]).map((policy) => [refOf(policy), policy]));
}

const refs = new WeakMap<Policy, string>();

function refOf(policy: Policy): string {
  let ref = refs.get(policy);
  if (ref === undefined) {
    ref = policyRef(policy);
    refs.set(policy, ref);
  }
  return ref;
}

/** Every identity with all of its labels: reserved, listed, and one for each prefix. */
export function identitiesOf(world: World): ReadonlyMap<IdentityId, Identity> {
  const identities = new Map(RESERVED_IDENTITIES.map((identity) => [identity.id, identity]));
  for (const identity of world.identities) identities.set(identity.id, withNamespaceLabels(identity, world.namespaces));
  for (const cidr of world.cidrs) identities.set(cidr.id, cidrIdentity(cidr));
  return identities;
}

/** Who brings the same object again gets the same identity: there may be many thousand prefixes. */
const outside = new WeakMap<World['cidrs'][number], Identity>();

function cidrIdentity(cidr: World['cidrs'][number]): Identity {
  let identity = outside.get(cidr);
  if (identity === undefined) {
    const { id, prefix } = cidr;
    const world = parsePrefix(prefix)?.family === 6 ? 'reserved:world-ipv6' : 'reserved:world-ipv4';
    identity = { id, labels: [`cidr:${prefix}`, world] };
    outside.set(cidr, identity);
  }
  return identity;
}

/** Who comes again unchanged, in an unchanged namespace, is not labelled again. */
const labelled = new WeakMap<Identity, { readonly namespace: object | undefined; readonly identity: Identity }>();

/** Kubernetes gives every namespace the label `kubernetes.io/metadata.name`; so do we. */
export function withNamespaceLabels(identity: Identity, namespaces: World['namespaces']): Identity {
  const name = namespaceOf(identity);
  if (name === undefined) return identity;
  const namespace = Object.hasOwn(namespaces, name) ? namespaces[name] : undefined;
  const known = labelled.get(identity);
  if (known && known.namespace === namespace) return known.identity;
  const result = { ...identity, labels: joinLabels(identity.labels, name, namespace) };
  labelled.set(identity, { namespace, identity: result });
  return result;
}

const NAMESPACE_TEXT = `k8s:${NAMESPACE_KEY}=`;

function namespaceOf({ labels }: Identity): string | undefined {
  return labels.find((label) => label.startsWith(NAMESPACE_TEXT))?.slice(NAMESPACE_TEXT.length);
}

function joinLabels(
  own: readonly string[],
  name: string,
  namespace: Readonly<Record<string, string>> | undefined,
): string[] {
  const labels = own.map((text) => toLabel(text));
  const kept = namespace ? labels.filter((label) => !label.key.startsWith(NAMESPACE_LABELS_PREFIX)) : labels;
  const added = Object.entries({ ...namespace, [NAMESPACE_NAME_LABEL]: name });
  return canonicalLabels([
    ...kept,
    ...added.map(([key, value]) => ({ source: 'k8s', key: NAMESPACE_LABELS_PREFIX + key, value })),
  ]);
}

/** Default deny that no policy asked for. */
export function builtInDefaultDeny(world: Pick<World, 'enforcement'>, subject: number): string | undefined {
  if (world.enforcement === 'always' && subject !== RESERVED.host) return 'enablePolicy=always';
  return subject === RESERVED.init ? 'reserved:init' : undefined;
}
