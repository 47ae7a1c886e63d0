/**
 * What the control plane does, as claims about any database it runs on: run on the embedded PostgreSQL by rest.test.ts
 * and on Debian's by debian-postgres.test.ts.
 */
import * as assert from 'uvu/assert';
import { type Answer, call, cnp, openLines, type TestServer, workload } from './harness.ts';

type Claim = readonly [name: string, run: (server: TestServer) => Promise<void>];

export const SCENARIO: readonly Claim[] = [
  ['a workload is registered by PUT, and answers with its identity and how sure that is', registers],
  ['PUT, GET and a dry run list who else may match, and who wins by what', listsOverlaps],
  ['a policy that allows from a workload that anybody could claim warns', warnsOfForgeable],
  ["addresses stand instead of match, are one workload's at most, and come back as they are", namesAddresses],
  ['what GET gives can be put back and changes nothing', roundTrips],
  ['equal labels are one identity, other labels another', sharesIdentities],
  ['If-Match writes only what the writer has seen', checksEtags],
  ['a dry run answers like the write, with a plan, and changes nothing', rehearses],
  ['DELETE takes an object away once', deletes],
  ['a policy comes back as JSON, and as the YAML that it was', keepsText],
  ['a policy whose metadata is not its path is refused by field', checksPath],
  ['apply takes all documents or none', appliesAllOrNothing],
  ['apply unpacks lists and takes Kubernetes namespaces', unpacksLists],
  ['lists come in pages, each object once', pages],
  ['lists filter by labels', filtersByLabel],
  ['a watch shows each change once, in order, from any revision on', watches],
  ['an agent gets a snapshot, then deltas, and resumes', streamsToAgents],
];

async function put(server: TestServer, path: string, body: unknown, headers = {}): Promise<Answer> {
  const answer = await call(server, 'PUT', path, { body, headers });
  assert.ok(answer.status < 300, answer.text);
  return answer;
}

async function registers(server: TestServer) {
  const { status, body, headers } = await put(server, '/v1/workloads/reg/a', {
    labels: { app: 'a' },
    match: { process: { exe: '/usr/bin/a', user: 'a' } },
    ports: { web: '8080/tcp' },
  });
  assert.is(status, 201);
  assert.is(body.status.identity >> 16, 1);
  assert.ok((body.status.identity & 0xffff) >= 256);
  assert.is(body.status.grade, 'firstPacket');
  assert.equal(body.ports, { web: '8080/TCP' });
  assert.equal(body.match, [{ process: { exe: '/usr/bin/a', user: 'a' } }]);
  assert.ok(headers.etag?.endsWith(`-${body.meta.revision}"`));
  const namespace = await call(server, 'GET', '/v1/namespaces/reg');
  assert.equal(namespace.body.labels, { 'kubernetes.io/metadata.name': 'reg' });
}

async function listsOverlaps(server: TestServer) {
  const exe = '/opt/overlap/bin/java';
  await put(server, '/v1/workloads/over/any', { labels: { app: 'any' }, match: { process: { exe, user: 'app' } } });
  const billing = {
    labels: { app: 'billing' },
    match: { process: { exe, user: 'app', env: ['APP=billing'], script: '/srv/billing.jar' } },
    priority: 1,
    inherit: 'none',
  };
  const wanted = [{ workload: 'over/any', winner: 'over/billing', by: 'priority' }];
  const rehearsed = await put(server, '/v1/workloads/over/billing?dryRun=true', billing);
  assert.equal(rehearsed.body.status.overlaps, wanted);
  const { body } = await put(server, '/v1/workloads/over/billing', billing);
  assert.equal([body.priority, body.inherit], [1, 'none']);
  assert.equal(body.status.overlaps, wanted);
  const any = await call(server, 'GET', '/v1/workloads/over/any');
  assert.equal(any.body.status.overlaps, [{ workload: 'over/billing', winner: 'over/billing', by: 'priority' }]);
}

async function warnsOfForgeable(server: TestServer) {
  await put(server, '/v1/workloads/forge/bare', { labels: { app: 'bare' }, match: { process: { exe: '/opt/bare' } } });
  await put(server, '/v1/workloads/forge/unit', { labels: { app: 'unit' }, match: { systemdUnit: 'unit.service' } });
  const { body } = await put(server, '/v1/policies/cnp/forge/open', {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'forge', name: 'open' },
    spec: {
      endpointSelector: { matchLabels: { app: 'unit' } },
      ingress: [{ fromEndpoints: [{ matchLabels: { app: 'bare' } }, { matchLabels: { app: 'unit' } }] }],
    },
  });
  assert.equal(body.status.warnings, ['allows from forge/bare, which any local user could claim']);
}

