import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** A network namespace `pt-…` of its own with loopback up; ends with `delete`, which is safe to call twice. */
export interface Netns {
  readonly name: string;
  readonly path: string;
  ip(words: string): void;
  delete(): void;
}

export function createNetns(name: string): Netns {
  const ip = (words: string): void => {
    execFileSync('ip', words.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  const netns: Netns = {
    name,
    path: `/run/netns/${name}`,
    ip: (words) => ip(`-n ${name} ${words}`),
    delete: () => {
      if (existsSync(netns.path)) ip(`netns del ${name}`);
    },
  };
  ip(`netns add ${name}`);
  netns.ip('link set lo up');
  return netns;
}

/** Joins two namespaces by a veth pair; each end gets its addresses ("192.0.2.1/24"). */
export function joinNetns(a: Netns, aAddresses: readonly string[], b: Netns, bAddresses: readonly string[]): void {
  a.ip(`link add pt0 type veth peer name pt0 netns ${b.name}`);
  for (const [end, addresses] of [
    [a, aAddresses],
    [b, bAddresses],
  ] as const) {
    for (const address of addresses) end.ip(`addr add ${address} dev pt0${address.includes(':') ? ' nodad' : ''}`);
    end.ip('link set pt0 up');
  }
}
