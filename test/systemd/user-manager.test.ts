// @timeout 200
/** Units of a user's own manager, `systemd --user`, on a real systemd: with their first packet, and nobody else's. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { app, cnp, only, port } from '../e2e/policies.ts';
import { serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { debianTree } from './debian-tree.ts';
import { bootMachine, type Machine } from './machine.ts';

const test = suite("units of a user's manager");
const tree = debianTree();
let postern: Instance;
let machine: Machine;
let echo: ChildProcess;
const uids = new Map<string, string>();

const fact = (name: string, body: () => Promise<void>): void =>
  'missing' in tree ? skip(test, name, tree.missing) : void test(name, body);
const register = (name: string, match: unknown) => postern.workload(`shop/${name}`, { labels: { app: name }, match });
const unit = (user: string, name: string) => ({ systemdUserUnit: `${uids.get(user)}/${name}` });

/** `command` of that user, with a manager to talk to. */
const as = (user: string, command: string): Promise<string> =>
  machine.must(
    `cd /home/${user} && runuser -u ${user} -- env HOME=/home/${user} XDG_RUNTIME_DIR=/run/user/${uids.get(user)} bash -c '${command}'`,
  );

/** The first connection to this address. */
async function first(address: string): Promise<{ workload?: string; process: { unit?: string } }> {
  return (await postern.flow('event=connect&port=7000', (one) => one.destination.ip === address)).source;
}

/** Says hello at once, and stays. */
const HELLO = `#!/bin/bash
exec 3<>/dev/tcp/$1/7000
read line <&3
`;

const ECHO = `
import socket
l = socket.create_server(('127.0.0.1', 7001))
while True:
  c, _ = l.accept()
  c.sendall(c.recv(100))
  c.close()
`;

if ('path' in tree) {
  test.before(
    told(async () => {
      postern = await startInstance({ root: 'machine' }); // a user's manager is where systemd's root says
      machine = await bootMachine(tree.path, postern);
      await machine.write('/srv/hello', HELLO, '0755');
      for (const user of ['alice', 'bob']) {
        await machine.must(`useradd -m -s /bin/bash ${user} && loginctl enable-linger ${user}`);
        const uid = (await machine.must(`id -u ${user}`)).trim();
        uids.set(user, uid);
        await until('the manager runs', async () => (await machine.sh(`systemctl is-active user@${uid}`)).code === 0);
      }
      const words = [process.execPath, join(import.meta.dirname, '../e2e/echo.mjs'), 'tcp:7000'];
      echo = await serve(words, /ready/, { cgroup: postern.makeCgroup('echo'), netns: machine.netns });
    }),
  );
  test.after(async () => {
    echo?.kill('SIGKILL');
    await machine?.halt();
    await postern?.destroy();
  });
}

/** Writes a service into the home of a user and starts it. */
async function service(user: string, name: string, command: string, start = name): Promise<void> {
  const folder = `/home/${user}/.config/systemd/user`;
  await machine.write(`${folder}/${name}`, `[Service]\nExecStart=${command}\n[Install]\nWantedBy=default.target\n`);
  await machine.must(`chown -R ${user}: /home/${user}/.config`);
  await as(user, `systemctl --user daemon-reload && systemctl --user start ${start}`);
}

fact(
  "a service has its name with its first packet; another user's, and the system's of the same name, have not",
  async () => {
    const put = await register('backup', unit('alice', 'backup.service'));
    assert.is(put.body.status.grade, 'firstPacket');
    await service('alice', 'backup.service', '/srv/hello 127.30.1.1');
    await service('bob', 'backup.service', '/srv/hello 127.30.1.2');
    await machine.write('/etc/systemd/system/backup.service', '[Service]\nExecStart=/srv/hello 127.30.1.3\n');
    await machine.must('systemctl daemon-reload && systemctl start backup');
    assert.is((await first('127.30.1.1')).workload, 'shop/backup');
    assert.is((await first('127.30.1.2')).workload, undefined);
    assert.is((await first('127.30.1.3')).workload, undefined);
    const { items } = (await postern.agent('/v1/endpoints')).body;
    const [endpoint] = items.filter((one: any) => one.workload === 'shop/backup');
    const uid = uids.get('alice');
    assert.match(
      endpoint.cgroup.slice(machine.cgroup.length),
      new RegExp(`^/user\\.slice/user-${uid}\\.slice/user@${uid}\\.service/app\\.slice/backup\\.service$`),
    );
  },
);

