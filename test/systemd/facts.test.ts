// @timeout 300
/** Legacy workloads on a real systemd, sshd, cron, nginx, supervisord: who they are, F1 to F10 of the field notes. */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { cnp, only, port } from '../e2e/policies.ts';
import { serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { debianTree } from './debian-tree.ts';
import { bootMachine, type Machine } from './machine.ts';

const test = suite('legacy workloads');
const tree = debianTree();
let postern: Instance;
let machine: Machine;
let echo: ChildProcess;

/** Connects at once to an address of its own, by which its flow is found, and stays. */
const DAEMON = `#!/bin/bash
exec 3<>/dev/tcp/$1/7000
read line <&3
`;

const fact = (name: string, body: () => Promise<void>): void =>
  'missing' in tree ? skip(test, name, tree.missing) : void test(name, body);
const register = (name: string, match: unknown) => postern.workload(`shop/${name}`, { labels: { app: name }, match });
const daemon = (...args: string[]) => ({ process: { exe: '/usr/bin/bash', args: ['/srv/daemon', ...args] } });
const background = (words: string): string => `setsid ${words} < /dev/null > /dev/null 2>&1 &`;

/** The first connection to this address: whose it was, and where its process is now. */
async function connected(address: string): Promise<{ workload?: string; cgroup: string; pid: number }> {
  const flow = await postern.flow('event=connect&port=7000', (one) => one.destination.ip === address);
  const { pid } = flow.source.process;
  const cgroup = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))![1]!;
  return { workload: flow.source.workload, cgroup: cgroup.slice(machine.cgroup.length), pid };
}

async function endpointOf(pid: number): Promise<any> {
  let found: any;
  await until(`process ${pid} is of an endpoint`, async () => {
    const { body } = await postern.api('GET', '/v1/endpoints?limit=500');
    found = body.items.find(({ processes }: any) => processes.some((one: any) => one.pid === pid));
    return found !== undefined;
  });
  return found;
}

/** What the control plane says of a process that runs outside of where its workload is registered to. */
async function driftOf(workload: string, pid: number): Promise<any> {
  let found: any;
  await until(`${workload} is known to have drifted`, async () => {
    const { body } = await postern.api('GET', `/v1/workloads/${workload}`);
    found = (body.status.drifts ?? []).find(({ process }: any) => process.pid === pid);
    return found !== undefined;
  });
  return found;
}

const metrics = async () => ({ text: String((await postern.api('GET', '/metrics')).body) });

if ('path' in tree) {
  test.before(
    told(async () => {
      postern = await startInstance();
      machine = await bootMachine(tree.path, postern);
      await machine.write('/srv/daemon', DAEMON, '0755');
      const words = [process.execPath, join(import.meta.dirname, '../e2e/echo.mjs'), 'tcp:7000', 'tcp:7001'];
      echo = await serve(words, /ready/, { cgroup: postern.makeCgroup('echo'), netns: machine.netns });
    }),
  );

  test.after(async () => {
    echo?.kill('SIGKILL');
    await machine?.halt();
    await postern?.destroy();
  });
}

