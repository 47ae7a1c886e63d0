// @timeout 120
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cli, type With } from './cli-run.ts';
import { callAgentApi, startTestServer, type TestServer } from './test-server.ts';

const test = suite('policy questions');
let running: TestServer;
let folder: string;

const policyText = (app = 'backend', from = 'frontend') => `# who may call the ${app}
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: ${app}, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: ${app}}}
  ingress:
    - fromEndpoints: [{matchLabels: {app: ${from}}}]
      toPorts: [{ports: [{port: "6379", protocol: TCP}]}]
`;

test.before(async () => {
  running = await startTestServer();
  folder = mkdtempSync(join(tmpdir(), 'postern-cli-'));
  for (const app of ['frontend', 'backend', 'stranger'])
    await done(['workload', 'put', `shop/${app}`, '--label', `app=${app}`, '--systemd-unit', `${app}.service`]);
  await done(['apply', '-f', file('backend.yaml', policyText())]);
});
test.after(async () => {
  await running?.close();
  rmSync(folder, { recursive: true });
});

const run = (argv: string[], options: With = {}) => cli(argv, { ...options, env: { ...running.env, ...options.env } });

async function done(argv: string[], options: With = {}): Promise<string> {
  const { exit, stdout, stderr } = await run(argv, options);
  assert.is(exit, 0, `postern ${argv.join(' ')}\n${stdout}${stderr}`);
  return stdout.trimEnd();
}