async function namesAddresses(server: TestServer) {
  const path = '/v1/workloads/peers/erp';
  const { body } = await put(server, path, { labels: { app: 'erp' }, addresses: ['10.9.1.0/28', '10.9.0.7'] });
  assert.equal(body.addresses, ['10.9.0.7/32', '10.9.1.0/28']);
  assert.equal([body.match, body.status.spoofable, body.status.hint], [[], null, undefined]);
  const got = await call(server, 'GET', path);
  assert.is((await put(server, path, got.body)).body.meta.revision, body.meta.revision);
  const other = { labels: { app: 'other' }, addresses: ['10.9.0.0/16'] };
  const refused = await call(server, 'PUT', '/v1/workloads/peers/other', { body: other });
  assert.is(refused.status, 409);
  assert.match(refused.text, /10\.9\.0\.0\/16 overlaps 10\.9\.0\.7\/32 of workload peers\/erp/);
  const both = await call(server, 'PUT', path, { body: { ...other, match: { cgroup: 'a' } } });
  assert.equal([both.status, both.body.errors[0].path], [400, '/addresses']);
}

async function roundTrips(server: TestServer) {
  const first = await put(server, '/v1/workloads/trip/a', workload('trip'));
  const got = await call(server, 'GET', '/v1/workloads/trip/a');
  assert.equal(got.body, first.body);
  const again = await put(server, '/v1/workloads/trip/a', got.body);
  assert.is(again.status, 200);
  assert.is(again.body.meta.revision, first.body.meta.revision);
  const yaml = await call(server, 'GET', '/v1/workloads/trip/a', { headers: { accept: 'application/yaml' } });
  assert.match(yaml.text, /^namespace: trip\n/);
  const fromYaml = await put(server, '/v1/workloads/trip/a', yaml.text);
  assert.is(fromYaml.body.meta.revision, first.body.meta.revision);
  const unchanged = await call(server, 'GET', '/v1/workloads/trip/a', {
    headers: { 'if-none-match': got.headers.etag! },
  });
  assert.is(unchanged.status, 304);
}

async function sharesIdentities(server: TestServer) {
  const a = await put(server, '/v1/workloads/share/a', workload('same'));
  const b = await put(server, '/v1/workloads/share/b', workload('same'));
  const c = await put(server, '/v1/workloads/share/c', workload('other'));
  assert.is(a.body.status.identity, b.body.status.identity);
  assert.is.not(a.body.status.identity, c.body.status.identity);
  const { body } = await call(server, 'GET', `/v1/identities/${a.body.status.identity}`);
  assert.equal(body.workloads, ['share/a', 'share/b']);
  assert.ok(body.labels.includes('user:app=same') && body.labels.includes('k8s:io.kubernetes.pod.namespace=share'));
  const moved = await put(server, '/v1/workloads/share/b', workload('other'));
  assert.is(moved.body.status.identity, c.body.status.identity);
  const clash = { ...workload('other'), ports: { web: '80/tcp' } };
  await put(server, '/v1/workloads/share/b', clash);
  const refused = await call(server, 'PUT', '/v1/workloads/share/c', { body: { ...clash, ports: { web: '81/tcp' } } });
  assert.is(refused.status, 409);
  assert.match(refused.body.detail, /share\/b/);
}

async function checksEtags(server: TestServer) {
  const path = '/v1/workloads/etag/a';
  const first = await put(server, path, workload('one'), { 'if-none-match': '*' });
  assert.is((await call(server, 'PUT', path, { body: workload('x'), headers: { 'if-none-match': '*' } })).status, 412);
  const second = await put(server, path, workload('two'), { 'if-match': first.headers.etag! });
  const stale = await call(server, 'PUT', path, {
    body: workload('three'),
    headers: { 'if-match': first.headers.etag! },
  });
  assert.is(stale.status, 412);
  assert.is(stale.body.code, 'stale');
  assert.is((await call(server, 'DELETE', path, { headers: { 'if-match': first.headers.etag! } })).status, 412);
  assert.is((await call(server, 'DELETE', path, { headers: { 'if-match': second.headers.etag! } })).status, 204);
}

async function rehearses(server: TestServer) {
  const before = await call(server, 'GET', '/v1/workloads');
  const path = '/v1/workloads/dry/a';
  const dry = await call(server, 'PUT', `${path}?dryRun=true`, { body: workload('dry') });
  assert.is(dry.status, 201);
  assert.equal(dry.body.plan.changes, [{ kind: 'Workload', namespace: 'dry', name: 'a', result: 'created' }]);
  assert.is((await call(server, 'GET', path)).status, 404);
  const after = await call(server, 'GET', '/v1/workloads');
  assert.is(after.body.revision, before.body.revision);
  const real = await put(server, path, workload('dry'));
  assert.is(real.body.status.identity, dry.body.status.identity);
  const gone = await call(server, 'DELETE', `${path}?dryRun=true`);
  assert.is(gone.status, 200);
  assert.is((await call(server, 'GET', path)).status, 200);
}