fact(
  'F1: what a unit starts by su - or runuser runs in a login session: its unit does not name it, its arguments do, and it is drifted',
  async () => {
    for (const [how, n] of [
      ['/usr/bin/su - oracle', 1],
      ['/usr/sbin/runuser -l oracle', 2],
    ] as const) {
      const unit = `ora${n}.service`;
      const start = (address: string, id: string) => background(`/srv/daemon ${address} ${id}`);
      const command = `${start(`127.1.${n}.1`, `--sid=PROD${n}`)} ${start(`127.1.${n}.2`, '--sid=OTHER')}`;
      await register(`ora${n}`, [
        { systemdUnit: unit },
        { process: { ...daemon(`--sid=PROD${n}`).process, user: await uid('oracle') } },
      ]);
      const exec = `ExecStart=${how} -c "${command}"`;
      await machine.write(`/etc/systemd/system/${unit}`, `[Service]\nType=oneshot\nRemainAfterExit=yes\n${exec}\n`);
      await machine.must(`systemctl daemon-reload && systemctl start ${unit}`);
      const named = await connected(`127.1.${n}.1`);
      assert.match(named.cgroup, /^\/user\.slice\/user-\d+\.slice\/session-c\d+\.scope$/);
      assert.is(named.workload, `shop/ora${n}`);
      const { state, why } = await endpointOf(named.pid);
      assert.equal([state, why.clause, why.origin], ['drifted', 1, 'exec']);
      const other = await connected(`127.1.${n}.2`);
      assert.is(other.workload, undefined, 'the unit alone does not reach it');
      const drift = await driftOf(`shop/ora${n}`, other.pid);
      assert.equal([drift.named, drift.expected], [false, [unit]], 'but it is known to have come from there');
      assert.match(drift.command, new RegExp(`postern workload put shop/ora${n} -f -$`));
      assert.is(await machine.must(`systemctl is-active ${unit}`), 'active\n', 'with nothing in it');
    }
  },
);

fact(
  'F2: an init script restarted over ssh leaves its unit; a clause of executable and arguments goes with it',
  async () => {
    const script = (name: string, n: number) => `#!/bin/sh
### BEGIN INIT INFO
# Provides: ${name}
# Default-Start: 2 3 4 5
# Default-Stop:
### END INIT INFO
case "$1" in
  start) ${background(`/srv/daemon 127.2.${n}.$((1 + $(cat /run/${name}.stopped || echo 0))) --name=${name}`)} ;;
  stop) pkill -f -- --name=${name}; echo 1 > /run/${name}.stopped ;;
  restart) $0 stop; $0 start ;;
esac
`;
    await register('covered', [{ systemdUnit: 'covered.service' }, daemon('--name=covered')]);
    await register('by-unit', { systemdUnit: 'by-unit.service' });
    for (const [name, n] of [
      ['covered', 1],
      ['by-unit', 2],
    ] as const)
      await machine.write(`/etc/init.d/${name}`, script(name, n), '0755');
    await machine.must('systemctl daemon-reload && systemctl start covered by-unit');
    const before = [await connected('127.2.1.1'), await connected('127.2.2.1')] as const;
    for (const [i, name] of (['covered', 'by-unit'] as const).entries()) {
      assert.is(before[i]!.cgroup, `/system.slice/${name}.service`);
      assert.is(before[i]!.workload, `shop/${name}`);
      await endpointOf(before[i]!.pid); // a look at it has been taken in its place
    }
    const restart = await machine.ssh('root', '/etc/init.d/covered restart; /etc/init.d/by-unit restart');
    assert.is(restart.code, 0, restart.stderr);
    const after = [await connected('127.2.1.2'), await connected('127.2.2.2')] as const;
    for (const { cgroup } of after) assert.match(cgroup, /^\/user\.slice\/user-0\.slice\/session-\d+\.scope$/);
    assert.is(after[0].workload, 'shop/covered');
    assert.is((await endpointOf(after[0].pid)).state, 'drifted');
    assert.is(after[1].workload, undefined);
    const drift = await driftOf('shop/by-unit', after[1].pid);
    assert.equal([drift.named, drift.expected], [false, ['by-unit.service']], 'known by what it looked like there');
    assert.is(drift.clause.process.exe, '/usr/bin/bash');
    const event = await postern.flow('event=drift', (one) => one.source.process.pid === after[1].pid);
    assert.match(
      event.detail,
      /^runs in .*session-\d+\.scope, outside of by-unit\.service; not named there; this would: /,
    );
    const { text } = await metrics();
    assert.match(text, /^postern_workload_drifted\{workload="shop\/by-unit",named="false"\} 1$/m);
    assert.match(text, /^postern_workload_drifted\{workload="shop\/covered",named="true"\} 1$/m);
  },
);