async function refused(argv: string[], exit: number, options: With = {}): Promise<string> {
  const ran = await run(argv, options);
  assert.is(ran.exit, exit, `postern ${argv.join(' ')}\n${ran.stdout}${ran.stderr}`);
  return ran.stderr.trimEnd();
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const CHECK = ['policy', 'check', '--to', 'shop/backend'];

test('check says what decides in both directions, and exits 1 for no when asked to', async () => {
  assert.is(
    await done([...CHECK, '--from', 'shop/frontend', '--port', '6379']),
    [
      'FORWARDED  shop/frontend -> shop/backend  6379/TCP',
      '  egress   FORWARDED  no policy selects shop/frontend for egress',
      '  ingress  FORWARDED  cnp/shop/backend ingress[0]: allows app=frontend on 6379/TCP',
    ].join('\n'),
  );
  const denied = await run([...CHECK, '--from', 'shop/stranger', '--port', '6379/tcp', '--exit-code']);
  assert.is(denied.exit, 1);
  assert.match(denied.stdout, /ingress {2}DROPPED {4}default deny of cnp\/shop\/backend: ingress\[0\] allows/);
  await done([...CHECK, '--from', 'shop/stranger', '--port', '6379']);
});

test('check lists the pairs where a selector stands for several that differ', async () => {
  const text = await done([...CHECK, '--from', 'app in (frontend,stranger)', '--port', '6379']);
  assert.match(text, /^FORWARDED {2}shop\/frontend[\s\S]*\n\nDROPPED {2}shop\/stranger/);
  const answer = JSON.parse(
    await done([...CHECK, '--from', 'world', '--port', '53', '--protocol', 'udp', '-o', 'json']),
  );
  assert.equal([answer.verdict, answer.protocol], ['DROPPED', 'UDP']);
});

test('check refuses by name what it cannot ask', async () => {
  assert.match(await refused([...CHECK], 2), /needs --from PEER[\s\S]*a workload \(shop\/frontend/);
  assert.match(await refused([...CHECK, '--from', 'shop/frontend'], 2), /\/port: is required/);
  assert.match(await refused([...CHECK, '--from', 'shop/frontend', '--port', 'a b'], 2), /--port "a b"/);
  assert.match(await refused([...CHECK, '--from', 'shop/frontend', '--port', '99999'], 2), /0 to 65535/);
  assert.match(
    await refused([...CHECK, '--from', 'shop/frontend', '--port', 'http'], 2),
    /Cannot ask that\n {2}\/port "http": must be a number, 0 to 65535, or a name: shop\/backend has no such port of TCP/,
  );
  assert.match(await refused([...CHECK, '--from', '', '--port', '1'], 2), /needs --from PEER, which is empty/);
  assert.match(await refused([...CHECK, '--from', 'shop/nobody', '--port', '1'], 2), /no workload shop\/nobody/);
});

test('history, diff and rollback: each change, what differs, and back again', async () => {
  const ref = 'cnp/shop/store';
  const first = file('store.yaml', policyText('store'));
  await done(['apply', '-f', first]);
  await done(['apply', '-f', file('store2.yaml', policyText('store', 'web'))]);
  const { items } = JSON.parse(await done(['policy', 'history', ref, '-o', 'json']));
  const [second, oldest] = items.map((item: { revision: number }) => String(item.revision));
  assert.match(
    await done(['policy', 'history', ref]),
    /REVISION +WHEN[\s\S]*update {2}\/spec\/ingress\/0[\s\S]*create {2}-$/,
  );
  assert.match(await done(['policy', 'diff', ref]), /\n- .*frontend.*\n\+ .*web.*\n/);
  assert.is((await run(['policy', 'diff', ref, '--from', oldest, '--to', second, '--exit-code'])).exit, 1);
  assert.is((await run(['policy', 'diff', ref, '-f', first, '--exit-code'])).exit, 1);
  assert.match(await done(['policy', 'rollback', ref, '--to', oldest, '--dry-run']), /updated {4}CiliumNetworkPolicy/);
  assert.match(
    await done(['policy', 'rollback', ref, '--to', oldest]),
    /is as it was after revision \d+, revision \d+$/,
  );
  assert.is((await run(['policy', 'diff', ref, '-f', first, '--exit-code'])).exit, 0);
  const would = await done(['policy', 'delete', 'cnp/shop/backend', '--dry-run']);
  assert.match(would, /would be deleted: dry run, nothing changed\n {2}\d+ verdicts would change/);
  assert.match(would, /ingress +from anyone else +everything +DROPPED -> FORWARDED +by no more default deny of cnp/);
  assert.match(await refused(['policy', 'delete', ref, '--if-match', '"x"'], 2), /If-Match asks for "x"/);
  await done(['policy', 'delete', ref]);
  await done(['policy', 'rollback', ref, '--to', second]);
  assert.match(await done(['policy', 'get', ref, '-o', 'yaml']), /app: web/);
  assert.match(await refused(['policy', 'rollback', ref], 2), /--to REVISION is needed/);
  assert.match(await refused(['policy', 'history', 'cnp/shop/never'], 2), /There is no cnp\/shop\/never/);
  assert.match(await refused(['policy', 'diff', ref, '--from', 'x'], 2), /--from "x": expected a revision/);
});

const seen = (from: string, port: number) => ({
  time: new Date(Date.now() - 60_000).toISOString(),
  event: 'accept',
  verdict: 'FORWARDED',
  direction: 'INGRESS',
  protocol: 'TCP',
  source: { workload: from, identity: 1 },
  destination: { workload: 'shop/frontend', identity: 1, port },
});

test('simulate shows what would break, suggest writes what would not', async () => {
  const lines = [{ host: 'web-1' }, seen('shop/stranger', 80), seen('shop/stranger', 81), seen('shop/backend', 80)];
  const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  await callAgentApi(running.server, 'POST', '/v1/agent/flows', 'application/x-ndjson', body);
  const path = file('frontend.yaml', policyText('frontend', 'backend').replace('6379', '80'));
  const text = await done(['policy', 'simulate', '-f', path]);
  assert.match(
    text,
    /^FROM +TO +PORT +TIMES[\s\S]*shop\/stranger {2}shop\/frontend {2}8[01]\/TCP {2}1 {6}ingress {2}FORWARDED -> DROPPED/,
  );
  const ran = await run(['policy', 'simulate', '-f', path, '--since', '1h', '--exit-code']);
  assert.is(ran.exit, 1);
  assert.match(ran.stderr, /2 of 3 flows since .* would be judged otherwise/);
  const yaml = await done(['policy', 'suggest', 'shop/frontend', '--direction', 'ingress']);
  assert.match(yaml, /# ingress\[0\]: from shop\/(backend|stranger)[\s\S]*name: frontend-observed/);
  const replay = await run(['policy', 'simulate', '-f', '-', '--exit-code'], { stdin: yaml });
  assert.equal([replay.exit, replay.stdout], [0, '']);
  assert.match(await refused(['policy', 'simulate'], 2), /needs -f PATH or --delete POLICY/);
  assert.match(await refused(['policy', 'simulate', '--delete', 'cnp/shop/never'], 2), /no cnp\/shop\/never/);
  assert.match(await refused(['policy', 'suggest', 'shop/never'], 2), /no workload shop\/never/);
  assert.match(
    await refused(['policy', 'suggest', 'shop'], 2),
    /for all of a namespace: postern policy suggest -n shop/,
  );
  const wrong = file('wrong.yaml', policyText('frontend').replace('ingress:', 'ingres:'));
  assert.match(await refused(['policy', 'simulate', '-f', wrong], 2), /wrong\.yaml:7:\d+ \/spec\/ingres/);
});

test('apply --prune deletes what the files own and no longer name', async () => {
  const labelled = (name: string) =>
    policyText(name).replace('namespace: shop}', 'namespace: shop, labels: {team: p}}');
  const [one, two] = [file('p1.yaml', labelled('p1')), file('p2.yaml', labelled('p2'))];
  await done(['apply', '-f', one, '-f', two]);
  assert.match(
    await done(['apply', '-f', one, '--prune', '-l', 'team=p', '--dry-run']),
    /deleted {4}CiliumNetworkPolicy {2}shop\/p2/,
  );
  await done(['policy', 'get', 'cnp/shop/p2']);
  await done(['apply', '-f', one, '--prune', '-l', 'team=p']);
  await refused(['policy', 'get', 'cnp/shop/p2'], 2);
  assert.match(await refused(['apply', '-f', one, '--prune'], 2), /--prune and -l SELECTOR go together/);
  assert.match(await refused(['apply', '-f', one, '--prune', '-l', 'team=x'], 2), /p1\.yaml:4:\d+ \/metadata\/labels/);
});

test.run();
