/** Tags from the metadata services of clouds, at their address in a network namespace of the test. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNetns, type Netns } from '../e2e/netns.ts';
import { run, serve } from '../e2e/run-in.ts';
import { told } from '../e2e/wait.ts';

const test = suite('metadata services of clouds');
const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
let netns: Netns;
let service: ChildProcess;
let requests = '';

test.before(
  told(async () => {
    netns = createNetns(`pt-${process.pid}-imds`);
    netns.ip('addr add 169.254.169.254/32 dev lo');
    const words = [process.execPath, join(import.meta.dirname, 'metadata-service.mjs')];
    service = await serve(words, /ready/, { netns: netns.path });
    service.stdout!.on('data', (text) => {
      requests += text;
    });
  }),
);
test.after(() => {
  service?.kill('SIGKILL');
  netns?.delete();
  rmSync(folder, { recursive: true });
});

/** What an agent in that namespace knows, once it knows something. */
async function tagsOf(source: string): Promise<unknown> {
  const script = `
    import { CloudTags } from ${JSON.stringify(join(import.meta.dirname, '../../src/agent/cloud-tags.ts'))};
    const cloud = new CloudTags(${JSON.stringify(source)}, ${JSON.stringify(join(folder, source))}, () => {
      console.log(JSON.stringify(cloud.tags));
      cloud.stop();
    });
    setTimeout(() => process.exit(1), 10_000).unref();`;
  const words = [process.execPath, '--input-type=module', '--eval', script];
  const { stdout, stderr } = await run(words, { netns: netns.path, limitMs: 20_000 });
  assert.match(stdout, /^\[/, `${stderr}${requests}`);
  return JSON.parse(stdout);
}

for (const [source, tags] of [
  [
    'aws',
    [
      ['Name', 'web/1 of "shop"'],
      ['aws:autoscaling:groupName', 'web'],
      ['env', 'prod'],
    ],
  ],
  [
    'gcp',
    [
      ['http-server', ''],
      ['web', ''],
    ],
  ],
  [
    'gcp:env,none',
    [
      ['env', 'prod'],
      ['http-server', ''],
      ['web', ''],
    ],
  ],
  [
    'azure',
    [
      ['Cost Center', '4711; a:b'],
      ['env', 'prod'],
    ],
  ],
] as const)
  test(`${source}: what its manual asks for is sent, and its tags come back`, async () => {
    assert.equal(await tagsOf(source), tags);
  });

test('what nobody asked for is not fetched: keys and scripts of the custom metadata', () => {
  assert.match(requests, /attributes\/env 200/);
  assert.not.match(requests, /ssh-keys|startup-script/);
  assert.not.match(requests, / 40\d$/m, 'nothing was refused');
});

test('the service itself refuses who has no token, no header or no version', async () => {
  const status = (path: string, headers: Record<string, string> = {}) =>
    `(await fetch('http://169.254.169.254${path}', { headers: ${JSON.stringify(headers)} })).status`;
  const asks = [
    status('/latest/meta-data/tags/instance'),
    status('/latest/meta-data/tags/instance', { 'x-aws-ec2-metadata-token': 'mine' }),
    status('/computeMetadata/v1/instance/tags?alt=json'),
    status('/metadata/instance/compute/tagsList?api-version=2021-02-01'),
    status('/metadata/instance/compute/tagsList', { metadata: 'true' }),
  ];
  const script = `console.log(JSON.stringify([${asks.join(', ')}]))`;
  const words = [process.execPath, '--input-type=module', '--eval', script];
  const { stdout } = await run(words, { netns: netns.path });
  assert.equal(JSON.parse(stdout), [401, 401, 403, 400, 400]);
});

test.run();
