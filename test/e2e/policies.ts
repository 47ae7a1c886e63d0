import type { Instance } from './instance.ts';

/** A CiliumNetworkPolicy of the namespace `shop` for the workload labelled `app`. */
export function cnp(app: string, spec: Record<string, unknown>, name = app): Record<string, unknown> {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name },
    spec: { endpointSelector: { matchLabels: { app } }, ...spec },
  };
}

/** `from: { app }` as a selector. */
export const app = (name: string) => ({ matchLabels: { app: name } });

/** `toPorts` of one port, or of a range. */
export const port = (from: number, protocol = 'TCP', endPort?: number) => ({
  ports: [{ port: String(from), protocol, ...(endPort === undefined ? {} : { endPort }) }],
});

/** Makes these documents the whole policy, in the kernel when it resolves. */
export async function only(postern: Instance, ...documents: Record<string, any>[]): Promise<void> {
  const kept = new Set(documents.map(({ metadata }) => metadata.name));
  const { body } = await postern.api('GET', '/v1/policies?limit=500');
  for (const { kind, namespace, name } of body.items)
    if (!kept.has(name))
      await postern.api('DELETE', `/v1/policies/${kind}/${namespace === undefined ? '' : `${namespace}/`}${name}`);
  if (documents.length > 0) await postern.apply(...documents);
  else await postern.settled();
}
