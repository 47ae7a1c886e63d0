/**
 * Whether a compiled set fits the kernel's maps, before anything changes. One entry is counted for
 *
 * 1. `policyL3`: each protected identity, enforced direction and peer with a table of its own, and peer 0.
 * 2. `policyL4`: each distinct table once for its fallback, and each port entry as many times as its range has prefixes.
 * 3. `cidr`: each prefix that has an identity.
 *
 * A map holds two slots while a revision is filled, so a limit is half of what the map has.
 */
import type { CompiledIdentity, PortTable } from './compile.ts';
import { portPrefixes } from './port-prefix.ts';
import type { FieldError } from './problem.ts';

export interface Capacity {
  readonly policyL3: number;
  readonly policyL4: number;
  readonly cidr: number;
}

export const DEFAULT_LIMITS: Capacity = { policyL3: 131072, policyL4: 131072, cidr: 65536 };

const MEANING: Readonly<Record<keyof Capacity, string>> = {
  policyL3: 'pairs of a protected identity and a peer',
  policyL4: 'port ranges in distinct rules',
  cidr: 'IP prefixes',
};

/** @param prefixes how many prefixes have an identity (`cidrPrefixes(policies).length`) */
export function countEntries(compiled: ReadonlyMap<number, CompiledIdentity>, prefixes: number): Capacity {
  let policyL3 = 0;
  const tables = new Set<PortTable>();
  for (const { ingress, egress } of compiled.values()) {
    for (const { peers } of [ingress, egress]) {
      policyL3 += peers.size;
      for (const table of peers.values()) tables.add(table);
    }
  }
  let policyL4 = 0;
  for (const table of tables) policyL4 += tableEntries(table);
  return { policyL3, policyL4, cidr: prefixes };
}

/** Entries of one table: its fallback, and the port prefixes of each entry. */
export function tableEntries(table: PortTable): number {
  return table.entries.reduce((sum, { from, to }) => sum + portPrefixes(from, to).length, 1);
}

/** What does not fit; empty if all does. For a 422 answer, and for the agent's `degraded`. */
export function capacityProblems(needed: Capacity, limits: Capacity = DEFAULT_LIMITS): FieldError[] {
  return (Object.keys(MEANING) as (keyof Capacity)[])
    .filter((map) => needed[map] > limits[map])
    .map((map) => ({
      path: '',
      code: 'capacity',
      message: `policy does not fit: ${needed[map]} ${MEANING[map]} (${map}) are needed, ${limits[map]} are possible`,
      value: needed[map],
    }));
}
