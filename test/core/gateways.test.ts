import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_GATEWAYS, editGateways, gatewayOf } from '../../src/core/gateways.ts';

const test = suite('the list of gateways');

test('an operator adds, changes and takes away, and the rest stays', () => {
  const { gateways, bad } = editGateways(['/opt/launch', 'jobs:/opt/jobs', '-/usr/sbin/cron', 'jobs:/usr/bin/sudo']);
  assert.equal(bad, []);
  assert.equal(gateways.get('/opt/launch'), { path: '/opt/launch', startsJobs: false });
  assert.equal(gateways.get('/opt/jobs'), { path: '/opt/jobs', startsJobs: true });
  assert.is(gateways.has('/usr/sbin/cron'), false);
  assert.is(gateways.get('/usr/bin/sudo')?.startsJobs, true);
  assert.is(gateways.size, DEFAULT_GATEWAYS.size + 1);
  assert.is(DEFAULT_GATEWAYS.has('/usr/sbin/cron'), true, 'the default is as it was');
});

for (const word of ['cron', '/', '+/a', 'jobs:a', '/a//b', '/a/../b', '/a/'])
  test(`"${word}" is no change of the list`, () => assert.equal(editGateways([word]).bad, [word]));

test('the script of an interpreter makes a gateway of it, and says more than the interpreter', () => {
  assert.is(gatewayOf(DEFAULT_GATEWAYS, { exe: '/usr/bin/python3.11' }), undefined);
  assert.is(
    gatewayOf(DEFAULT_GATEWAYS, { exe: '/usr/bin/python3.11', script: '/usr/bin/supervisord' })?.startsJobs,
    true,
  );
  assert.is(gatewayOf(DEFAULT_GATEWAYS, { exe: '/usr/bin/sudo', script: '/opt/x' })?.startsJobs, false);
});

test.run();
