// @timeout 200
/** The settings that postern doctor prints, written where it says, on a real systemd: what was found is gone. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Finding } from '../../src/api/findings.ts';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { run } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { debianTree } from './debian-tree.ts';
import { bootMachine, type Machine } from './machine.ts';

const test = suite('findings and systemd');
const POSTERN = join(import.meta.dirname, '../../postern');
const tree = debianTree();
let postern: Instance;
let machine: Machine;

const fact = (name: string, body: () => Promise<void>): void =>
  'missing' in tree ? skip(test, name, tree.missing) : void test(name, body);

/** What runs of a workload now, by main pid of its unit. */
async function restarted(name: string): Promise<void> {
  const pid = (await machine.must(`systemctl show -p MainPID --value ${name}.service`)).trim();
  const started = await machine.must(`awk '{print $22}' /proc/${pid}/stat`);
  await until(`the agent knows ${name} as it runs now`, async () => {
    const { body } = await postern.agent('/v1/endpoints');
    const found = body.items.filter(({ workload }: { workload: string }) => workload === `shop/${name}`);
    const pids = found.flatMap(({ processes }: { processes: { pid: number }[] }) => processes.map((one) => one.pid));
    const ticks = await Promise.all(pids.map((one: number) => run(['awk', '{print $22}', `/proc/${one}/stat`])));
    return ticks.length === 1 && ticks[0]!.stdout === started;
  });
}

async function service(name: string, settings: string): Promise<void> {
  await machine.write(`/etc/systemd/system/${name}.service`, `[Service]\nExecStart=/bin/sleep 1000\n${settings}`);
  await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
  await machine.must(`systemctl daemon-reload && systemctl restart ${name}`);
  await restarted(name);
}

async function look(name: string): Promise<Finding[]> {
  const { body } = await postern.agent('/v1/findings?fresh=true');
  return body.items.filter(({ workload }: Finding) => workload === `shop/${name}`);
}
const brief = (findings: readonly Finding[]) => findings.map(({ kind, subjects }) => `${kind} ${subjects.join(' ')}`);

/** As a person does it: the text of the command line goes to the path that it names, and the commands are run. */
async function close(name: string): Promise<void> {
  const unit = `${name}.service`;
  const findings = await look(name);
  const { stdout } = await run(['env', `POSTERN_RUN_DIR=${postern.runDir}`, POSTERN, 'doctor', '--drop-in', unit]);
  await machine.write(findings.find(({ fix }) => fix.dropIn)!.fix.dropIn!.path, stdout);
  for (const command of new Set(findings.flatMap(({ fix }) => fix.commands ?? []))) await machine.must(command);
  const warnings = await machine.must(`systemd-analyze verify ${unit} 2>&1 | grep ${unit} || true`);
  assert.is(warnings, '', 'systemd understands every line');
  await restarted(name);
}

if ('path' in tree) {
  test.before(
    told(async () => {
      postern = await startInstance();
      machine = await bootMachine(tree.path, postern);
      await machine.must('groupadd docker');
      await machine.write(
        '/etc/systemd/system/docker.socket',
        '[Socket]\nListenStream=/run/docker.sock\nSocketMode=0660\nSocketGroup=docker\nAccept=yes\n',
      );
      await machine.write(
        '/etc/systemd/system/docker@.service',
        '[Service]\nExecStart=/bin/cat\nStandardInput=socket\n',
      );
      await machine.must('systemctl daemon-reload && systemctl start docker.socket');
    }),
  );
  test.after(async () => {
    await machine?.halt();
    await postern?.destroy();
  });
}

fact('a service as root loses the capabilities and the socket by its drop-in, and goes on running', async () => {
  await service('rooted', '');
  const before = brief(await look('rooted'));
  assert.equal(before, [
    'capability CAP_SYS_ADMIN CAP_BPF CAP_SYS_MODULE CAP_SYS_PTRACE CAP_NET_ADMIN CAP_NET_RAW',
    'helperSocket /run/docker.sock',
  ]);
  await close('rooted');
  assert.equal(brief(await look('rooted')), []);
});

fact(
  'a service of a user loses ambient capabilities, a group’s socket, its cgroup and set-user-id programs; others stay',
  async () => {
    await service(
      'mixed',
      'User=oracle\nSupplementaryGroups=docker\nDelegate=yes\nAmbientCapabilities=CAP_NET_RAW CAP_NET_BIND_SERVICE\n',
    );
    assert.equal(
      (await look('mixed')).map(({ kind }) => kind),
      ['helperSocket', 'capability', 'delegatedCgroup', 'setUserId'],
    );
    await close('mixed');
    assert.equal(brief(await look('mixed')), []);
    const pid = (await machine.must('systemctl show -p MainPID --value mixed.service')).trim();
    assert.match(await machine.must(`cat /proc/${pid}/status`), /^CapEff:\t0000000000000400$/m, 'CAP_NET_BIND_SERVICE');
  },
);

fact('a list that a unit has is never made wider', async () => {
  const lists = 'CapabilityBoundingSet=CAP_NET_RAW CAP_CHOWN\nRestrictAddressFamilies=AF_UNIX AF_PACKET\n';
  await service('narrow', lists);
  await close('narrow');
  const shown = await machine.must('systemctl show -p CapabilityBoundingSet -p RestrictAddressFamilies narrow.service');
  assert.equal(shown.trim().split('\n').sort(), ['CapabilityBoundingSet=cap_chown', 'RestrictAddressFamilies=AF_UNIX']);
});

fact('of two services with one user the first gets one of its own', async () => {
  for (const name of ['left', 'right']) await service(name, 'User=admin\nNoNewPrivileges=yes\n');
  assert.equal(brief(await look('left')), ['sharedUser shop/right']);
  await close('left');
  assert.equal([brief(await look('left')), brief(await look('right'))], [[], []]);
  assert.is(await machine.must('ps -o user= -C sleep | sort | uniq -c | grep -c shop-left'), '1\n');
});

fact('an executable that its user may write is closed by the commands', async () => {
  await machine.must('mkdir -p /srv/app && cp /bin/sleep /srv/app/daemon && chown -R oracle /srv/app');
  await service('owned', 'User=oracle\nNoNewPrivileges=yes\nExecStart=\nExecStart=/srv/app/daemon 1000\n');
  const [finding, ...more] = (await look('owned')).filter(({ kind }) => kind === 'writableExecutable');
  assert.equal(more, []);
  for (const command of finding!.fix.commands!) await machine.must(command);
  assert.match(finding!.what, /^\/srv\/app\/daemon can be replaced by its own user \(\/srv\/app\)$/);
  assert.equal(
    (await look('owned')).filter(({ kind }) => kind === 'writableExecutable'),
    [],
  );
});

test.run();
