import { exec, execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runCli } from '../../src/cli/run.ts';
import { cli, memoryIo, type With } from './cli-run.ts';
import { callAgentApi, flowBatch, REPORT, startTestServer, type TestServer } from './test-server.ts';

const test = suite('against a server');
let running: TestServer;
let folder: string;

test.before(async () => {
  running = await startTestServer();
  folder = mkdtempSync(join(tmpdir(), 'postern-cli-'));
});
test.after(async () => {
  await running?.close();
  rmSync(folder, { recursive: true });
});

const run = (argv: string[], options: With = {}) => cli(argv, { ...options, env: { ...running.env, ...options.env } });

async function done(argv: string[], options: With = {}): Promise<string> {
  const { exit, stdout, stderr } = await run(argv, options);
  assert.is(exit, 0, `postern ${argv.join(' ')}\n${stderr}`);
  return stdout.trimEnd();
}

async function refused(argv: string[], exit: number, options: With = {}): Promise<string> {
  const ran = await run(argv, options);
  assert.is(ran.exit, exit, `postern ${argv.join(' ')}\n${ran.stdout}${ran.stderr}`);
  assert.is(ran.stdout, '');
  return ran.stderr.trimEnd();
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const POLICY = `# who may call the backend
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {namespace: shop, name: backend, labels: {team: a}}
spec:
  endpointSelector: {matchLabels: {app: backend}}
  ingress:
    - fromEndpoints: [{matchLabels: {app: frontend}}]
      toPorts: [{ports: [{port: "6379", protocol: TCP}]}]
`;
const WORKLOAD = `apiVersion: postern.dev/v1
kind: Workload
metadata: {namespace: shop, name: backend}
spec:
  labels: {app: backend}
  match: {process: {exe: /usr/bin/redis-server, user: redis}}
`;

test('nothing is there yet: says what to do next, on stderr', async () => {
  const { exit, stdout, stderr } = await run(['get', 'workloads']);
  assert.equal([exit, stdout], [0, '']);
  assert.match(stderr, /no workloads yet: postern discover/);
});

test('apply: a dry run changes nothing, then all is created, then all is unchanged', async () => {
  const paths = ['-f', file('b.yaml', WORKLOAD), '-f', file('a.yaml', POLICY)];
  const created = 'created  Workload             shop/backend\ncreated  CiliumNetworkPolicy  shop/backend';
  assert.match(await done(['apply', ...paths, '--dry-run']), /^created {2}Workload[\s\S]*would differ$/);
  assert.is((await run(['get', 'workloads'])).stdout, '');
  assert.is(await done(['apply', ...paths]), created);
  assert.is(await done(['apply', ...paths]), created.replaceAll('created', 'unchanged'));
});

test('apply reads stdin, and prints JSON', async () => {
  const answer = JSON.parse(await done(['apply', '-f', '-', '-o', 'json'], { stdin: POLICY }));
  assert.equal(answer.results, [
    { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'backend', result: 'unchanged' },
  ]);
});

test('apply: a mistake in one of many files names the file, the line, the field, and nothing is applied', async () => {
  const good = file('good.yaml', WORKLOAD.replace('name: backend', 'name: other'));
  const bad = file('wrong.yaml', POLICY.replace('ingress:', 'ingres:'));
  const text = await refused(['apply', '-f', good, '-f', bad], 2);
  assert.match(
    text,
    new RegExp(`^error: Cannot accept CiliumNetworkPolicy shop/backend\n {2}${bad}:\\d+:\\d+ /spec/ingres`),
  );
  assert.match(text, /did you mean .ingress/);
  assert.match(await refused(['workload', 'get', 'shop/other'], 2), /There is no shop\/other/);
});

test('workload put from flags is what workload get shows', async () => {
  const argv = [
    'workload',
    'put',
    'shop/frontend',
    '-l',
    'app=frontend',
    '--systemd-unit',
    'nginx.service',
    '--port',
    'http=80/tcp',
    '--match',
    '{listen: [8080/tcp]}',
  ];
  assert.match(await done(argv), /^workload shop\/frontend created, revision \d+$/);
  assert.match(await done(argv), /^workload shop\/frontend is up to date, revision \d+$/);
  const workload = JSON.parse(await done(['workload', 'get', 'shop/frontend', '-o', 'json']));
  assert.equal(
    [workload.labels, workload.match, workload.ports],
    [{ app: 'frontend' }, [{ systemdUnit: 'nginx.service' }, { listen: ['8080/tcp'] }], { http: '80/TCP' }],
  );
  assert.match(await done(['get', 'workload', 'shop/frontend']), /match: +unit=nginx.service or listen=8080\/tcp/i);
});

test('workload put says who else may match', async () => {
  const java = ['--exe', '/opt/over/java', '--user', 'app', '-l', 'app=x'];
  await done(['workload', 'put', 'over/any', ...java]);
  const own = [
    '--script',
    '/srv/a.jar',
    '--env',
    'APP=a',
    '--args-regex',
    'a+',
    '--priority',
    '-1',
    '--inherit',
    'none',
  ];
  const answer = await run(['workload', 'put', 'over/own', ...java, ...own]);
  assert.is(answer.exit, 0, answer.stderr);
  assert.match(answer.stderr, /^note: a process of it may also be over\/any: then over\/any wins by priority$/m);
  const workload = JSON.parse(await done(['workload', 'get', 'over/own', '-o', 'json']));
  assert.equal(
    [workload.priority, workload.inherit, workload.match[0].process],
    [-1, 'none', { exe: '/opt/over/java', script: '/srv/a.jar', user: 'app', env: ['APP=a'], argsRegex: 'a+' }],
  );
  assert.match(await refused(['workload', 'put', 'over/own', ...java, '--priority', 'x'], 2), /--priority/);
  await done(['workload', 'delete', 'over/any', 'over/own']);
  await done(['namespace', 'delete', 'over']);
});

test('a peer without an agent is put by its addresses', async () => {
  await done(['workload', 'put', 'peers/erp', '-l', 'app=erp', '--address', '10.9.0.7', '--address', '10.9.1.0/28']);
  assert.match(await done(['get', 'workload', 'peers/erp']), /match: +10\.9\.0\.7\/32 or 10\.9\.1\.0\/28/i);
  const bad = ['workload', 'put', 'peers/erp', '-l', 'app=erp', '--address', '10.9.0.7', '--address', 'erp.example'];
  assert.match(await refused(bad, 2), /--address "erp\.example": must be an address or a CIDR/);
  await done(['workload', 'delete', 'peers/erp']);
  await done(['namespace', 'delete', 'peers']);
});

test('what workload get prints can be put back, as JSON and as YAML', async () => {
  for (const format of ['json', 'yaml']) {
    const path = file(`frontend.${format}`, await done(['workload', 'get', 'shop/frontend', '-o', format]));
    assert.match(await done(['workload', 'put', 'shop/frontend', '-f', path]), /is up to date/);
  }
});

test('a policy comes back as it was written, and can be put back by its own name', async () => {
  assert.is(await done(['get', 'cnp/shop/backend', '-o', 'yaml']), POLICY.trimEnd());
  for (const format of ['json', 'yaml']) {
    const path = file(`policy.${format}`, await done(['policy', 'get', 'cnp/shop/backend', '-o', format]));
    assert.match(await done(['policy', 'put', '-f', path]), /^policy cnp\/shop\/backend is up to date/);
  }
});

test('put -f takes a document of apply, if it is about that object', async () => {
  const workload = file('own.yaml', WORKLOAD);
  assert.match(await done(['workload', 'put', 'shop/backend', '-f', workload]), /is up to date/);
  assert.match(
    await refused(['workload', 'put', 'shop/other', '-f', workload], 2),
    /the file is about workload shop\/backend, not about workload shop\/other/,
  );
  assert.match(
    await refused(['workload', 'put', 'shop/backend', '-f', file('cnp.yaml', POLICY)], 2),
    /the file is about policy cnp\/shop\/backend/,
  );
  assert.match(await refused(['policy', 'put', '-f', workload], 2), /the file is not about one policy/);
});

test('a policy as a card shows how it goes, and the document', async () => {
  assert.match(
    await done(['get', 'cnp/shop/backend']),
    /^name: +cnp\/shop\/backend\n[\s\S]*\n\napiVersion: cilium\.io\/v2\n/,
  );
});

test('several by name are told apart', async () => {
  assert.match(
    await done(['get', 'workload', 'shop/backend', 'shop/frontend', '-o', 'yaml']),
    /\n---\nnamespace: shop\n/,
  );
});

test('a refused flag is named, not a line of the body that was made from it', async () => {
  const text = await refused(
    ['workload', 'put', 'shop/x', '-l', 'app=a b', '--exe', 'relative', '--match', '{foo: 1}'],
    2,
  );
  assert.match(text, /\n {2}--label app "a b": /);
  assert.match(text, /\n {2}--exe "relative": /);
  assert.match(text, /\n {2}--match \/match\/1\/foo: unknown field/);
});

test('lists are narrowed by label, namespace and kind', async () => {
  assert.match(
    await done(['workload', 'list', '--selector', 'app in (frontend,x)']),
    /^NAME[^\n]*\nshop\/frontend [^\n]*$/,
  );
  assert.is((await run(['workload', 'list', '--namespace', 'elsewhere'])).stdout, '');
  assert.match(await done(['policy', 'list', '--kind', 'cnp', '-l', 'team=a']), /cnp\/shop\/backend/);
  assert.is((await run(['get', 'netpol'])).stdout, '');
  assert.match(await done(['get', 'cnp']), /cnp\/shop\/backend/);
  assert.match(await done(['get', 'ns']), /^NAME[^\n]*\nshop/);
  assert.match(await refused(['workload', 'list', '--selector', 'app in (a'], 2), /is not a label selector/);
});

test('--create-only and --if-match protect what is there', async () => {
  assert.match(
    await refused(['workload', 'put', 'shop/frontend', '-l', 'a=b', '--exe', '/x', '--create-only'], 2),
    /it exists/,
  );
  assert.match(
    await refused(['workload', 'put', 'shop/frontend', '-l', 'a=b', '--exe', '/x', '--if-match', '"x-1"'], 2),
    /If-Match asks for/,
  );
  const stale = ['apply', '-f', '-', '--if-match', '"x-1"', '--if-match', '"x-2"'];
  assert.match(await refused(stale, 2, { stdin: POLICY }), /If-Match asks for "x-1", "x-2", it is at/);
});

test('the curl that is shown does the same', async () => {
  const { stdout, stderr } = await run(['get', 'workload', 'shop/frontend', '-o', 'json', '--show-curl']);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  exec(`${stderr.trim()} -s`, (error, text) => (error ? reject(error) : resolve(text)));
  assert.equal(JSON.parse(await promise), JSON.parse(stdout));
});

test('hosts, endpoints and discover show what an agent reported', async () => {
  await callAgentApi(running.server, 'PUT', '/v1/agent/hosts/web-1/report', 'application/json', JSON.stringify(REPORT));
  assert.match(await done(['get', 'hosts']), /web-1 +ready/);
  assert.match(
    await done(['get', 'endpoints', '--host', 'web-1']),
    /web-1\/812-44120 +shop\/backend +65792 +ok +exec match\[0\] firstPacket +\/usr\/bin\/redis-server\[812\] +0\.0\.0\.0:6379\/TCP +enforced +none/,
  );
  assert.match(await done(['endpoint', 'get', 'web-1/812-44120']), /cgroup: +system\.slice\/redis\.service/);
  assert.match(await refused(['endpoint', 'get', 'web-1/1-1'], 2), /There is no endpoint web-1\/1-1/);
  assert.match(
    await done(['discover']),
    /default\/nginx +80\/TCP +nginx\.service +\/usr\/sbin\/nginx[\s\S]*\n {2}postern workload put default\/nginx --label app=nginx --systemd-unit nginx\.service$/,
  );
});

test('the registration that discover proposes is accepted', async () => {
  const line = (await done(['discover'])).split('\n').at(-1)!.trim();
  assert.match(await done([...line.split(' ').slice(1), '--dry-run']), /would be created: dry run, nothing changed/);
});

test('completion knows the names of the server', async () => {
  assert.is(await done(['__complete', '--', 'workload', 'get', 'shop/f']), 'shop/frontend');
  assert.is(await done(['__complete', '--', 'get', 'policy', 'cnp/']), 'cnp/shop/backend');
  assert.is(await done(['__complete', '--', 'observe', '--workload=shop/f']), '--workload=shop/frontend');
});

test('watch shows all there is, then each change', async () => {
  const { io, ran } = memoryIo(running.env, '');
  void runCli(['get', 'workloads', '--watch'], io);
  await eventually(() => ran().stdout.includes('shop/frontend'));
  await done(['workload', 'put', 'shop/late', '-l', 'app=late', '--systemd-unit', 'late.service']);
  await eventually(() => /\nADDED +shop\/late/.test(ran().stdout));
  await done(['workload', 'delete', 'shop/late']);
  await eventually(() => /\nDELETED +shop\/late/.test(ran().stdout));
});

test('observe shows flows, lost ones too', async () => {
  await callAgentApi(running.server, 'POST', '/v1/agent/flows', 'application/x-ndjson', flowBatch(Date.now()));
  await eventually(async () => (await run(['observe', '-o', 'json'])).stdout.includes('"close"'));
  const lines = (await done(['observe'])).split('\n');
  assert.ok(
    lines.some((line) =>
      /DROPPED +deny +INGRESS +shop\/stranger 10\.0\.0\.5:41234 \(curl 900\) -> shop\/backend 10\.0\.0\.7:6379\/TCP +POLICY_DENIED by default deny of cnp\/shop\/backend +on web-1$/.test(
        line,
      ),
    ),
    lines.join('\n'),
  );
  assert.ok(
    lines.some((line) => /3 events lost/.test(line)),
    lines.join('\n'),
  );
});

test('observe filters, and with -o json prints one object a line', async () => {
  const flows = async (...filters: string[]) => {
    const { stdout, stderr, exit } = await run(['observe', ...filters, '-o', 'json']);
    assert.is(exit, 0, stderr);
    const parsed = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { event: string });
    return parsed
      .map((flow) => flow.event)
      .filter((event) => event !== 'lost')
      .join(' ');
  };
  assert.is(await flows('--verdict', 'dropped'), 'deny');
  assert.is(await flows('--verdict', 'dropped,forwarded'), 'deny close');
  assert.is(await flows('--verdict', 'dropped', '--verdict', 'forwarded'), 'deny close');
  assert.is(await flows('--from', 'shop/frontend', '--since', '1h'), 'close');
  assert.is(await flows('--rule', 'cnp/shop/backend', '--event', 'close'), 'close');
  assert.is(await flows('--port', '1'), '');
  assert.is(await flows('--last', '1', '--event', 'deny,close'), 'close');
  assert.match(await refused(['observe', '--port', 'x'], 2), /Parameter port "x" must be a port/);
  assert.match(await refused(['observe', '--since', 'yesterday'], 2), /since "yesterday" must be a time/);
});

