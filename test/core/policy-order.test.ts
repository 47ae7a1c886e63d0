/** In which order policies are, also when they come again. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Policy } from '../../src/core/policy.ts';
import { PolicyOrder } from '../../src/core/policy-order.ts';

const test = suite('core: policy order');
const policy = (kind: Policy['kind'], name: string, namespace?: string): Policy => ({
  kind,
  name,
  ...(namespace === undefined ? {} : { namespace }),
  rules: [],
});
const names = (policies: readonly Policy[]) =>
  policies.map(({ kind, namespace, name }) => [kind, namespace, name].join('/'));

test('by kind, then namespace, then name, code unit by code unit', () => {
  const given = [
    policy('netpol', 'a', 'a'),
    policy('cnp', 'b', 'ab'),
    policy('cnp', 'c', 'a'),
    policy('cnp', 'a-b', 'a'),
    policy('cnp', 'a', 'a'),
    policy('ccnp', 'z'),
  ];
  const expected = ['ccnp//z', 'cnp/a/a', 'cnp/a/a-b', 'cnp/a/c', 'cnp/ab/b', 'netpol/a/a'];
  assert.equal(names(new PolicyOrder().sorted(given)), expected);
});

test('one order asked again and again answers as a new one does', () => {
  const order = new PolicyOrder();
  const all = Array.from({ length: 40 }, (_, i) =>
    policy(i % 3 === 0 ? 'ccnp' : 'cnp', `p${(i * 7) % 40}`, i % 3 === 0 ? undefined : 'n'),
  );
  const rounds = [all, all.map((one) => ({ ...one })), all.slice(5), [...all].reverse(), all, [], all];
  for (const round of rounds) {
    const sorted = order.sorted(round);
    assert.equal(names(sorted), names(new PolicyOrder().sorted(round)));
    for (const one of sorted) assert.ok(round.includes(one), 'the objects of this call, not of one before');
  }
});

test.run();
