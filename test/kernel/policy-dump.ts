/** What the kernel's policy maps mean, without the numbers that may differ: slots, generations, leftovers. */
import { IdentityWords } from '../../src/datapath/identity-words.ts';
import type { Kernel } from '../../src/datapath/kernel.ts';

export function dumpPolicy({ maps }: Kernel): string {
  const configs = new Map([...new IdentityWords(maps).entries()]);
  const identities = [...configs].filter(([id]) => id !== 0).map(([id, { flags }]) => `identity ${id} ${flags}`);
  const peers = [...maps.policy_l3.entries()]
    .filter(([key]) => configs.get(key.local)?.slot === key.slot)
    .map(
      ([key, { table, lengths, rule, verdict, port, port_protocol, port_rule, port_verdict }]) =>
        `l3 ${key.local} ${key.direction} ${key.remote} ${table} ${lengths} ${rule} ${verdict} ${port} ${port_protocol} ${port_rule} ${port_verdict}`,
    );
  const ports = [...maps.policy_l4.entries()].map(
    ([key, { rule, verdict }]) => `l4 ${key.table} ${key.length} ${key.protocol} ${key.port} ${rule} ${verdict}`,
  );
  return [...identities, ...peers, ...ports, ...dumpAddresses(maps, maps.config.get(0)!.ip_slot)].sort().join('\n');
}

export function dumpAddresses(maps: Kernel['maps'], slot: number): string[] {
  const hosts = [...maps.ip_host.entries()].filter(([key]) => key.slot === slot);
  const prefixes = [...maps.ip_cidr.entries()].filter(([key]) => key.slot === slot);
  return [
    ...hosts.map(([key, id]) => `address ${hex(key.addr)}/128 ${id}`),
    ...prefixes.map(([key, id]) => `address ${hex(key.addr)}/${key.prefixlen - 8} ${id}`),
  ].sort();
}

/** Entries that no identity reads. */
export function countStale({ maps }: Kernel): number {
  const configs = new Map([...new IdentityWords(maps).entries()]);
  const ipSlots = new Set([maps.config.get(0)!.ip_slot, ...[...configs.values()].map((cfg) => cfg.ip_slot)]);
  const tables = new Set<number>();
  let stale = 0;
  for (const [key, value] of maps.policy_l3.entries()) {
    if (configs.get(key.local)?.slot === key.slot) tables.add(value.table);
    else stale++;
  }
  for (const key of maps.policy_l4.keys()) if (!tables.has(key.table)) stale++;
  for (const key of maps.ip_host.keys()) if (!ipSlots.has(key.slot)) stale++;
  for (const key of maps.ip_cidr.keys()) if (!ipSlots.has(key.slot)) stale++;
  return stale;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
