// @timeout 120
/** Containers of a real Podman, named by name, image and labels: before and after the registration, and gone when they are. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { skip } from '../skip.ts';
import { type Instance, startInstance } from './instance.ts';
import { type Podman, podmanTree, startPodman } from './podman.ts';
import { serve } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('containers');
const tree = podmanTree();
let postern: Instance;
let podman: Podman;
let folder: string;
let port: number;

/** Connects five times a second. */
const KNOCK = (to: number) => `
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
  for (;;) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(${to}), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    connect(s, (void *)&a, sizeof(a));
    close(s);
    usleep(200000);
  }
}
`;

if ('path' in tree) {
  test.before(
    told(async () => {
      podman = await startPodman(tree.path);
      process.env.POSTERN_CONTAINER_SOCKETS = podman.socket;
      postern = await startInstance();
      folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
      port = await freePort();
      writeFileSync(join(folder, 'knock.c'), KNOCK(port));
      execFileSync('cc', ['-static', '-o', join(folder, 'knock'), join(folder, 'knock.c')]);
      await serve([process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${port}`], /ready/, {
        cgroup: postern.makeCgroup('echo'),
      });
    }),
  );
  test.after(async () => {
    await podman?.stop();
    await postern?.destroy();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });
}

const name = 'a container is named by what its runtime says, whether it came before or after the registration';
const body = async (): Promise<void> => {
  const rootfs = podman.rootfs('knock', join(folder, 'knock'));
  const cgroup = `${postern.cgroupPath}/containers`;
  postern.makeCgroup('containers');
  const start = (which: string, label: string) => podman.run(which, { cgroup, rootfs, label });
  await start('web-1', 'tier=web');
  await start('db-1', 'tier=db');
  const put = await postern.workload('box/web', {
    labels: { app: 'web' },
    match: { container: { name: 'web-*', labels: { tier: 'w*' } } },
  });
  assert.equal([put.body.status.grade, put.body.status.spoofable], ['late', null]);
  const webs = async () =>
    (await postern.agent('/v1/endpoints')).body.items.filter((one: { workload: string }) => one.workload === 'box/web');
  await until('the one that was there is an endpoint', async () => (await webs()).length === 1);
  const [first] = await webs();
  assert.match(first.cgroup, new RegExp(`^/${cgroup}/libpod-[0-9a-f]{64}`));
  assert.equal([first.why.grade, first.why.origin], ['late', 'cgroup']);
  await postern.flow(`event=connect&port=${port}&last=20`, ({ source }) => source.workload === 'box/web');
  await start('web-2', 'tier=web');
  await until('the one that came is an endpoint too', async () => (await webs()).length === 2);
  const all = (await postern.agent('/v1/endpoints')).body.items;
  assert.is(all.length, 2, 'another label, another name: nobody');
  await podman.remove('web-1');
  await until('who is gone is none any more', async () => (await webs()).length === 1);
};
if ('path' in tree) test(name, body);
else skip(test, name, tree.missing);

const inIdentity = 'the name and a label of a container are a part of who it is, where labelsFrom says so';
const withLabels = async (): Promise<void> => {
  await postern.workload('box/any', {
    labels: { app: 'any' },
    match: { container: { name: '*' } },
    priority: 1,
    labelsFrom: ['container:name', 'container:tier'],
  });
  const rootfs = podman.rootfs('any', join(folder, 'knock'));
  await podman.run('db-2', { cgroup: `${postern.cgroupPath}/containers`, rootfs, label: 'tier=db' });
  const identityOf = async (label: string) =>
    (await postern.agent('/v1/endpoints')).body.items.find(({ labels }: { labels: string[] }) =>
      labels.includes(label),
    );
  for (const container of ['db-1', 'db-2'])
    await until(
      `${container} has its identity`,
      async () => (await identityOf(`container:name=${container}`)) !== undefined,
    );
  const [one, two] = [await identityOf('container:name=db-1'), await identityOf('container:name=db-2')];
  assert.is.not(one.identity, two.identity);
  assert.ok([one, two].every(({ labels, state }) => labels.includes('container:tier=db') && state === 'ok'));
};
if ('path' in tree) test(inIdentity, withLabels);
else skip(test, inIdentity, tree.missing);

test.run();
