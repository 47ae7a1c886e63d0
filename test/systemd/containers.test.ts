// @timeout 500
/** Docker as Debian's units start it, and the rootless Podman of a user, on a real systemd: containers by name, image and label. */
import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from '../e2e/instance.ts';
import { app, cnp, only, port } from '../e2e/policies.ts';
import { serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { fleetTree } from './debian-tree.ts';
import { bootMachine, type Machine } from './machine.ts';

const test = suite('container runtimes');
const tree = fleetTree();
let postern: Instance;
let machine: Machine;
let echo: ChildProcess;
let folder: string;
/** How alice, whose user manager lingers, is asked for something. */
let alice: (command: string) => Promise<string>;

const fact = (name: string, body: () => Promise<void>): void =>
  'missing' in tree ? skip(test, name, tree.missing) : void test(name, body);
const register = (name: string, match: unknown) => postern.workload(`shop/${name}`, { labels: { app: name }, match });
const IMAGE = 'registry.example/shop/web:1';
/** Another address of the machine, as a container behind a bridge reaches it. */
const FAR = '198.51.100.1';
const endpointsOf = async (workload: string): Promise<any[]> =>
  (await postern.agent('/v1/endpoints?limit=500')).body.items.filter((one: any) => one.workload === workload);
/** Whose the connections to this address are, once they are somebody's. */
const knocker = (ip: string, wanted: string, also: (flow: any) => boolean = () => true) =>
  postern.flow(
    'event=connect&port=7000',
    (flow) => flow.destination.ip === ip && flow.source.workload === wanted && also(flow),
  );

if ('path' in tree) {
  test.before(
    told(async () => {
      folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
      execFileSync('cc', ['-static', '-O1', '-Wall', '-o', join(folder, 'box'), join(import.meta.dirname, 'box.c')]);
      process.env['POSTERN_CONTAINER_SOCKETS'] = `${folder}/docker.sock,${folder}/podman.sock`;
      postern = await startInstance();
      machine = await bootMachine(tree.path, postern);
      const root = `/proc/${machine.pid}/root`;
      copyFileSync(join(folder, 'box'), `${root}/srv/box`);
      await machine.must(SETUP);
      const uid = (await machine.must('id -u alice')).trim();
      alice = (command) =>
        machine.must(
          `cd /home/alice && runuser -u alice -- env HOME=/home/alice XDG_RUNTIME_DIR=/run/user/${uid} bash -c '${command}'`,
        );
      await until('her user manager runs', async () => (await machine.sh(`test -S /run/user/${uid}/bus`)).code === 0);
      await alice(`systemctl --user start podman.socket && tar -C /srv -c box | podman import - ${IMAGE}`);
      symlinkSync(`${root}/run/docker.sock`, join(folder, 'docker.sock'));
      symlinkSync(`${root}/run/user/${uid}/podman/podman.sock`, join(folder, 'podman.sock'));
      const words = [process.execPath, join(import.meta.dirname, '../e2e/echo.mjs'), 'tcp:7000'];
      echo = await serve(words, /ready/, { cgroup: postern.makeCgroup('echo'), netns: machine.netns });
      await until('both runtimes have answered', () => (postern.log().match(/sock answers/g) ?? []).length === 2);
    }),
  );
  test.after(async () => {
    echo?.kill('SIGKILL');
    await machine?.halt();
    await postern?.destroy();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });
}

const docker = (name: string, ip: string, more = '', words = '') =>
  machine.must(`docker run -d --name ${name} ${more} ${IMAGE} /box ${ip} ${words}`);
const podman = (name: string, ip: string, more: string) =>
  alice(`podman run -d --pids-limit -1 --name ${name} ${more} ${IMAGE} /box ${ip}`);

fact('Docker: by name, image and label, whether it came before or after the registration, until it ends', async () => {
  const web = { name: 'web-*', image: 'registry.example/shop/*', labels: { tier: 'w*' } };
  await docker('web-1', '127.19.1.1', '--network host --label tier=web');
  const put = await register('web', { container: web });
  assert.equal([put.body.status.grade, put.body.status.spoofable], ['late', null]);
  await knocker('127.19.1.1', 'shop/web');
  const [endpoint] = await endpointsOf('shop/web');
  assert.match(endpoint.cgroup.slice(machine.cgroup.length), /^\/system\.slice\/docker-[0-9a-f]{64}\.scope$/);
  assert.equal([endpoint.why.origin, endpoint.why.grade], ['cgroup', 'late']);
  for (const label of [`container:image=${IMAGE}`, 'container:name=web-1', 'container:tier=web'])
    assert.ok(endpoint.derived.includes(label), endpoint.derived.join());

  await docker('web-2', '127.19.1.2', '--network host --label tier=web');
  await docker('db-1', '127.19.1.3', '--network host --label tier=db');
  await docker('other', '127.19.1.4', '--network host --label tier=web');
  const { pid } = (await knocker('127.19.1.2', 'shop/web')).source.process;
  await machine.must('docker rename db-1 web-3 && docker rename other web-4');
  await knocker('127.19.1.4', 'shop/web');
  assert.is((await endpointsOf('shop/web')).length, 3, 'another label: nobody');
  await machine.must('docker restart -t 0 web-2');
  await knocker('127.19.1.2', 'shop/web', ({ source }) => source.process.pid !== pid);

  await machine.must('docker rm -f web-1 web-2 web-3 web-4');
  await until('who is gone is no endpoint any more', async () => (await endpointsOf('shop/web')).length === 0);
});

fact('Docker: by its cgroup a container has its name with its first packet', async () => {
  const put = await register('scope', { cgroup: `${machine.cgroup}/system.slice/docker-*.scope` });
  assert.is(put.body.status.grade, 'firstPacket');
  await docker('scope-1', '127.19.2.1', '--network host');
  const { source } = await postern.flow(
    'event=connect&port=7000',
    ({ destination }) => destination.ip === '127.19.2.1',
  );
  assert.is(source.workload, 'shop/scope');
  await machine.must('docker rm -f scope-1');
  await postern.api('DELETE', '/v1/workloads/shop/scope');
});

fact(
  'Docker behind its bridge: the port inside counts, a published one leads there, and who asks from outside is an address',
  async () => {
    await register('inner', { container: { name: 'inner' } });
    await register('client', { cgroup: `/${postern.cgroupPath}/console` });
    await docker('inner', FAR, '--publish 8080:80', '80');
    const { source } = await knocker(FAR, 'shop/inner');
    const ask = async (to: string) =>
      (await machine.sh(`timeout 2 bash -c "exec 3<>/dev/tcp/${to} && head -c 1 <&3"`)).stdout;
    const both = async () => [await ask(`${source.ip}/80`), await ask(`${FAR}/8080`)];
    const into = (from: object, number: number) =>
      only(postern, cnp('inner', { ingress: [{ ...from, toPorts: [port(number)] }] }));
    const fromHere = { fromCIDR: ['172.17.0.1/32', `${FAR}/32`] };
    await into(fromHere, 80);
    assert.equal(await both(), ['x', 'x']);
    await into(fromHere, 8080);
    assert.equal(await both(), ['', '']);
    await into({ fromEndpoints: [app('client')] }, 80);
    assert.is(await ask(`${source.ip}/80`), '', 'no name comes over the bridge');
    await only(postern, cnp('inner', { egress: [{ toCIDR: ['198.51.100.9/32'] }] }));
    const denied = await postern.flow('verdict=DROPPED&port=7000', () => true);
    assert.equal([denied.source.workload, denied.source.process.exe], ['shop/inner', '/box']);
    await only(postern);
    await machine.must('docker rm -f inner');
  },
);

fact(
  'rootless Podman: a container of a user; not slirp4netns, and not who shares the cgroup of who started it',
  async () => {
    await register('pod', { container: { name: 'pod-*', image: IMAGE, labels: { tier: 'pod' } } });
    await podman('pod-1', '127.20.1.1', '--label tier=pod --network host');
    await podman('pod-2', FAR, '--label tier=pod');
    await podman('pod-3', '127.20.1.3', '--label tier=pod --network host --cgroups disabled');
    await podman('pod-4', '127.20.1.4', '--network host');
    await knocker('127.20.1.1', 'shop/pod');
    await knocker(FAR, 'shop/pod', ({ source }) => source.process.exe === '/box');
    const none = ({ source }: any): boolean => source.workload === undefined;
    await postern.flow(
      'event=connect&port=7000',
      (flow) => none(flow) && flow.source.process?.exe === '/usr/bin/slirp4netns',
    );
    await until('it is said that pod-3 cannot be matched', () => /pod-3 has no cgroup of its own/.test(postern.log()));
    for (const { cgroup } of await endpointsOf('shop/pod'))
      assert.match(cgroup, /\/user@\d+\.service\/user\.slice\/libpod-[0-9a-f]{64}\.scope(\/|$)/);
    const { items } = (await postern.api('GET', '/v1/flows?limit=500&event=connect&port=7000')).body;
    for (const ip of ['127.20.1.3', '127.20.1.4']) {
      const flows = items.filter(({ destination }: any) => destination.ip === ip);
      assert.ok(flows.length > 0 && flows.every(none), ip);
    }
    await alice('podman rm -fa -t 0');
    await until('who is gone is no endpoint any more', async () => (await endpointsOf('shop/pod')).length === 0);
  },
);

/** No registry: an image is an archive with one static program. */
const SETUP = `
set -e
chmod 755 /srv/box
mkdir -p /var/lib/docker /dev/net && mount -t tmpfs tmpfs /var/lib/docker
mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun
ip addr add ${FAR}/32 dev lo
systemctl start docker
tar -C /srv -c box | docker import - ${IMAGE}
useradd -m -s /bin/bash alice && loginctl enable-linger alice
`;

test.run();
