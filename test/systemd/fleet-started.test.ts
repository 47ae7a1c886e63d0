// @timeout 500
/** Rows 10 and 11 of docs/legacy-workloads.md: what pm2 starts of one node, and the Postfix that monit starts. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { app, cnp, only, port } from '../e2e/policies.ts';
import { type Finished, serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { serversTree } from './debian-tree.ts';
import { bootMachine, type Machine } from './machine.ts';
import { type Seen, seen, usersOf } from './seen.ts';

const test = suite('what others start');
const tree = serversTree();
let postern: Instance;
let machine: Machine;
let echo: ChildProcess;
let ask: Seen;

const row = (name: string, body: () => Promise<void>): void =>
  'missing' in tree ? skip(test, name, tree.missing) : void test(name, body);

/** Runs /srv/<script> as one of the two who are registered for it. */
const client = (user: 'admin' | 'oracle', script: string, ...words: string[]): Promise<Finished> =>
  machine.sh(`runuser -u ${user} -- python3 /srv/${script} ${words.join(' ')}`);

const MONIT = `set daemon 1
set logfile syslog
check process postfix with pidfile /var/spool/postfix/pid/master.pid
  start program = "/usr/sbin/postfix start"
`;
const POSTFIX = '/usr/lib/postfix/sbin';
const MAIN = [
  ...['inet_interfaces=127.0.0.1', 'inet_protocols=ipv4', 'myhostname=legacy.example', 'alias_maps='],
  ...[
    'smtpd_tls_security_level=none',
    'smtp_tls_security_level=none',
    'smtp_connect_timeout=2s',
    'smtp_helo_timeout=2s',
  ],
  ...['relayhost=[127.11.2.1]:7000', 'transport_maps=inline:{{other.example=smtp:[127.11.2.2]:7001}}'],
];
/** Hands a mail to the server, for who is named. */
const MAIL = `
import smtplib, sys
smtplib.SMTP('127.0.0.1', 25, timeout=10).sendmail('a@legacy.example', sys.argv[1], 'Subject: x\\n\\nx')
`;

const GET = `
import sys, urllib.request
print(urllib.request.urlopen(f'http://127.0.0.1:{sys.argv[1]}/{sys.argv[2]}', timeout=10).read().decode())
`;
/** Connects to its upstream at the port that is asked for, and answers how that went. */
const APP = `
const { createServer } = require('node:http');
const { connect } = require('node:net');
const { PORT, UPSTREAM } = process.env;
createServer((request, answer) => {
  const socket = connect(Number(request.url.slice(1)), UPSTREAM);
  socket.on('connect', () => answer.end('connected', () => socket.destroy()));
  socket.on('error', (error) => answer.end(error.code));
}).listen(Number(PORT), '127.0.0.1');
`;
const program = (name: string, at: number, more: Record<string, unknown>) => ({
  ...{ name, script: `/srv/${name}/app.js`, env: { PORT: at, UPSTREAM: `127.10.1.${at - 3000}` } },
  ...more,
});
/** In a cluster, arguments of the application are in no argv; those of node are. */
const PROGRAMS = [
  program('shop', 3010, { exec_mode: 'cluster', instances: 2, node_args: ['--title=shop'] }),
  program('batch', 3011, { exec_mode: 'fork' }),
  program('other', 3012, { exec_mode: 'fork' }),
];
const LATER = program('later', 3013, { exec_mode: 'fork' });
const PM2_UNIT = `[Service]
Type=forking
User=admin
Environment=HOME=/home/admin PM2_DISABLE_VERSION_CHECK=true
ExecStart=/usr/local/bin/pm2 start /srv/pm2.json
`;

if ('path' in tree) {
  test.before(
    told(async () => {
      postern = await startInstance();
      machine = await bootMachine(tree.path, postern);
      ask = seen(postern, machine);
      const register = (name: string, match: unknown) =>
        postern.workload(`shop/${name}`, { labels: { app: name }, match });
      await register('monit', { systemdUnit: 'monit.service' });
      await register('mta', { process: { exe: `${POSTFIX}/master`, user: 'root' } });
      const admin = await ask.uidOf('admin');
      const node = (more: Record<string, string[]>) => ({ process: { exe: '/usr/bin/node', user: admin, ...more } });
      await register('pm2', { systemdUnit: 'pm2.service' });
      // beside the unit, whose own registration would be ahead of a port alone
      await register('shop', [{ systemdUnit: 'pm2.service', listen: ['3010/tcp'] }, node({ args: ['--title=shop'] })]);
      await register('batch', node({ env: ['pm_exec_path=/srv/batch/app.js'] }));
      await register('never', { process: { script: '/srv/*/app.js', user: admin } });
      for (const user of ['admin', 'oracle'])
        await register(
          `${user}s`,
          await Promise.all(
            ['mail', 'get'].map(async (name) => ({
              process: { script: `/srv/${name}.py`, user: await ask.uidOf(user) },
            })),
          ),
        );
      await register('far', { cgroup: `${postern.cgroupPath}/echo` });
      const words = [process.execPath, join(import.meta.dirname, '../e2e/echo.mjs'), 'tcp:7000', 'tcp:7001'];
      echo = await serve(words, /ready/, { cgroup: postern.makeCgroup('echo'), netns: machine.netns });
      await machine.write('/srv/mail.py', MAIL);
      await machine.write('/srv/get.py', GET);
      for (const { name } of [...PROGRAMS, LATER]) await machine.write(`/srv/${name}/app.js`, APP);
      await machine.write('/srv/pm2.json', JSON.stringify({ apps: PROGRAMS }));
      await machine.write('/srv/later.json', JSON.stringify({ apps: [LATER] }));
      await machine.write('/etc/systemd/system/pm2.service', PM2_UNIT);
      await machine.write('/etc/monit/monitrc', MONIT, '0600');
      await machine.write('/etc/systemd/system/monit.service', '[Service]\nExecStart=/usr/bin/monit -I\n');
      await machine.must(`postconf -e ${MAIN.map((one) => `'${one}'`).join(' ')}
        systemctl daemon-reload
        systemctl start monit pm2`);
    }),
  );
  test.after(async () => {
    echo?.kill('SIGKILL');
    await machine?.halt();
    await postern?.destroy();
  });
}