test('observe -f shows flows as they come', async () => {
  const { io, ran } = memoryIo(running.env, '');
  void runCli(['observe', '-f', '--verdict', 'DROPPED', '-o', 'json', '--show-curl'], io);
  await eventually(() => ran().stderr.startsWith('curl -N'));
  await callAgentApi(running.server, 'POST', '/v1/agent/flows', 'application/x-ndjson', flowBatch(Date.now()));
  await eventually(() => ran().stdout.includes('"deny"'));
  assert.not(ran().stdout.includes('"close"'));
});

test('status: all is well, and then something is to be done', async () => {
  const well = await done(['status']);
  assert.match(well, /^web-1 +READY/);
  assert.match(
    well,
    /denied 2 \(top shop\/stranger -> shop\/backend:6379, default deny of cnp\/shop\/backend\), lost events 6/,
  );
  assert.match(well, /not named +1 service: postern discover/);
  const report = JSON.stringify({ ...REPORT, state: 'degraded', degraded: ['SCTP: this kernel lacks it'] });
  await callAgentApi(running.server, 'PUT', '/v1/agent/hosts/web-1/report', 'application/json', report);
  const { exit, stdout } = await run(['status']);
  assert.is(exit, 1);
  assert.match(stdout, /TO DO 1 +web-1: SCTP: this kernel lacks it/);
  const json = JSON.parse((await run(['status', '-o', 'json'])).stdout);
  assert.equal([json.ok, json.toDo, json.last15Minutes.lost], [false, ['web-1: SCTP: this kernel lacks it'], 6]);
});

