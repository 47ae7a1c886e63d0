import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import * as v from 'valibot';
import { check, object, oneOf, pointer } from '../../src/api/check.ts';
import { HostReport } from '../../src/api/host.ts';
import { Labels, Port } from '../../src/api/name.ts';
import { WorkloadBody } from '../../src/api/workload.ts';

const test = suite('check');
const Schema = object(
  { name: v.string(), mode: v.optional(oneOf(['on', 'off'], ['auto'])), 'a/b~': v.optional(v.number()) },
  ['later'],
);

function errors(value: unknown, schema: Parameters<typeof check>[0] = Schema) {
  const result = check(schema, value);
  return result.ok ? [] : result.errors.map(({ path, message }) => `${path}: ${message}`);
}

test('every error names its field and says what is wrong in words', () => {
  assert.equal(errors({}), ['/name: is required']);
  assert.equal(errors({ name: 5 }), ['/name: must be string, is a number']);
  assert.equal(errors({ name: 'a', nmae: 'b' }), ['/nmae: unknown field "nmae", did you mean "name"?']);
  assert.equal(errors({ name: 'a', mode: 'onn' }), ['/mode: must be one of on, off; did you mean "on"?']);
  assert.equal(errors({ name: 'a', 'a/b~': 'x' }), ['/a~1b~0: must be number, is a string']);
  assert.equal(errors([]), [': must be an object, is an array']);
  const Small = object({ n: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(9)) });
  assert.equal(errors({ n: 10 }, Small), ['/n: must be at most 9']);
  assert.equal(errors({ n: 0 }, Small), ['/n: must be at least 1']);
  assert.equal(errors({ n: 1.5 }, Small), ['/n: must be a whole number']);
  assert.equal(errors(null), [': must be an object, is null']);
});

test('what is to come is 422 and named; together with a mistake it is 400', () => {
  const later = check(Schema, { name: 'a', later: 1 });
  assert.ok(!later.ok && later.status === 422);
  assert.is(later.errors[0]!.message, 'later is not supported yet');
  const word = check(Schema, { name: 'a', mode: 'auto' });
  assert.ok(!word.ok && word.status === 422);
  const both = check(Schema, { later: 1 });
  assert.ok(!both.ok && both.status === 400);
});

test('a long value is not sent back whole', () => {
  const result = check(Schema, { name: ['x'.repeat(10_000)] });
  assert.ok(!result.ok && JSON.stringify(result.errors).length < 500);
});

test('ports are taken in any case and given in one', () => {
  assert.equal(check(Port, '8080/tcp'), { ok: true, value: '8080/TCP' });
  for (const port of ['0/tcp', '65536/tcp', '80', '80/icmp', 'http/tcp', '80/tcp '])
    assert.not(check(Port, port).ok, port);
});

test('labels are those of Kubernetes', () => {
  assert.ok(check(Labels, { app: 'a', 'example.org/x_y': '', A: 'Z-9.x' }).ok);
  for (const labels of [{ '': 'a' }, { a: '-' }, { 'a/b/c': 'x' }, { 'Example.org/x': 'x' }, { a: 'x'.repeat(64) }]) {
    assert.not(check(Labels, labels).ok, JSON.stringify(labels));
  }
});

test('a match is one clause or a list', () => {
  const body = { labels: {}, match: { cgroup: '/a' } };
  const one = check(WorkloadBody, body);
  assert.ok(one.ok);
  assert.equal(one.value.match, [{ cgroup: '/a' }]);
  assert.equal(errors({ labels: {}, match: [{ cgroup: '/a' }, { exe: 'x' }] }, WorkloadBody).length > 0, true);
});

test('an empty report is one', () => {
  const report = {
    state: 'ready',
    appliedRevision: 0,
    degraded: [],
    agentVersion: '0',
    kernel: '6.1',
    features: {},
    addresses: [],
    maps: [],
    counters: {},
    endpoints: [],
    discover: [],
  };
  assert.ok(check(HostReport, report).ok);
});

test('a pointer escapes as RFC 6901 says', () => {
  assert.is(pointer(['a/b', 'c~d', 0]), '/a~1b/c~0d/0');
});

test.run();
