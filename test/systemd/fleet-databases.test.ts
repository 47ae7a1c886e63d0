// @timeout 500
/** Rows 3 and 4 of docs/legacy-workloads.md by Debian's PostgreSQL and MariaDB: two instances of one executable and one user each. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { app, cnp, only, port } from '../e2e/policies.ts';
import { serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { serversTree } from './debian-tree.ts';
import { bootMachine, type Machine } from './machine.ts';
import { type Seen, seen, usersOf } from './seen.ts';

const test = suite('databases of a fleet');
const tree = serversTree();
let postern: Instance;
let machine: Machine;
let echo: ChildProcess;
let ask: Seen;

const row = (name: string, body: () => Promise<void>): void =>
  'missing' in tree ? skip(test, name, tree.missing) : void test(name, body);

const BIN = '/usr/lib/postgresql/15/bin';
/** By the unit, and by the argument that no other cluster has. */
const cluster = (name: string, user: string) => [
  { systemdUnit: `postgresql@15-${name}.service` },
  { process: { exe: `${BIN}/postgres`, user, args: [`config_file=/etc/postgresql/15/${name}/postgresql.conf`] } },
];
const psql = (user: string, at: number, sql: string) =>
  machine.sh(`cd / && runuser -u ${user} -- psql -h 127.0.0.1 -p ${at} -U postgres -Atc "${sql}" postgres`);

/** A standby of `main`, as pg_basebackup makes it. */
const SETUP_POSTGRES = `
set -e
cd /etc/postgresql/15
printf '%s\\n' 'local all all trust' 'host all,replication all 127.0.0.0/8 trust' > main/pg_hba.conf
cp -a main standby
sed -i -e 's:15/main:15/standby:; s:15-main:15-standby:; s:^port = 5432:port = 5433:' standby/postgresql.conf
systemctl start postgresql@15-main
cd /
runuser -u postgres -- pg_basebackup -h 127.0.0.1 -c fast -R -D /var/lib/postgresql/15/standby
systemctl start postgresql@15-standby`;

/** Two servers as mysqld_multi starts them; it makes their folders itself. */
const server = (at: number) => `[mysqld${at}]
user=mysql
datadir=/var/lib/my-${at}
socket=/run/mysqld/${at}.sock
pid-file=/run/mysqld/${at}.pid
port=330${at}
server-id=${at}
bind-address=127.0.0.1
`;
const MULTI = `[mariadbd]
innodb_log_file_size=4M
innodb_buffer_pool_size=8M
[mysqld_multi]
mysqld=/usr/sbin/mysqld
log=/tmp/multi.log
${server(1)}${server(2)}`;
const MULTI_UNIT = '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/mysqld_multi start\n';
const SETUP_MARIADB = 'install -d -o mysql /run/mysqld && systemctl daemon-reload && systemctl start mysqld_multi';
const sql = (user: string, at: number, text: string) =>
  machine.sh(`runuser -u ${user} -- mariadb -h 127.0.0.1 -P 330${at} -u fleet -Ne "${text}"`);

if ('path' in tree) {
  test.before(
    told(async () => {
      postern = await startInstance();
      machine = await bootMachine(tree.path, postern);
      ask = seen(postern, machine);
      const register = (name: string, match: unknown) =>
        postern.workload(`shop/${name}`, { labels: { app: name }, match });
      const postgres = await ask.uidOf('postgres');
      for (const name of ['main', 'standby']) await register(`pg-${name}`, cluster(name, postgres));
      for (const user of ['admin', 'oracle'])
        await register(
          `${user}s`,
          await Promise.all(
            [`${BIN}/psql`, '/usr/bin/mariadb'].map(async (exe) => ({ process: { exe, user: await ask.uidOf(user) } })),
          ),
        );
      // mysqld_multi is root, and so is what it executes: the server takes its user later
      const multi = (at: number) => ({
        process: { exe: '/usr/sbin/mariadbd', user: 'root', args: [`--defaults-group-suffix=${at}`] },
      });
      for (const at of [1, 2]) await register(`my-${at}`, multi(at));
      await register('never', { process: { exe: '/usr/sbin/mariadbd', user: await ask.uidOf('mysql') } });
      await register('far', { cgroup: `${postern.cgroupPath}/echo` });
      const words = [process.execPath, join(import.meta.dirname, '../e2e/echo.mjs'), 'tcp:7000', 'tcp:7001'];
      echo = await serve(words, /ready/, { cgroup: postern.makeCgroup('echo'), netns: machine.netns });
      await machine.write('/etc/mysql/conf.d/multi.cnf', MULTI);
      await machine.write('/etc/systemd/system/mysqld_multi.service', MULTI_UNIT);
      await machine.must(SETUP_MARIADB);
      await machine.must(SETUP_POSTGRES);
    }),
  );
  test.after(async () => {
    echo?.kill('SIGKILL');
    await machine?.halt();
    await postern?.destroy();
  });
}

/** Who streams from the primary. */
const standby = (also: (source: any) => boolean = () => true) =>
  postern.flow('event=connect&port=5432', ({ source }) => source.workload === 'shop/pg-standby' && also(source));