fact('F3: sudo and nohup over ssh run in the session of who typed them, as the user that they became', async () => {
  const oracle = await uid('oracle');
  await register('as-oracle', { process: { ...daemon('--f3').process, user: oracle } });
  const start = (n: number) => background(`/srv/daemon 127.3.1.${n} --f3`);
  for (const command of [
    `sudo su - oracle -c "${start(1)}"`,
    `sudo -u oracle sh -c "${start(2)}"`,
    `nohup sh -c "${start(3)}"`,
  ]) {
    const { code, stderr } = await machine.ssh('admin', command);
    assert.is(code, 0, stderr);
  }
  const admin = await uid('admin');
  for (const [n, workload] of [
    [1, 'shop/as-oracle'],
    [2, 'shop/as-oracle'],
    [3, undefined],
  ] as const) {
    const found = await connected(`127.3.1.${n}`);
    assert.match(found.cgroup, new RegExp(`^/user\\.slice/user-${admin}\\.slice/session-\\d+\\.scope$`), `${n}`);
    assert.is(found.workload, workload, `${n}`);
  }
});

fact('by sudo no process gets out of the label of its unit, and neither does what the other user starts', async () => {
  await register('sudoer', { systemdUnit: 'sudoer.service' });
  const command = `sudo -u oracle bash -c "${background('/srv/daemon 127.3.2.1')} exec /srv/daemon 127.3.2.2"`;
  await machine.write('/srv/sudoer', `#!/bin/sh\n${command}\n`, '0755');
  await machine.write('/etc/systemd/system/sudoer.service', '[Service]\nUser=admin\nExecStart=/srv/sudoer\n');
  await machine.must('systemctl daemon-reload && systemctl start sudoer');
  for (const address of ['127.3.2.1', '127.3.2.2'])
    assert.is((await connected(address)).workload, 'shop/sudoer', address);
});

fact('F4: systemd-run --scope puts a command below a slice, by which it is named', async () => {
  await register('sliced', { cgroup: `${machine.cgroup}/postern.slice` });
  await machine.must(`systemd-run --scope --slice=postern sh -c '${background('/srv/daemon 127.4.1.1')}'`);
  const found = await connected('127.4.1.1');
  assert.match(found.cgroup, /^\/postern\.slice\/run-[^/]*\.scope$/);
  assert.is(found.workload, 'shop/sliced');
});

fact(
  'F5: a daemon that a cron job starts is in cron.service and is not cron, by executable or by unit; it keeps its own name',
  async () => {
    await register('cron', { process: { exe: '/usr/sbin/cron' } });
    await register('job', { process: { ...daemon('--job').process, user: await uid('oracle') } });
    const job = (n: number, id: string) => `@reboot oracle ${background(`/srv/daemon 127.5.1.${n} ${id}`)}\n`;
    const jobs = async (...lines: string[]) => {
      await machine.write('/etc/cron.d/jobs', lines.join(''));
      await machine.must('rm -f /run/crond.reboot && systemctl restart cron');
    };
    await jobs(job(1, '--job'), job(2, '--none'));
    const own = await connected('127.5.1.1');
    assert.is(own.cgroup, '/system.slice/cron.service');
    assert.is(own.workload, 'shop/job');
    assert.is((await connected('127.5.1.2')).workload, undefined);
    let cron: any;
    await until('cron is an endpoint', async () => {
      const { body } = await postern.api('GET', '/v1/endpoints?workload=shop/cron');
      [cron] = body.items;
      return cron !== undefined;
    });
    assert.equal(
      cron.processes.map((one: any) => one.exe),
      ['/usr/sbin/cron'],
    );
    await register('cron-unit', { systemdUnit: 'cron.service' });
    await jobs(job(3, '--job'), job(4, '--none'));
    assert.is((await connected('127.5.1.3')).workload, 'shop/job');
    assert.is((await connected('127.5.1.4')).workload, undefined, 'also registered by unit');
    await postern.api('DELETE', '/v1/workloads/shop/cron-unit');
  },
);

