/** A tag of the cloud instance as part of who runs there: from a metadata service of the test, also while that is silent. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { cnp, only, port } from './policies.ts';
import { serve } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('cloud tags in the identity');
let postern: Instance;
let metadata: Server;
let echoPort: number;
/** What the metadata service says; undefined = it fails. */
let tags: Record<string, string> | undefined = { env: 'prod', 'bad key': 'x', owner: 'a b' };
let asked = 0;

const ask = () => askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup('client') });
const endsWith = async (label: string) =>
  (await postern.api('GET', '/v1/identities')).body.items.some(
    ({ labels, workloads }: { labels: string[]; workloads: string[] }) =>
      labels.includes(label) && workloads.length > 0,
  );

test.before(
  told(async () => {
    metadata = createServer((_, response) => {
      asked++;
      if (tags === undefined) response.writeHead(503).end();
      else response.end(JSON.stringify(tags));
    });
    metadata.listen(0, '127.0.0.1');
    await once(metadata, 'listening');
    const url = `http://127.0.0.1:${(metadata.address() as AddressInfo).port}/tags`;
    postern = await startInstance({ env: { POSTERN_CLOUD_TAGS: url } });
    echoPort = await freePort();
    await postern.workload('shop/echo', { labels: { app: 'echo' }, match: { cgroup: `${postern.cgroupPath}/echo` } });
    await postern.workload('shop/client', {
      labels: { app: 'client' },
      match: { cgroup: `${postern.cgroupPath}/client` },
      labelsFrom: ['cloud:tag/env', 'cloud:tag/owner'],
    });
    const words = [process.execPath, join(import.meta.dirname, 'echo.mjs'), `tcp:${echoPort}`];
    await serve(words, /ready/, { cgroup: postern.makeCgroup('echo') });
    await until('the identity is there', () => endsWith('cloud:tag/env=prod'));
    const from = { fromEndpoints: [{ matchLabels: { 'cloud:tag/env': 'prod' } }], toPorts: [port(echoPort)] };
    await only(postern, cnp('echo', { ingress: [from] }));
  }),
);
test.after(async () => {
  metadata?.close();
  await postern?.destroy();
});

test('a policy by the tag lets it through, and what no selector could name is no part of it', async () => {
  assert.is(await ask(), 'echo');
  const { body } = await postern.api('GET', '/v1/identities');
  const all = body.items.flatMap(({ labels }: { labels: string[] }) => labels).join(' ');
  assert.not.match(all, /owner|bad key/);
});

test('it holds over a restart in which nobody says what the tags are', async () => {
  tags = undefined;
  const before = asked;
  await postern.stop('SIGKILL');
  await postern.start();
  await until('the metadata service was asked', () => asked > before);
  assert.is(await ask(), 'echo');
});

test('another value is another identity, for which the policy does not hold', async () => {
  tags = { env: 'test' };
  await postern.stop();
  await postern.start();
  await until('the identity of the other value is there', () => endsWith('cloud:tag/env=test'));
  await postern.settled();
  assert.is(await ask(), 'EPERM');
});

test.run();
