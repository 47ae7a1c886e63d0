import type { Policy } from './policy-rule.ts';

/** Policies by kind, namespace, name, code unit by code unit. The same names in the same places again are not sorted again. */
export class PolicyOrder {
  #names: readonly string[] = [];
  #places: readonly number[] = [];

  sorted(policies: readonly Policy[]): Policy[] {
    const names = policies.map(sortName);
    const isKnown = names.length === this.#names.length && names.every((name, i) => name === this.#names[i]);
    if (!isKnown) {
      this.#names = names;
      this.#places = names.map((_, i) => i).sort((a, b) => compareText(names[a]!, names[b]!));
    }
    return this.#places.map((place) => policies[place]!);
  }
}

const known = new WeakMap<Policy, string>();

/** No part has a NUL. */
function sortName(policy: Policy): string {
  let name = known.get(policy);
  if (name === undefined) {
    name = `${policy.kind}\0${policy.namespace ?? ''}\0${policy.name}`;
    known.set(policy, name);
  }
  return name;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