fact('F6: the listener of a socket unit carries the label of the service that it starts', async () => {
  const units = {
    'plain.socket': '[Socket]\nListenStream=127.0.0.1:7101\n',
    'plain.service': '[Service]\nExecStart=/usr/bin/python3 /srv/inherited.py\n',
    'per.socket': '[Socket]\nListenStream=127.0.0.1:7102\nAccept=yes\n',
    'per@.service': '[Service]\nExecStart=/usr/bin/cat\nStandardInput=socket\n',
    'late.socket': '[Socket]\nListenStream=127.0.0.1:7103\nAccept=yes\n',
    'late@.service': '[Service]\nExecStart=/usr/bin/cat\nStandardInput=socket\n',
  };
  const server =
    'import socket\nl = socket.socket(fileno=3)\nwhile True:\n  c, _ = l.accept()\n  c.sendall(c.recv(100))\n';
  await machine.write('/srv/inherited.py', server);
  for (const [name, text] of Object.entries(units)) await machine.write(`/etc/systemd/system/${name}`, text);
  await register('plain', { systemdUnit: 'plain.service' });
  await register('per', { systemdUnit: 'per@*.service' });
  await machine.must('systemctl daemon-reload && systemctl start plain.socket per.socket late.socket');
  const ask = async (number: number, workload: string, count: number) => {
    const talk = `exec 3<>/dev/tcp/127.0.0.1/${number} && echo hello >&3 && head -n 1 <&3`;
    assert.is(await machine.must(talk), 'hello\n');
    const query = `/v1/flows?event=connect&port=${number}&limit=10`;
    let flows: any[] = [];
    await until(`connection ${count} to ${number}`, async () => {
      flows = (await postern.api('GET', query)).body.items;
      return flows.length === count;
    });
    for (const { destination } of flows) assert.is(destination.workload, workload);
  };
  await ask(7101, 'shop/plain', 1);
  await ask(7102, 'shop/per', 1);
  await register('late', { systemdUnit: 'late@*.service' });
  await ask(7103, 'shop/late', 1); // its socket is older than the registration
  await ask(7102, 'shop/per', 2);
});

fact(
  'a socket unit with Service= is that service from its first connection, also where its own name is registered',
  async () => {
    // The agent reads the host's units, the machine has its own: the same file in both.
    const unit = `pt-${postern.name}-of-all.socket`;
    const folder = '/usr/local/lib/systemd/system';
    const text = '[Socket]\nListenStream=127.0.0.1:7104\nService=pt-be.service\n';
    await machine.write(`/etc/systemd/system/${unit}`, text);
    await machine.write(
      '/etc/systemd/system/pt-be.service',
      '[Service]\nExecStart=/usr/bin/python3 /srv/inherited.py\n',
    );
    await machine.must('systemctl daemon-reload');
    mkdirSync(folder, { recursive: true });
    try {
      writeFileSync(join(folder, unit), text);
      await register('own', { systemdUnit: unit.replace('.socket', '.service') });
      await register('be', { systemdUnit: 'pt-be.service' });
      process.kill(postern.pid(), 'SIGSTOP'); // nobody corrects what the kernel says
      try {
        await machine.must(`systemctl start ${unit}`);
        assert.is(await machine.must('exec 3<>/dev/tcp/127.0.0.1/7104 && echo hello >&3 && head -n 1 <&3'), 'hello\n');
      } finally {
        process.kill(postern.pid(), 'SIGCONT');
      }
      const flow = await postern.flow('event=connect&port=7104', () => true);
      assert.is(flow.destination.workload, 'shop/be');
    } finally {
      rmSync(join(folder, unit), { force: true });
    }
  },
);