row('3: two clusters of one postgres and one user, with all their processes', async () => {
  assert.is(await ask.listener(5432), 'shop/pg-main');
  assert.is(await ask.listener(5433), 'shop/pg-standby');
  const { source, destination } = await standby();
  const user = await ask.nameHere('postgres');
  assert.equal(
    [source.process.exe, source.process.user, destination.workload],
    [`${BIN}/postgres`, user, 'shop/pg-main'],
  );
  for (const name of ['main', 'standby']) {
    const endpoint = await ask.endpointOf(`shop/pg-${name}`);
    assert.equal([endpoint.state, usersOf(endpoint)], ['ok', [user]]);
    const group = (await machine.must(`systemctl show -p ControlGroup --value postgresql@15-${name}`)).trim();
    const pids = (await machine.must(`wc -l < /sys/fs/cgroup${group}/cgroup.procs`)).trim();
    assert.ok(endpoint.processes.length > 4);
    assert.is(endpoint.processes.length, Number(pids), 'postmaster and every backend');
  }
});

row('3: who may ask the primary is told by policy, and whom its backends may ask', async () => {
  await only(
    postern,
    cnp('pg-main', {
      ingress: [{ fromEndpoints: [app('admins'), app('pg-standby')], toPorts: [port(5432)] }],
      egress: [{ toEndpoints: [app('far')], toPorts: [port(7000)] }],
    }),
  );
  const allowed = await psql('admin', 5432, 'create extension dblink; select 6 * 7');
  assert.match(allowed.stdout, /^42$/m, allowed.stderr);
  for (const user of ['oracle', 'postgres'])
    assert.match((await psql(user, 5432, 'select 1')).stderr, /Operation not permitted/);
  assert.is((await psql('oracle', 5433, 'select 6 * 7')).stdout, '42\n', 'the other cluster has no policy');

  // a backend: forked by the postmaster, for the one that asks
  const link = (at: number) =>
    psql('admin', 5432, `select dblink_connect('host=127.3.1.1 port=${at} user=postgres connect_timeout=2')`);
  assert.not.match((await link(7000)).stderr, /not permitted/);
  assert.is((await ask.connected('127.3.1.1')).workload, 'shop/pg-main');
  assert.match((await link(7001)).stderr, /Operation not permitted/);
});

row('3: a primary that somebody restarts by hand over ssh keeps its name and its policy, and is drifted', async () => {
  const { pid } = (await standby()).source.process;
  const config = '/etc/postgresql/15/main/postgresql.conf';
  const start = `${BIN}/pg_ctl start -w -D /var/lib/postgresql/15/main -o "-c config_file=${config}" -l /tmp/pg.log`;
  const typed = `systemctl stop postgresql@15-main && cd / && sudo -u postgres ${start} < /dev/null`;
  const { code, stderr } = await machine.ssh('root', typed);
  assert.is(code, 0, stderr);
  await standby((source) => source.process.pid !== pid); // its next receiver is let in
  assert.match((await psql('admin', 5432, 'select 6 * 7')).stdout, /^42$/m);
  assert.match((await psql('oracle', 5432, 'select 1')).stderr, /Operation not permitted/);
  const endpoint = await ask.endpointOf('shop/pg-main');
  assert.is(endpoint.state, 'drifted');
  assert.match(endpoint.cgroup, /session-\d+\.scope$/);
});

row(
  '4: two servers of mysqld_multi, one executable and one user, by an argument; policy tells whom they serve and ask',
  async () => {
    const grants = "create user fleet@'127.0.0.1'; grant all on *.* to fleet@'127.0.0.1'";
    for (const at of [1, 2]) {
      await until(
        `server ${at} is up`,
        async () => (await machine.sh(`mariadb-admin -S /run/mysqld/${at}.sock ping`)).code === 0,
      );
      await machine.must(`mariadb -S /run/mysqld/${at}.sock -e "${grants}"`);
      assert.is(await ask.listener(3300 + at), `shop/my-${at}`);
      const endpoint = await ask.endpointOf(`shop/my-${at}`);
      assert.equal([endpoint.state, usersOf(endpoint)], ['ok', [await ask.nameHere('mysql')]]);
      assert.match(endpoint.cgroup, /mysqld_multi\.service$/);
      assert.is(endpoint.processes.length, 1);
    }
    const { items } = (await postern.agent('/v1/endpoints?limit=500')).body;
    assert.not(items.some(({ workload }: any) => workload === 'shop/never'));
    await only(
      postern,
      cnp('my-1', {
        ingress: [{ fromEndpoints: [app('admins')], toPorts: [port(3301)] }],
        egress: [{ toEndpoints: [app('far')], toPorts: [port(7000)] }],
      }),
    );
    const allowed = await sql('admin', 1, 'select 6 * 7');
    assert.is(allowed.stdout, '42\n', allowed.stderr);
    assert.match((await sql('oracle', 1, 'select 1')).stderr, /server on '127\.0\.0\.1' \(1\)/, 'EPERM');
    assert.is((await sql('oracle', 2, 'select 6 * 7')).stdout, '42\n', 'the other server has no policy');

    // a replica asks its primary: a thread of the server
    const replicate = async (at: number) => {
      const primary = `master_host='127.4.1.1', master_port=${at}, master_user='x', master_connect_retry=1`;
      const { code, stderr } = await sql('admin', 1, `stop slave; change master to ${primary}; start slave`);
      assert.is(code, 0, stderr);
    };
    await replicate(7000);
    assert.is((await ask.connected('127.4.1.1')).workload, 'shop/my-1');
    await replicate(7001);
    let status = '';
    await until('the replica tells why it has no primary', async () => {
      status = (await sql('admin', 1, 'show slave status\\G')).stdout;
      return /127\.4\.1\.1:7001'/.test(status);
    });
    assert.match(status, /127\.4\.1\.1:7001'.*\(1 "Operation not permitted"\)/);
  },
);

test.run();
