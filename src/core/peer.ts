import { CLUSTER_KEY } from './label.ts';
import type { Entity } from './policy-rule.ts';
import { EVERYTHING, type Requirement, requirementOf, type Selector } from './selector.ts';

/** What an endpoints selector that names no cluster also requires. */
export function clusterRequirement(clusterName: string): Requirement {
  return requirementOf(`k8s:${CLUSTER_KEY}`, 'In', [clusterName]);
}

/** An entity as the selectors that it stands for, any of which will do. `all` is also what has no identity. */
export function entitySelectors(entity: Entity, clusterName: string): readonly Selector[] {
  switch (entity) {
    case 'all':
      return [EVERYTHING];
    case 'none':
      return [];
    case 'world':
      return reserved('world', 'world-ipv4', 'world-ipv6');
    case 'cluster':
      return [
        ...reserved('host', 'remote-node', 'init', 'ingress', 'health', 'unmanaged', 'kube-apiserver'),
        { requirements: [clusterRequirement(clusterName)] },
      ];
    default:
      return reserved(entity);
  }
}

function reserved(...names: readonly string[]): readonly Selector[] {
  return names.map((name) => ({ requirements: [requirementOf(`reserved:${name}`, 'Exists', [])] }));
}