async function deletes(server: TestServer) {
  const path = '/v1/workloads/del/a';
  await put(server, path, workload('del'));
  const full = await call(server, 'DELETE', '/v1/namespaces/del');
  assert.is(full.status, 409);
  assert.is((await call(server, 'DELETE', path)).status, 204);
  assert.is((await call(server, 'DELETE', path)).status, 404);
  assert.is((await call(server, 'GET', path)).status, 404);
  assert.is((await call(server, 'DELETE', '/v1/namespaces/del')).status, 204);
}

async function keepsText(server: TestServer) {
  const text = [
    '# who may call the store',
    'apiVersion: cilium.io/v2',
    'kind: CiliumNetworkPolicy',
    'metadata: {name: text, namespace: shop}',
    'spec:',
    '  endpointSelector: {matchLabels: {app: text}}   # the store',
    '  ingress: [{}]',
    '',
  ].join('\n');
  const path = '/v1/policies/cnp/shop/text';
  const created = await put(server, path, text);
  assert.is(created.status, 201);
  assert.is((await call(server, 'GET', path, { headers: { accept: 'application/yaml' } })).text, text);
  const { body } = await call(server, 'GET', path);
  assert.equal(Object.keys(body.document), ['apiVersion', 'kind', 'metadata', 'spec']);
  assert.is(body.kind, 'cnp');
  const again = await put(server, path, body);
  assert.equal(again.body.document, body.document);
  await put(server, '/v1/policies/cnp/shop/json', cnp('json'));
  const yaml = await call(server, 'GET', '/v1/policies/cnp/shop/json', { headers: { accept: 'application/yaml' } });
  assert.match(yaml.text, /^apiVersion: cilium\.io\/v2\nkind: /);
}

async function checksPath(server: TestServer) {
  const { status, body } = await call(server, 'PUT', '/v1/policies/cnp/shop/other', { body: cnp('this') });
  assert.is(status, 400);
  assert.is(body.errors[0].path, '/metadata/name');
  assert.equal(body.errors[0].allowed, ['other']);
  const kind = await call(server, 'PUT', '/v1/policies/netpol/shop/this', { body: cnp('this') });
  assert.is(kind.body.errors[0].path, '/kind');
}

async function appliesAllOrNothing(server: TestServer) {
  const own = (name: string, spec: object) => ({
    apiVersion: 'postern.dev/v1',
    kind: 'Workload',
    metadata: { namespace: 'all', name },
    spec,
  });
  const toText = (documents: readonly object[]) =>
    documents.map((document) => JSON.stringify(document)).join('\n---\n');
  const bad = await call(server, 'POST', '/v1/apply', {
    body: toText([own('good', workload('good')), own('bad', { labels: {}, match: {} }), cnp('fine')]),
  });
  assert.is(bad.status, 400);
  assert.is(bad.body.errors[0].document, 'Workload all/bad');
  assert.is(bad.body.errors[0].path, '/spec/match');
  assert.is(bad.body.errors[0].line, 3);
  assert.is((await call(server, 'GET', '/v1/workloads/all/good')).status, 404);
  const text = toText([own('good', workload('good')), cnp('fine')]);
  const good = await call(server, 'POST', '/v1/apply', { body: text });
  const warnings = ['selects no registered workload: check the labels of endpointSelector'];
  assert.equal(good.body.results, [
    { kind: 'Workload', namespace: 'all', name: 'good', result: 'created' },
    { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'fine', result: 'created', warnings },
  ]);
  const again = await call(server, 'POST', '/v1/apply', { body: text });
  assert.equal(
    again.body.results.map((item: { result: string }) => item.result),
    ['unchanged', 'unchanged'],
  );
  assert.is(again.body.revision, good.body.revision);
  const twice = await call(server, 'POST', '/v1/apply', { body: toText([cnp('fine'), cnp('fine')]) });
  assert.is(twice.status, 409);
}

async function unpacksLists(server: TestServer) {
  const { status, body, text } = await call(server, 'POST', '/v1/apply', {
    body: {
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'listed', labels: { env: 'prod' }, uid: 'x' } },
        cnp('listed'),
      ],
    },
  });
  assert.is(status, 200, text);
  assert.equal(
    body.results.map((item: { name: string }) => item.name),
    ['listed', 'listed'],
  );
  const namespace = await call(server, 'GET', '/v1/namespaces/listed');
  assert.equal(namespace.body.labels, { env: 'prod', 'kubernetes.io/metadata.name': 'listed' });
  const odd = await call(server, 'POST', '/v1/apply', {
    body: { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' } },
  });
  assert.is(odd.status, 422);
  assert.is(odd.body.errors[0].path, '/kind');
}