row(
  '10: programs of one node and one user under pm2, by what is in their exec; the listener of a cluster by its port',
  async () => {
    for (const [at, workload] of [
      [3010, 'shop/shop'], // pm2 owns this listener, and hands what it accepts to its workers
      [3011, 'shop/batch'],
      [3012, undefined],
    ] as const) {
      assert.is(await ask.listener(at), workload, `${at}`);
      assert.is((await client('admin', 'get.py', `${at}`, '7000')).stdout, 'connected\n');
      assert.is((await ask.connected(`127.10.1.${at - 3000}`)).workload, workload);
    }
    const named = async (): Promise<string[]> =>
      (await postern.agent('/v1/endpoints?limit=500')).body.items
        .filter(({ cgroup }: any) => cgroup.endsWith('/pm2.service'))
        .map(({ workload }: any) => workload)
        .sort();
    // two workers, and pm2 itself, which listens for them
    const wanted = ['shop/batch', 'shop/shop', 'shop/shop', 'shop/shop'];
    await until('these are the endpoints', async () => `${await named()}` === `${wanted}`);
    const { code, stderr } = await machine.ssh('admin', 'pm2 start /srv/later.json');
    assert.is(code, 0, stderr);
    assert.is(await ask.listener(3013), undefined, 'pm2 hands on neither its unit nor its port');
  },
);

row('10: policy of one program holds for every worker, also after somebody reloads it, and for no other', async () => {
  await only(
    postern,
    cnp('shop', {
      ingress: [{ fromEndpoints: [app('admins')], toPorts: [port(3010)] }],
      egress: [{ toEndpoints: [app('far')], toPorts: [port(7000)] }],
    }),
  );
  const workers = async () => (await machine.must('cat /home/admin/.pm2/pids/shop-*.pid')).split(/\s+/).join(' ');
  const holds = async () => {
    assert.match((await client('oracle', 'get.py', '3010', '7000')).stderr, /Operation not permitted/);
    for (const _ of [1, 2, 3, 4]) {
      assert.is((await client('admin', 'get.py', '3010', '7000')).stdout, 'connected\n');
      assert.is((await client('admin', 'get.py', '3010', '7001')).stdout, 'EPERM\n');
    }
  };
  await holds();
  for (const at of ['3011', '3012'])
    assert.is((await client('oracle', 'get.py', at, '7001')).stdout, 'connected\n', at);
  const before = await workers();
  const { code, stderr } = await machine.ssh('admin', 'pm2 reload shop');
  assert.is(code, 0, stderr);
  assert.is.not(await workers(), before);
  await holds();
});

row('11: Postfix has a name of its own in the unit of the monit that started it, with all its programs', async () => {
  assert.is(await ask.listener(25), 'shop/mta');
  const sent = await client('admin', 'mail.py', 'x@some.example');
  assert.is(sent.code, 0, sent.stderr);
  const source = await ask.connected('127.11.2.1');
  assert.equal([source.workload, source.process.exe], ['shop/mta', `${POSTFIX}/smtp`]);
  const mta = await ask.endpointOf('shop/mta');
  assert.match(mta.cgroup, /monit\.service$/);
  assert.equal(usersOf(mta), [await ask.nameHere('postfix'), 'root'].sort());
  const programs = mta.processes.map(({ exe }: any) => exe);
  for (const one of ['master', 'qmgr', 'smtpd', 'cleanup', 'smtp'])
    assert.ok(programs.includes(`${POSTFIX}/${one}`), `${one} of ${programs}`);
  const monit = (await ask.endpointOf('shop/monit')).processes.map(({ exe }: any) => exe);
  assert.equal(monit, ['/usr/bin/monit']);
});

row('11: policy tells who may hand it mail and where it goes, also when monit has started it again', async () => {
  await only(
    postern,
    cnp('mta', {
      ingress: [{ fromEndpoints: [app('admins')], toPorts: [port(25)] }],
      egress: [{ toEndpoints: [app('far')], toPorts: [port(7000)] }],
    }),
  );
  const holds = async (to: string) => {
    assert.match((await client('oracle', 'mail.py', `x@${to}`)).stderr, /Operation not permitted/);
    const { code, stderr } = await client('admin', 'mail.py', `x@${to}`);
    assert.is(code, 0, stderr);
  };
  await holds('other.example');
  const refused = '127.11.2.2[127.11.2.2]:7001: Operation not permitted';
  await until('it says why the mail is still there', async () => (await machine.must('mailq')).includes(refused));

  const { pid } = await ask.connected('127.11.2.1').then(({ process }) => process);
  const pidFile = '/var/spool/postfix/pid/master.pid';
  const master = await machine.must(`cat ${pidFile}`);
  await machine.must(`kill ${master}`);
  await until('monit has started another one', async () => {
    const { code, stdout } = await machine.sh(`postfix status && cat ${pidFile}`);
    return code === 0 && stdout !== master;
  });
  await holds('some.example');
  const again = await ask.connected('127.11.2.1', ({ process }) => process.pid !== pid);
  assert.is(again.workload, 'shop/mta');
});

test.run();
