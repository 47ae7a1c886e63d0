// @timeout 500
/** Programs of the table of docs/legacy-workloads.md, the real ones of Debian by their own units; the numbers are its rows. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { fleetTree } from './debian-tree.ts';
import { ACTIVE_FTP, files, java, tomcatEnv } from './fleet-config.ts';
import { bootMachine, type Machine } from './machine.ts';
import { type Seen, seen, usersOf } from './seen.ts';

const test = suite('programs of a fleet');
const tree = fleetTree();
let postern: Instance;
let machine: Machine;
let echo: ChildProcess;
let arch: string;
let ask: Seen;

const row = (name: string, body: () => Promise<void>): void =>
  'missing' in tree ? skip(test, name, tree.missing) : void test(name, body);
const unit = (name: string) => ({ systemdUnit: `${name}.service` });
const registrations = async (): Promise<Record<string, unknown>> => {
  const user = await ask.uidOf('tomcat');
  const tc = (name: string) => ({ process: { exe: java(arch), user, args: [`-Dcatalina.base=/srv/${name}`] } });
  return {
    ...{ tc1: tc('tc1'), tc2: tc('tc2'), fat: unit('fat') },
    ...{ www: unit('apache2'), never: { process: { exe: '/usr/sbin/apache2', user: 'www-data' } } },
    ...{ lb: unit('haproxy'), vrrp: unit('keepalived'), ftp: unit('vsftpd'), inetd: { listen: ['7717/tcp'] } },
    monit: unit('monit'),
    mta: { process: { exe: '/usr/bin/bash', user: 'root', args: ['/srv/daemon', '--mta'] } },
    ...{ nfs: { listen: ['2049/tcp'] }, statd: { listen: ['32765/tcp'] }, rpcbind: unit('rpcbind') },
  };
};

if ('path' in tree) {
  test.before(
    told(async () => {
      postern = await startInstance();
      machine = await bootMachine(tree.path, postern);
      ask = seen(postern, machine);
      arch = (await machine.must('dpkg --print-architecture')).trim();
      for (const [path, text, mode] of files(arch)) await machine.write(path, text, mode);
      for (const [name, match] of Object.entries(await registrations()))
        await postern.workload(`shop/${name}`, { labels: { app: name }, match });
      const words = [process.execPath, join(import.meta.dirname, '../e2e/echo.mjs'), 'tcp:7000'];
      echo = await serve(words, /ready/, { cgroup: postern.makeCgroup('echo'), netns: machine.netns });
      await machine.must(`
        a2dismod -q mpm_event && a2enmod -q mpm_prefork proxy proxy_http
        for name in tc1 tc2 tc10; do
          mkdir -p /srv/$name/{logs,temp,webapps,work} && cp /etc/tomcat10/web.xml /srv/$name/conf
          chown -R tomcat: /srv/$name
        done
        mkdir -p /srv/ftp
        ip link add vr type bridge && ip addr add 192.0.2.1/24 dev vr && ip link set vr up
        systemctl daemon-reload
        systemctl start --no-block tc1 tc2 fat
        systemctl start apache2 haproxy keepalived vsftpd xinetd monit rpcbind rpc-statd nfs-ganesha`);
    }),
  );
  test.after(async () => {
    echo?.kill('SIGKILL');
    await machine?.halt();
    await postern?.destroy();
  });
}

row(
  '1: two Tomcats of one java and one user, and a third; one that is restarted by hand over ssh stays who it is',
  async () => {
    for (const [directory, port, workload] of [
      ['127.1.1.1', 7701, 'shop/tc1'],
      ['127.1.2.1', 7702, 'shop/tc2'],
      ['127.1.10.1', 7710, 'shop/fat'],
    ] as const) {
      const source = await ask.connected(directory);
      assert.equal([source.workload, source.process.exe], [workload, java(arch)]);
      assert.is(await ask.listener(port), workload);
    }
    const { pid } = (await ask.connected('127.1.1.1')).process;
    const environment = tomcatEnv('/srv/tc1', arch).map((one) => `"${one}"`);
    const start = `env ${environment.join(' ')} runuser -u tomcat -- /usr/share/tomcat10/bin/catalina.sh start`;
    const { code, stderr } = await machine.ssh('root', `systemctl stop tc1 && ${start} > /dev/null < /dev/null`);
    assert.is(code, 0, stderr);
    const again = await ask.connected('127.1.1.1', (source) => source.process.pid !== pid);
    assert.is(again.workload, 'shop/tc1');
    assert.match(again.process.unit, /^session-\d+\.scope$/);
  },
);

row('22: whatever ports a Java with JMX listens on, they are its unit', async () => {
  await ask.listener(7710);
  const { listening } = await ask.endpointOf('shop/fat');
  const ports = listening.map((one: any) => one.port);
  assert.ok(ports.length > 1, `${ports}`);
  for (const port of ports) assert.is(await ask.listener(port), 'shop/fat', `${port}`);
});

row('5: Apache is its unit: the root master that listens, and the workers of another user that connect', async () => {
  assert.is(await ask.listener(7705), 'shop/www');
  await machine.must("exec 3<>/dev/tcp/127.0.0.1/7705 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3");
  const source = await ask.connected('127.5.1.1');
  assert.equal([source.workload, source.process.user], ['shop/www', 'www-data']);
  assert.equal(usersOf(await ask.endpointOf('shop/www')), ['root', 'www-data']);
});

row('6: HAProxy hands its listeners to a new worker on reload', async () => {
  assert.is(await ask.listener(7706), 'shop/lb');
  const before = await ask.connected('127.6.1.1');
  await machine.must('systemctl reload haproxy');
  await until('a new worker answers', async () => {
    await machine.must('exec 3<>/dev/tcp/127.0.0.1/7706');
    const { items } = (await postern.api('GET', '/v1/flows?event=connect&port=7000&limit=500')).body;
    const workers = items
      .filter(({ destination }: any) => destination.ip === '127.6.1.1')
      .map(({ source }: any) => source);
    for (const { workload } of workers) assert.is(workload, 'shop/lb');
    return workers.some(({ process }: any) => process.pid !== before.process.pid);
  });
});

row('7: keepalived has its name, and becomes master over a raw socket', async () => {
  await until('it has the address', async () => (await machine.must('ip -o addr show vr')).includes('192.0.2.100'));
  const { processes } = await ask.endpointOf('shop/vrrp');
  assert.is(processes[0].exe, '/usr/sbin/keepalived');
});

row('11: what monit starts is not monit', async () => {
  assert.is((await ask.connected('127.11.1.1')).workload, 'shop/mta');
  assert.is((await ask.connected('127.11.1.2')).workload, undefined);
  // what it forks is itself until it executes something
  await until('it alone has its name', async () =>
    (await ask.endpointOf('shop/monit')).processes.every(({ exe }: any) => exe === '/usr/bin/monit'),
  );
});

row(
  '14: an NFS server in user space, its lock daemon and rpcbind, by pinned ports and by the socket unit',
  async () => {
    assert.is(await ask.listener(2049), 'shop/nfs');
    assert.is(await ask.listener(32765), 'shop/statd');
    assert.is(await ask.listener(111), 'shop/rpcbind');
    assert.is((await ask.endpointOf('shop/nfs')).processes[0].exe, '/usr/bin/ganesha.nfsd');
  },
);

row('16: vsftpd in active mode connects to the client as its unit', async () => {
  assert.is(await ask.listener(21), 'shop/ftp');
  await machine.write('/srv/ftp.py', ACTIVE_FTP);
  await machine.must('timeout 10 python3 /srv/ftp.py');
  assert.is((await ask.connected('127.16.1.1')).workload, 'shop/ftp');
});

row('17: a service of xinetd is its port; what it starts is not xinetd', async () => {
  assert.is(await ask.listener(7717), 'shop/inetd');
  assert.is((await ask.connected('127.17.1.1')).workload, undefined);
});

test.run();
