import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  canonicalLabels,
  formatLabel,
  labelKeyProblem,
  labelValueProblem,
  parseLabel,
  toLabel,
  workloadLabels,
} from '../../src/core/label.ts';

const part = fc.stringMatching(/^[a-z0-9]([-a-z0-9_.]{0,10}[a-z0-9])?$/);

test('a label that is formatted and read again is the same label', () => {
  const label = fc.record({
    source: fc.constantFrom('user', 'k8s', 'reserved', 'container'),
    key: part,
    value: fc.oneof(part, fc.constant('')),
  });
  fc.assert(fc.property(label, (l) => assert.equal(toLabel(formatLabel(l)), { ...l })));
});

test('only the first colon and the first equals sign separate', () => {
  assert.equal(toLabel('cidr:2001:db8::/32'), { source: 'cidr', key: '2001:db8::/32', value: '' });
  assert.equal(toLabel('user:a=b=c:d'), { source: 'user', key: 'a', value: 'b=c:d' });
  assert.equal(toLabel('a=k8s:b', 'any'), { source: 'any', key: 'a', value: 'k8s:b' });
});

test('canonical labels are sorted, without duplicates, and an empty value has no equals sign', () => {
  assert.equal(canonicalLabels(['user:b=', 'user:a=1', 'k8s:z=1', 'user:a=1']), ['k8s:z=1', 'user:a=1', 'user:b']);
});

test('a workload has its labels, its namespace and its cluster', () => {
  assert.equal(workloadLabels('shop', { tier: 'db', app: 'orders' }), [
    'k8s:io.cilium.k8s.policy.cluster=default',
    'k8s:io.kubernetes.pod.namespace=shop',
    'user:app=orders',
    'user:tier=db',
  ]);
});

for (const key of ['app', 'app.kubernetes.io/name', 'A_b.c-9', 'x'.repeat(63), 'io.kubernetes.pod.namespace']) {
  test(`key "${key.slice(0, 40)}" is valid`, () => assert.is(labelKeyProblem(key), undefined));
}
for (const key of ['', '-a', 'a-', 'a b', 'ä', 'x'.repeat(64), '/a', 'a/', 'A.B/c', 'a/b/c', 'a..b/c']) {
  test(`key "${key.slice(0, 40)}" is refused`, () => assert.type(labelKeyProblem(key), 'string'));
}
for (const value of ['', 'a', 'A_b.c-9', 'x'.repeat(63)]) {
  test(`value "${value.slice(0, 40)}" is valid`, () => assert.is(labelValueProblem(value), undefined));
}
for (const value of ['-a', 'a-', 'a b', 'a/b', 'x'.repeat(64)]) {
  test(`value "${value.slice(0, 40)}" is refused`, () => assert.type(labelValueProblem(value), 'string'));
}

test('a label that a person wrote is refused with its text', () => {
  assert.equal(parseLabel('app=web'), { ok: true, value: { source: 'user', key: 'app', value: 'web' } });
  const refused = parseLabel('app=a b');
  assert.ok(!refused.ok);
  assert.is(refused.errors[0]!.value, 'app=a b');
});

test.run();
