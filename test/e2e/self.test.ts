/** Postern and the workloads that it binds: they cannot rewrite their policy, and no policy cuts Postern off. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { cnp, only } from './policies.ts';
import { run } from './run-in.ts';
import { told } from './wait.ts';

const test = suite('Postern itself');
let postern: Instance;

test.before(
  told(async () => {
    postern = await startInstance({ inside: true });
    await postern.workload('shop/bound', { labels: { app: 'bound' }, match: { systemdUnit: 'bound.service' } });
  }),
);

test.after(() => postern?.destroy());

const curl = (args: readonly string[], options = {}) =>
  run(['curl', '-sS', '-w', '\n%{http_code}', ...args], { limitMs: 10_000, ...options });
const status = (output: string): string => output.trim().split('\n').at(-1)!;

test('a registered workload gets nothing over loopback, also as root', async () => {
  const { stdout } = await curl([`${postern.url}/v1/workloads`], { cgroup: postern.makeCgroup('bound.service') });
  assert.is(status(stdout), '403');
  assert.match(stdout, /workload/);
});

test('nor over the unix socket', async () => {
  const { stdout } = await curl(['--unix-socket', `${postern.runDir}/server.sock`, 'http://localhost/v1/workloads'], {
    cgroup: postern.makeCgroup('bound.service'),
  });
  assert.is(status(stdout), '403');
});

test('root in a shell that is no workload reads and writes', async () => {
  const { stdout } = await curl([`${postern.url}/v1/workloads`], { cgroup: postern.makeCgroup('shell') });
  assert.is(status(stdout), '200');
});

test('another user over loopback reads, and his write is refused with the way to do it', async () => {
  const options = { cgroup: postern.makeCgroup('shell'), uid: 65534 };
  assert.is(status((await curl([`${postern.url}/v1/workloads`], options)).stdout), '200');
  const refused = await curl(['-X', 'DELETE', `${postern.url}/v1/workloads/shop/bound`], options);
  assert.is(status(refused.stdout), '403');
  assert.match(refused.stdout, /server\.sock/);
});

test('registering and denying everything to the cgroup of Postern leaves Postern reachable', async () => {
  await postern.workload('shop/self', {
    labels: { app: 'self' },
    match: { cgroup: `${postern.cgroupPath}/postern` },
  });
  await only(postern, cnp('self', { ingress: [{}], egress: [{}] }));
  const { stdout } = await curl([`${postern.url}/healthz`], { cgroup: postern.makeCgroup('shell') });
  assert.is(status(stdout), '200');
});

test.run();
