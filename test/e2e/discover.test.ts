/** What runs without a name: who listens, who only talks, with whom; and documents that name them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import { askTcp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { run, serve, start } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('discover');
const POSTERN = join(import.meta.dirname, '../../postern');
const folder = mkdtempSync(join(tmpdir(), 'postern-discover-'));
let postern: Instance;
let echoPort: number;

const cli = (...argv: string[]) =>
  run(['env', `POSTERN_RUN_DIR=${postern.runDir}`, POSTERN, ...argv], { limitMs: 20_000 });

// biome-ignore lint/suspicious/noExplicitAny: an answer's body
async function found(kind: string, wanted: (item: any) => boolean): Promise<any> {
  // biome-ignore lint/suspicious/noExplicitAny: an answer's body
  let item: any;
  await until(`a ${kind} ${wanted}`, async () => {
    item = (await postern.api('GET', `/v1/discover?kind=${kind}&limit=1000`)).body.items.find(wanted);
    return item !== undefined;
  });
  return item;
}

test.before(
  told(async () => {
    postern = await startInstance();
    echoPort = await freePort();
    const echo = join(import.meta.dirname, 'echo.mjs');
    await serve([process.execPath, echo, `tcp:${echoPort}`], /ready/, { cgroup: postern.makeCgroup('echo.service') });
  }),
);
test.after(async () => {
  await postern?.destroy();
  rmSync(folder, { recursive: true });
});

test('a program that only talks is found with its peers, also when it has ended', async () => {
  assert.is(await askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup('client.service') }), 'echo');
  const talker = await found('talker', ({ unit }) => unit === 'client.service');
  assert.equal(
    [talker.process.exe, talker.process.user, talker.listening, talker.talksTo],
    ['/usr/bin/bash', 'root', [], [`127.0.0.1:${echoPort}/TCP`]],
  );
  assert.equal(talker.suggested.match, [
    { systemdUnit: 'client.service', process: { exe: '/usr/bin/bash', user: 'root' } },
  ]);
  const listener = await found('listener', ({ unit }) => unit === 'echo.service');
  assert.is(listener.listening[0].port, echoPort);
});

test('what listens and talks is a listener that says with whom', async () => {
  const script = `
    const net = require('net');
    net.createServer(() => {}).listen(0, '127.0.0.1', () => console.log('ready'));
    net.connect(${echoPort}, '127.0.0.1');`;
  await serve([process.execPath, '-e', script], /ready/, { cgroup: postern.makeCgroup('both.service') });
  const both = await found('listener', ({ unit, talksTo }) => unit === 'both.service' && talksTo.length > 0);
  assert.equal(both.talksTo, [`127.0.0.1:${echoPort}/TCP`]);
  const { body } = await postern.api('GET', '/v1/discover?kind=talker&limit=1000');
  assert.is(
    body.items.some(({ unit }: { unit: string }) => unit === 'both.service'),
    false,
  );
});

test('the table of talkers, and what is refused', async () => {
  const { stdout } = await cli('discover', '--talkers');
  assert.match(`${stdout}`, /^PROPOSED +LISTENS +WHERE +EXE +USER +PID +CONF +GRADE +HOST +TALKS TO/);
  const wrong = await postern.api('GET', '/v1/discover?kind=talkers');
  assert.equal([wrong.status, wrong.body.errors[0].allowed], [400, ['listener', 'talker']]);
});

test('-o yaml gives documents that apply takes, and then they are no longer discovered', async () => {
  const { code, stdout, stderr } = await cli('discover', '--unregistered', '-o', 'yaml');
  assert.is(code, 0, stderr);
  const own = parseAllDocuments(stdout)
    .map((document) => document.toJS())
    .filter(({ spec }) => ['echo.service', 'client.service'].includes(spec.match[0].systemdUnit));
  assert.is(own.length, 2, stdout);
  const file = join(folder, 'own.yaml');
  writeFileSync(file, own.map((document) => JSON.stringify(document)).join('\n---\n'));
  const applied = await cli('apply', '-f', file);
  assert.is(applied.code, 0, applied.stderr);
  const talk = () => askTcp('127.0.0.1', echoPort, { cgroup: postern.makeCgroup('client.service') });
  await until('both have names', async () => {
    await talk();
    const { body } = await postern.api('GET', '/v1/discover?limit=1000');
    return !body.items.some(({ unit }: { unit: string }) => unit === 'echo.service' || unit === 'client.service');
  });
});

test('status counts what is not named, says what is ahead of policy, and is green', async () => {
  const { code, stdout } = await cli('status');
  assert.is(code, 0, stdout);
  assert.match(stdout, /^host-a +READY +revision \d+ of \d+ .* up .*\nall is well\n/);
  assert.match(stdout, /\nworkloads +2 registered, /);
  assert.match(stdout, /\n15 min +allowed \d+, denied 0/);
  assert.match(stdout, /\nfailsafe +.*DHCP client, Postern, neighbour discovery, ICMP errors\n/);
  assert.match(stdout, /\nhooks +(\d+) of \1 ours$/m);
  const json = JSON.parse((await cli('status', '--host', 'host-a', '-o', 'json')).stdout);
  assert.equal([json.ok, json.hosts.length, json.last15Minutes.dropped], [true, 1, 0]);
  assert.is((await cli('status', '--host', 'host-z')).code, 2);
});

test('exit 1 says what to do, exit 3 that nothing answers', async () => {
  await postern.workload('shop/one', {
    labels: { app: 'one' },
    match: { process: { exe: '/usr/bin/sleep', user: '0' } },
  });
  await postern.workload('shop/two', {
    labels: { app: 'two' },
    match: { process: { exe: '/usr/bin/sleep', user: 'root' } },
  });
  const child = start(['sleep', '1000'], { cgroup: postern.makeCgroup('tie.service') });
  try {
    await until('the conflict is seen', async () => {
      const { code, stdout } = await cli('status');
      return code === 1 && /TO DO \d +shop\/one: conflict with shop\/two/.test(stdout);
    });
  } finally {
    child.kill('SIGKILL');
  }
  await postern.stop();
  assert.is((await cli('status', '--server', `unix:${postern.runDir}/server.sock`)).code, 3);
});

test.run();