test('what is too large is told, however much of it is on the way', async () => {
  const large = file('large.yaml', `# ${'x'.repeat(24 * 1024 * 1024)}\na: 1\n`);
  const told = await new Promise<string>((resolve) => {
    // a process of its own: here, client and server would take turns
    const child = execFile(join(import.meta.dirname, '../../postern'), ['apply', '-f', large], {
      env: { ...process.env, ...running.env },
    });
    let text = '';
    child.stderr!.on('data', (chunk) => {
      text += chunk;
    });
    child.on('close', (code) => resolve(`${code} ${text}`));
  });
  assert.match(told, /^2 error: The body is larger than 4 MiB\nhint: split it/);
});

test('delete by label asks; with --yes it does', async () => {
  assert.match(
    await refused(['delete', 'workloads', '--selector', 'app=frontend'], 2),
    /workload shop\/frontend\nerror: delete it\? Nobody to ask here: say --yes/,
  );
  assert.match(
    await done(['delete', 'workloads', '--selector', 'app=frontend', '--yes']),
    /workload shop\/frontend deleted/,
  );
});

test('delete from files leaves nothing behind, and may be said twice', async () => {
  const path = file(
    'all.yaml',
    `${WORKLOAD}---\n${POLICY}---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n`,
  );
  assert.is(
    await done(['delete', '-f', path]),
    'workload shop/backend deleted\npolicy cnp/shop/backend deleted\nnamespace shop deleted',
  );
  assert.match(await done(['delete', '-f', path]), /policy cnp\/shop\/backend is not there/);
  assert.match(
    await refused(['delete', 'cnp/shop/backend'], 2),
    /There is no cnp\/shop\/backend in policies\nhint: postern get policies/,
  );
});

async function eventually(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setImmediate(resolve));
}

test.run();
