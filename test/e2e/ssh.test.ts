/** Never locked out: sshd registered as a workload, and everything denied to it. */
import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { RESERVED } from '../../src/core/identity.ts';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { cnp, only } from './policies.ts';
import { run, serve, start } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('never locked out');
const SSHD = '192.0.2.1';
let postern: Instance;
let folder: string;
let inside: Netns;
let outside: Netns;
const children: ChildProcess[] = [];

const sshWords = (command: string) => [
  'ssh',
  ...['-F', 'none', '-i', join(folder, 'user'), '-p', '2222'],
  ...['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'BatchMode=yes', 'LogLevel=ERROR'].flatMap((o) => [
    '-o',
    o,
  ]),
  `root@${SSHD}`,
  command,
];
const login = () => run(sshWords('echo in'), { netns: outside.path, limitMs: 15_000 });

test.before(
  told(async () => {
    postern = await startInstance();
    inside = createNetns(`pt-${postern.name}-in`);
    outside = createNetns(`pt-${postern.name}-out`);
    joinNetns(inside, ['192.0.2.1/24'], outside, ['192.0.2.2/24']);
    folder = mkdtempSync(join(tmpdir(), 'postern-test-ssh-'));
    for (const key of ['host', 'user'])
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, key)]);
    copyFileSync(join(folder, 'user.pub'), join(folder, 'authorized'));
    chmodSync(join(folder, 'authorized'), 0o600);
    mkdirSync('/run/sshd', { recursive: true });
    const lines = [
      'Port 2222',
      `HostKey ${join(folder, 'host')}`,
      `AuthorizedKeysFile ${join(folder, 'authorized')}`,
      `PidFile ${join(folder, 'pid')}`,
      'PermitRootLogin prohibit-password',
      'StrictModes no',
      'UsePAM no',
      'UseDNS no',
    ];
    writeFileSync(join(folder, 'config'), `${lines.join('\n')}\n`);
    await postern.workload('shop/ssh', { labels: { app: 'ssh' }, match: { systemdUnit: 'ssh.service' } });
    const place = { cgroup: postern.makeCgroup('ssh.service'), netns: inside.path };
    const words = ['/usr/sbin/sshd', '-D', '-e', '-f', join(folder, 'config')];
    children.push(await serve(words, /Server listening/, place));
    const echo = [process.execPath, join(import.meta.dirname, 'echo.mjs'), 'tcp:7001'];
    children.push(await serve(echo, /ready/, place));
  }),
);

test.after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await postern?.destroy();
  inside?.delete();
  outside?.delete();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

test('ssh registered as a workload and denied everything: the open session goes on, a new login works, another port does not', async () => {
  const first = await login();
  assert.is(first.stdout, 'in\n', first.stderr);
  assert.is(await askTcp(SSHD, 7001, { netns: outside.path }), 'echo');
  const session = start(sshWords('cat'), { netns: outside.path });
  children.push(session);
  let said = '';
  session.stdout!.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  session.stdin!.write('before\n');
  await until('the session answers', () => said === 'before\n');

  const nobody = { matchLabels: { app: 'nobody' } };
  await only(
    postern,
    cnp('ssh', {
      ingress: [{ fromEndpoints: [nobody] }],
      egress: [{ toEndpoints: [nobody] }],
      ingressDeny: [{ fromEntities: ['all'] }],
      egressDeny: [{ toEntities: ['all'] }],
    }),
  );
  session.stdin!.write('after\n');
  await until('the session still answers', () => said === 'before\nafter\n');
  const second = await login();
  assert.is(second.stdout, 'in\n', second.stderr);
  assert.is(await askTcp(SSHD, 7001, { netns: outside.path, limitMs: 1_000 }), 'silence');
  const flow = await postern.flow('verdict=DROPPED&port=7001', () => true);
  assert.is(flow.direction, 'INGRESS');
  assert.is(flow.destination.workload, 'shop/ssh');
});

test('what a login runs is not sshd: neither denied by its policy nor ahead of any', async () => {
  const answer = await run(sshWords('exec 3<>/dev/tcp/192.0.2.2/9'), { netns: outside.path, limitMs: 15_000 });
  assert.match(answer.stderr, /refused/);
  const flow = await postern.flow('port=9', () => true);
  assert.is(flow.source.workload, undefined);
  assert.is(flow.source.identity, RESERVED.host);
});

test('after a restart of the agent the session is still open and a login still works', async () => {
  await postern.stop('SIGKILL');
  await postern.start();
  const { stdout, stderr } = await login();
  assert.is(stdout, 'in\n', stderr);
});

test.run();
