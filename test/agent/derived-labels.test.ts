import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CloudTags } from '../../src/agent/cloud-tags.ts';
import { DerivedLabels, type DerivedSources } from '../../src/agent/derived-labels.ts';
import { Packages } from '../../src/agent/packages.ts';
import { until } from '../e2e/wait.ts';

const test = suite('derived labels');
const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
test.after(() => rmSync(folder, { recursive: true }));

const OS = join(folder, 'os-release');
writeFileSync(OS, 'NAME="Red Hat Enterprise Linux"\nID="rhel"\nVERSION_ID="9.4"\n');
const BOX = {
  id: 'b',
  name: 'web-1',
  image: 'reg/app:1',
  labels: { tier: 'web' },
  cgroup: 'system.slice/docker-b.scope',
};
const derived = (more: Partial<DerivedSources> = {}) =>
  new DerivedLabels(
    {
      hostLabels: { site: 'fra' },
      tags: () => [['env', 'prod']],
      containerOf: (cgroup) => (cgroup.includes('docker-b') ? BOX : undefined),
      packageOf: (path) => (path === '/usr/sbin/nginx' ? 'nginx-core' : undefined),
      ...more,
    },
    OS,
  );
const HOST = ['cloud:tag/env=prod', 'host:os=rhel-9.4', 'host:site=fra'];

const rows: [what: string, from: Parameters<DerivedLabels['of']>[0], labels: string[]][] = [
  [
    'a service',
    { exe: '/usr/sbin/nginx', user: 'www-data', cgroup: '/system.slice/nginx.service' },
    [
      ...['process:exe=/usr/sbin/nginx', 'process:package=nginx-core', 'process:user=www-data'],
      ...['systemd:slice=system.slice', 'systemd:unit=nginx.service'],
    ],
  ],
  [
    "a container, whose paths are not the host's",
    { exe: '/usr/sbin/nginx', user: 'root', cgroup: '/system.slice/docker-b.scope/x.service' },
    [
      ...['container:image=reg/app:1', 'container:name=web-1', 'container:tier=web', 'process:exe=/usr/sbin/nginx'],
      ...['process:user=root', 'systemd:slice=system.slice', 'systemd:unit=docker-b.scope'],
    ],
  ],
  ['a process of which only its user is known', { user: 'root' }, ['process:user=root']],
];
for (const [what, from, labels] of rows)
  test(`of ${what}`, () => assert.equal(derived().of(from), [...labels, ...HOST].sort()));

test('two processes that look alike share one list, and a new package name is another', () => {
  let owner: string | undefined;
  const labels = derived({ packageOf: () => owner });
  const from = { exe: '/opt/x', user: 'root', cgroup: '/a.slice' };
  assert.is(labels.of(from), labels.of({ ...from }));
  owner = 'x';
  assert.ok(labels.of(from).includes('process:package=x'));
});

test("the package of a file is known soon after it was asked for; of a file that is nobody's never", async () => {
  const packages = new Packages(() => {});
  assert.is(packages.of('/usr/bin/dpkg'), undefined);
  packages.of(OS);
  await until('dpkg has answered', () => packages.of('/usr/bin/dpkg') === 'dpkg');
  assert.is(packages.of(OS), undefined);
  packages.stop();
});

test('tags come from a file or a URL; what is none, or is not there, is no tag and holds nothing up', async () => {
  const file = join(folder, 'tags.json');
  writeFileSync(file, '{"env": "prod", "size": 3, "team": "erp"}');
  const server = createServer((_, response) => response.end('{"zone": "fra"}')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  for (const [source, tags] of [
    [
      file,
      [
        ['env', 'prod'],
        ['team', 'erp'],
      ],
    ],
    [url, [['zone', 'fra']]],
  ] as const) {
    let changes = 0;
    const cloud = new CloudTags(source, join(folder, String(tags)), () => changes++);
    await until('the tags are there', () => cloud.tags.length > 0);
    assert.equal([cloud.tags, changes], [tags, 1]);
    cloud.stop();
  }
  assert.equal(new CloudTags(join(folder, 'none'), join(folder, 'state'), () => {}).tags, []);
  server.close();
});

test.run();