async function pages(server: TestServer) {
  for (const name of ['p1', 'p2', 'p3', 'p4', 'p5']) await put(server, `/v1/workloads/page/${name}`, workload(name));
  const names: string[] = [];
  let cursor = '';
  do {
    const { body } = await call(server, 'GET', `/v1/workloads?namespace=page&limit=2${cursor}`);
    names.push(...body.items.map((item: { name: string }) => item.name));
    cursor = body.next === undefined ? '' : `&cursor=${body.next}`;
  } while (cursor !== '');
  assert.equal(names, ['p1', 'p2', 'p3', 'p4', 'p5']);
}

async function filtersByLabel(server: TestServer) {
  const labels = { a: { app: 'a', tier: 'x' }, b: { app: 'b', tier: 'x' }, c: { app: 'c' } };
  for (const [name, value] of Object.entries(labels)) {
    await put(server, `/v1/workloads/label/${name}`, { labels: value, match: { cgroup: `/${name}` } });
  }
  const names = async (selector: string) => {
    const path = `/v1/workloads?namespace=label&labelSelector=${encodeURIComponent(selector)}`;
    return (await call(server, 'GET', path)).body.items.map((item: { name: string }) => item.name).join();
  };
  assert.is(await names('app in (a, c)'), 'a,c');
  assert.is(await names('tier=x,app!=a'), 'b');
  assert.is(await names('!tier'), 'c');
  assert.is((await call(server, 'GET', '/v1/workloads?labelSelector=a%20b%20c')).status, 400);
}

async function watches(server: TestServer) {
  const start = (await call(server, 'GET', '/v1/workloads')).body.revision;
  const live = await openLines(server, `/v1/workloads?watch=true&revision=${start}&labelSelector=app`);
  const names = Array.from({ length: 30 }, (_, i) => `w${i}`);
  const written = await Promise.all(names.map((name) => put(server, `/v1/workloads/watch/${name}`, workload(name))));
  await call(server, 'DELETE', '/v1/workloads/watch/w0');
  const revisions = written.map((answer) => answer.body.meta.revision as number);
  assert.equal(new Set(revisions).size, names.length, 'each write has a revision of its own');
  await live.until((line) => line.type === 'DELETED' && line.object.name === 'w0');
  const seen = live.lines.filter((line) => line.type === 'ADDED').map((line) => line.revision);
  assert.equal(
    seen,
    [...revisions].sort((a, b) => a - b),
  );
  live.close();

  const later = await openLines(server, `/v1/workloads?watch=true&revision=${start}`);
  await later.until((line) => line.type === 'DELETED' && line.object.name === 'w0');
  assert.equal(
    later.lines.filter((line) => line.type === 'ADDED').map((line) => line.revision),
    seen,
  );
  later.close();
  const all = await openLines(server, '/v1/workloads?watch=true');
  await all.until((line) => line.type === 'BOOKMARK');
  assert.ok(all.lines.some((line) => line.type === 'ADDED' && line.object.name === 'w1'));
  all.close();
  assert.is((await call(server, 'GET', '/v1/workloads?watch=true&revision=999999')).status, 410);
}

async function streamsToAgents(server: TestServer) {
  await put(server, '/v1/policies/cnp/shop/agent', cnp('agent'));
  const stream = await openLines(server, '/v1/agent/stream?host=h1');
  const snapshot = await stream.until((line) => line.type === 'snapshot');
  assert.ok(snapshot.policies.some((policy: { name: string }) => policy.name === 'agent'));
  const { body } = await put(server, '/v1/workloads/agent/a', workload('agent'));
  const delta = await stream.until((line) => line.revision === body.meta.revision);
  assert.equal(delta.put.workloads, [
    {
      namespace: 'agent',
      name: 'a',
      labels: { app: 'agent' },
      match: [{ systemdUnit: 'agent.service' }],
      identity: body.status.identity,
      createdRevision: body.meta.revision,
    },
  ]);
  assert.is(delta.put.identities[0].id, body.status.identity);
  stream.close();

  await call(server, 'DELETE', '/v1/workloads/agent/a');
  const resumed = await openLines(
    server,
    `/v1/agent/stream?host=h1&uid=${snapshot.uid}&revision=${body.meta.revision}`,
  );
  const gone = await resumed.until((line) => line.type === 'delta');
  assert.equal(gone.delete, { workloads: ['agent/a'], identities: [body.status.identity] });
  assert.is(resumed.lines[0].type, 'delta');
  resumed.close();
  const stranger = await openLines(server, '/v1/agent/stream?host=h1&uid=other&revision=1');
  await stranger.until((line) => line.type === 'snapshot');
  stranger.close();
}
