/** Short ways to write policy documents in tests. */
export function cnp(spec: unknown, metadata: Record<string, unknown> = { name: 'p', namespace: 'shop' }) {
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec };
}

export function ccnp(spec: unknown, name = 'p') {
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumClusterwideNetworkPolicy', metadata: { name }, spec };
}

export function netpol(spec: unknown, metadata: Record<string, unknown> = { name: 'p', namespace: 'shop' }) {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec };
}

/** A CiliumNetworkPolicy that selects everything in its namespace and has one ingress rule. */
export function ingress(rule: unknown) {
  return cnp({ endpointSelector: {}, ingress: [rule] });
}

export function egress(rule: unknown) {
  return cnp({ endpointSelector: {}, egress: [rule] });
}

/** One ingress rule from everyone to one port. */
export function port(entry: unknown) {
  return ingress({ toPorts: [{ ports: [entry] }] });
}