fact('F7: a login is never sshd: ssh.service is the listener, the session is who logged in', async () => {
  await register('ssh', { systemdUnit: 'ssh.service' });
  await machine.must('systemctl restart ssh');
  const login = async (user: string, address: string) => {
    const { code, stderr } = await machine.ssh(user, background(`/srv/daemon ${address}`));
    assert.is(code, 0, stderr);
    return connected(address);
  };
  const found = await login('oracle', '127.7.1.1');
  assert.match(found.cgroup, /session-\d+\.scope$/);
  assert.is(found.workload, undefined);
  const flow = await postern.flow('event=connect&port=22', (one) => one.destination.workload !== undefined);
  assert.is(flow.destination.workload, 'shop/ssh');
  await register('people', { cgroup: `${machine.cgroup}/user.slice/user-${await uid('oracle')}.slice` });
  assert.is((await login('oracle', '127.7.1.2')).workload, 'shop/people');
  await postern.api('DELETE', '/v1/workloads/shop/people');
});

fact('F8: nginx is one workload by its unit: the root master that listens, and the workers that connect', async () => {
  await register('nginx', { systemdUnit: 'nginx.service' });
  await register('never', { process: { exe: '/usr/sbin/nginx', user: 'www-data' } });
  const site = 'server { listen 127.0.0.1:7801; location / { proxy_pass http://127.8.1.1:7000; } }\n';
  await machine.write('/etc/nginx/conf.d/site.conf', site);
  await machine.must('rm -f /etc/nginx/sites-enabled/default && systemctl restart nginx');
  await machine.must(`exec 3<>/dev/tcp/127.0.0.1/7801 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3`);
  const worker = await connected('127.8.1.1');
  assert.is(worker.workload, 'shop/nginx');
  assert.is((await postern.flow('event=connect&port=7801', () => true)).destination.workload, 'shop/nginx');
  const { processes } = await endpointOf(worker.pid);
  assert.equal([...new Set(processes.map((one: any) => one.user))].sort(), ['root', 'www-data']);
});

fact('F9: programs under supervisord are told apart by their arguments, and none is supervisord', async () => {
  const program = (name: string, n: number, user: string) =>
    `[program:${name}]\ncommand=/bin/bash /srv/daemon 127.9.1.${n} --queue=${name}\nuser=${user}\nstartsecs=0\n`;
  // without a user any local user could claim it, and the unit would win
  await register('mail', { process: { ...daemon('--queue=mail').process, user: await uid('oracle') } });
  await register('image', { process: { ...daemon('--queue=image').process, user: 'root' } });
  await register('supervised', { systemdUnit: 'supervisor.service' });
  await machine.write(
    '/etc/supervisor/conf.d/queues.conf',
    `${program('mail', 1, 'oracle')}${program('image', 2, 'root')}${program('other', 3, 'oracle')}`,
  );
  await machine.must('systemctl restart supervisor');
  for (const [n, workload] of [
    [1, 'shop/mail'],
    [2, 'shop/image'],
    [3, undefined],
  ] as const) {
    const found = await connected(`127.9.1.${n}`);
    assert.is(found.cgroup, '/system.slice/supervisor.service');
    assert.is(found.workload, workload);
  }
});

fact('F10: of 50 restarts of a unit that connects at once, each has its label before the first packet', async () => {
  await register('quick', { systemdUnit: 'quick.service' });
  await register('echo', { cgroup: `/${postern.cgroupPath}/echo` });
  const script = '#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/7001 && echo hello >&3 && head -n 1 <&3 >> /run/quick\n';
  await machine.write('/srv/quick', script, '0755');
  await machine.write(
    '/etc/systemd/system/quick.service',
    '[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nTimeoutStartSec=5\nExecStart=/srv/quick\n',
  );
  await machine.must('systemctl daemon-reload');
  const quick = { matchLabels: { app: 'quick' } };
  await only(postern, cnp('echo', { ingress: [{ fromEndpoints: [quick], toPorts: [port(7001)] }] }));
  const other = await machine.sh('timeout 2 /srv/quick');
  assert.is.not(other.code, 0, 'another process is refused');
  await machine.must('for i in $(seq 50); do systemctl start quick; done');
  assert.is(await machine.must('grep -c hello /run/quick'), '50\n');
  await only(postern);
});

const uid = async (user: string): Promise<string> => (await machine.must(`id -u ${user}`)).trim();

test.run();
