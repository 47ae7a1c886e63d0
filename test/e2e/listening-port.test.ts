/** A port named `listening` in a policy is whatever the workload listens on, as it listens. */
import type { ChildProcess } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { cnp } from './policies.ts';
import { run, serve } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('listening as a port');
let postern: Instance;
const running: ChildProcess[] = [];

const SERVER = `
const { createServer } = require('node:net');
const open = (port) => createServer((socket) => socket.end('hello\\n')).listen(port, '127.0.0.1', () => console.log('open', port));
for (const port of process.argv.slice(1)) open(port);
process.stdin.on('data', (text) => open(Number(text)));
`;

test.before(
  told(async () => {
    postern = await startInstance();
  }),
);
test.after(async () => {
  for (const child of running) child.kill('SIGKILL');
  await postern?.destroy();
});

const ask = (port: number) =>
  run(['bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${port} && head -n 1 <&3`], { cgroup: postern.makeCgroup('client') });

test('what listened before and what listens later are allowed; another port of the same rule is not', async () => {
  const [first, second] = [await freePort(), await freePort()];
  const server = await serve([process.execPath, '-e', SERVER, String(first)], /open/, {
    cgroup: postern.makeCgroup('jmx'),
  });
  running.push(server);
  await postern.workload('shop/client', {
    labels: { app: 'client' },
    match: { cgroup: `${postern.cgroupPath}/client` },
  });
  await postern.workload('shop/jmx', {
    labels: { app: 'jmx' },
    match: { cgroup: `${postern.cgroupPath}/jmx` },
    ports: { rmi: 'listening', other: '1/tcp' },
  });
  const rule = (port: string) => ({
    fromEndpoints: [{ matchLabels: { app: 'client' } }],
    toPorts: [{ ports: [{ port }] }],
  });
  await postern.apply(cnp('jmx', { ingress: [rule('other')] }));
  assert.not.equal((await ask(first)).code, 0, 'no rule allows it');
  await postern.apply(cnp('jmx', { ingress: [rule('rmi')] }));
  assert.is((await ask(first)).stdout, 'hello\n');
  server.stdin!.write(`${second}\n`);
  await until('the second port is open, and allowed', async () => (await ask(second)).stdout === 'hello\n');
  const { body } = await postern.api('GET', '/v1/workloads/shop/jmx');
  assert.equal(body.ports, { rmi: 'listening', other: '1/TCP' });
  const question = { from: { workload: 'shop/client' }, to: { workload: 'shop/jmx' }, port: second, protocol: 'TCP' };
  await until('the control plane knows it too', async () => {
    const answer = await postern.api('POST', '/v1/access:check', question);
    return answer.body.verdict === 'FORWARDED';
  });
});

test.run();