fact('instances of a template, and scopes of systemd-run, are units too', async () => {
  const queue = await register('queue', unit('alice', 'queue@*.service'));
  assert.is(queue.body.status.grade, 'late', 'at any depth, of any name');
  await register('job', unit('alice', 'job.scope'));
  await service('alice', 'queue@.service', '/srv/hello %i', 'queue@127.30.2.1 queue@127.30.2.2');
  await as(
    'alice',
    'setsid systemd-run --user --scope --unit=job /srv/hello 127.30.2.3 < /dev/null > /dev/null 2>&1 &',
  );
  await until('both instances are endpoints', async () => {
    const { items } = (await postern.agent('/v1/endpoints')).body;
    return items.filter((one: any) => one.workload === 'shop/queue').length === 2;
  });
  assert.is((await first('127.30.2.3')).workload, 'shop/job');
  await postern.api('DELETE', '/v1/workloads/shop/queue'); // a new cgroup is pending while some pattern is late
});

fact('a system unit of a glob never takes a unit of a user for its own', async () => {
  await register('system', { systemdUnit: 'night*.service' });
  await service('alice', 'nightly.service', '/srv/hello 127.30.3.1');
  await machine.write('/etc/systemd/system/nightly.service', '[Service]\nExecStart=/srv/hello 127.30.3.2\n');
  await machine.must('systemctl daemon-reload && systemctl start nightly');
  assert.is((await first('127.30.3.1')).workload, undefined);
  assert.is((await first('127.30.3.2')).workload, 'shop/system');
});

fact('20 times the manager ends and comes again with the service: each is let in with its first packet', async () => {
  await register('quick', unit('bob', 'quick.service'));
  await register('echo', { systemdUnit: 'echo.service' });
  await machine.write('/srv/echo.py', ECHO);
  await machine.write('/etc/systemd/system/echo.service', '[Service]\nExecStart=/usr/bin/python3 /srv/echo.py\n');
  await machine.must('systemctl daemon-reload && systemctl start echo');
  await until('it listens', async () => (await machine.sh('exec 3<>/dev/tcp/127.0.0.1/7001')).code === 0);
  const script = '#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/7001 && echo hello >&3 && head -n 1 <&3 >> /srv/quick.log\n';
  await machine.write('/srv/quick', script, '0755');
  await machine.must('touch /srv/quick.log && chmod 666 /srv/quick.log');
  const quick = { matchLabels: app('quick').matchLabels };
  await only(postern, cnp('echo', { ingress: [{ fromEndpoints: [quick], toPorts: [port(7001)] }] }));
  assert.is.not(
    (await machine.sh('systemd-run -q --wait -p RuntimeMaxSec=5 /srv/quick')).code,
    0,
    'a system unit is refused',
  );
  await service('bob', 'quick.service', '/srv/quick');
  await as('bob', 'systemctl --user enable quick.service');
  const uid = uids.get('bob');
  const count = async () => Number(await machine.must('wc -l < /srv/quick.log'));
  await until('the first has been answered', async () => (await count()) === 1);
  for (let round = 2; round <= 21; round++) {
    await machine.must(`systemctl reset-failed user@${uid} && systemctl restart user@${uid}`);
    await until(`start ${round} has been answered`, async () => (await count()) === round);
  }
  await only(postern);
});

test.run();
