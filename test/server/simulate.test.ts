// @timeout 120
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, parseAllDocuments } from 'yaml';
import { call, cnp, startTestServer, type TestServer, workload } from './harness.ts';

const test = suite('simulate and suggest');
let server: TestServer;
const ids: Record<string, number> = {};
const NOW = Date.now();
/** All but the one flow of a second ago. */
const SINCE = new Date(NOW - 500).toISOString();

async function ok(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await call(server, method, path, { ...(body !== undefined && { body }), headers });
  assert.ok(answer.status < 300, answer.text);
  return answer;
}

interface Seen {
  readonly from: string;
  readonly to: string;
  readonly port?: number;
  readonly protocol?: string;
  readonly times?: number;
  readonly verdict?: string;
  readonly agoMs?: number;
  readonly both?: boolean;
}

function end(name: string) {
  if (/^[\d.]+$/.test(name)) return { identity: 9, ip: name, labels: ['reserved:world-ipv4'] };
  if (name === 'host') return { identity: 1, ip: '10.0.0.7' };
  return { workload: name, identity: ids[name] ?? 70_000, ip: '10.0.0.7' };
}

/** As an agent would: a connection within one host is told by both of its sides. */
function* flowsOf({
  from,
  to,
  port = 6379,
  protocol = 'TCP',
  times = 1,
  verdict = 'FORWARDED',
  agoMs = 0,
  both = true,
}: Seen) {
  for (let i = 0; i < times; i++) {
    for (const direction of both ? ['EGRESS', 'INGRESS'] : ['EGRESS']) {
      yield {
        time: new Date(NOW - agoMs + i).toISOString(),
        event: verdict === 'DROPPED' ? 'deny' : direction === 'EGRESS' ? 'connect' : 'accept',
        verdict,
        direction,
        protocol,
        source: { ...end(from), port: 40_000 + i },
        destination: { ...end(to), port },
      };
    }
  }
}

test.before(async () => {
  server = await startTestServer();
  for (const app of ['frontend', 'backend', 'batch', 'gone'])
    ids[`shop/${app}`] = (await ok('PUT', `/v1/workloads/shop/${app}`, workload(app))).body.status.identity;
  const seen: Seen[] = [
    { from: 'shop/frontend', to: 'shop/backend', times: 5 },
    { from: 'shop/batch', to: 'shop/backend', times: 3 },
    { from: 'shop/batch', to: 'shop/backend', port: 9100, times: 2 },
    { from: 'shop/frontend', to: '192.0.2.7', port: 443, times: 4, both: false },
    { from: 'shop/frontend', to: '198.51.100.1', port: 53, protocol: 'UDP', both: false },
    { from: 'host', to: 'shop/backend', port: 9100 },
    { from: 'shop/batch', to: 'shop/frontend', port: 22, verdict: 'DROPPED', both: false },
    { from: 'shop/gone', to: 'shop/backend', times: 2 },
    { from: 'shop/batch', to: 'shop/backend', port: 1, agoMs: 1000 },
  ];
  const lines = [{ host: 'db-1' }, ...seen.flatMap((one) => [...flowsOf(one)])];
  // A close is no judgement of its own.
  const close = { ...[...flowsOf(seen[0]!)][0], event: 'close' };
  const body = [...lines, close].map((line) => `${JSON.stringify(line)}\n`).join('');
  await ok('POST', '/v1/agent/flows', body, { 'content-type': 'application/x-ndjson' });
  await ok('DELETE', '/v1/workloads/shop/gone');
});
test.after(() => server?.close());

const simulate = async (body: unknown, query = '') => (await ok('POST', `/v1/policies:simulate${query}`, body)).body;
// biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
const short = ({ from, to, port, protocol, direction, before, after, connections }: any) =>
  `${from} -> ${to} ${port}/${protocol} ${direction} ${before.verdict}>${after.verdict} ${connections}`;

test('the flows that a new policy would deny are grouped by pair, port and rule, each connection once', async () => {
  const { revision } = (await ok('GET', '/v1/policies')).body;
  const answer = await simulate({ documents: [cnp('backend')], since: SINCE });
  assert.equal(answer.groups.map(short), [
    'shop/batch -> shop/backend 6379/TCP ingress FORWARDED>DROPPED 3',
    'shop/batch -> shop/backend 9100/TCP ingress FORWARDED>DROPPED 2',
    'host -> shop/backend 9100/TCP ingress FORWARDED>DROPPED 1',
  ]);
  assert.equal(answer.groups[0].after, { verdict: 'DROPPED', rule: 'default deny of cnp/shop/backend' });
  assert.equal(answer.groups[0].recorded, { FORWARDED: 6 });
  assert.equal([answer.flows, answer.changed], [32, 12]);
  assert.equal(answer.unjudged, [{ why: 'shop/gone is not registered any more', flows: 4 }]);
  assert.equal(answer.results[0].result, 'created');
  assert.is((await ok('GET', '/v1/policies')).body.revision, revision);
});

test('an older since replays more, and documents may come as YAML', async () => {
  const answer = await simulate(JSON.stringify(cnp('backend')), '?since=24h');
  assert.ok(answer.groups.map(short).includes('shop/batch -> shop/backend 1/TCP ingress FORWARDED>DROPPED 1'));
  const none = await simulate(JSON.stringify(cnp('backend')), `?until=${SINCE}&since=${SINCE}`);
  assert.equal([none.flows, none.groups], [0, []]);
});

test('addresses are met by the prefixes that the proposal names', async () => {
  const out = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name: 'out' },
    spec: { endpointSelector: { matchLabels: { app: 'frontend' } }, egress: [{ toCIDR: ['192.0.2.0/24'] }] },
  };
  const { groups } = await simulate({ documents: [out] });
  assert.equal(groups.map(short), [
    'shop/frontend -> shop/backend 6379/TCP egress FORWARDED>DROPPED 5',
    'shop/frontend -> world-ipv4 53/UDP egress FORWARDED>DROPPED 1',
  ]);
});

test('what is compared is the policy now with the proposed one, not what was recorded', async () => {
  await ok('PUT', '/v1/policies/cnp/shop/backend', cnp('backend'));
  try {
    assert.equal((await simulate({ documents: [cnp('backend')] })).groups, []);
    const opened = await simulate({ documents: [], delete: ['cnp/shop/backend'] });
    assert.equal(opened.groups.map(short)[0], 'shop/batch -> shop/backend 6379/TCP ingress DROPPED>FORWARDED 3');
    assert.is(opened.results[0].result, 'deleted');
    const both = await simulate({ documents: [cnp('other', 'backend', 'batch')] }, '?delete=cnp/shop/backend');
    assert.equal(both.groups.map(short), [
      'shop/frontend -> shop/backend 6379/TCP ingress FORWARDED>DROPPED 5',
      'shop/batch -> shop/backend 6379/TCP ingress DROPPED>FORWARDED 3',
    ]);
  } finally {
    await ok('DELETE', '/v1/policies/cnp/shop/backend');
  }
});

test('what cannot be simulated is refused by field', async () => {
  const wrong = { ...cnp('a'), spec: { endpointSelector: {}, ingres: [] } };
  const rows: [unknown, number, RegExp][] = [
    [{ documents: [wrong] }, 400, /"path":"\/spec\/ingres"[^}]*"line":1,"column":\d+/],
    [{ documents: [], delete: ['cnp/shop/never'] }, 404, /no cnp\/shop\/never/],
    [{ documents: [], delete: ['shop'] }, 400, /is not the name of a policy/],
    [{ documents: [] }, 400, /holds no document/],
    [{ documents: [cnp('a')], since: 'yesterday' }, 400, /must be a time/],
    [{ docs: [] }, 400, /did you mean|unknown field/],
  ];
  for (const [body, status, message] of rows) {
    const answer = await call(server, 'POST', '/v1/policies:simulate', { body });
    assert.is(answer.status, status, answer.text);
    assert.match(answer.text, message);
  }
});

const suggest = async (body: object) => (await ok('POST', '/v1/policies:suggest', { since: SINCE, ...body })).body;

test('suggest gives documents that allow what was seen and no more, as YAML with comments', async () => {
  const answer = await suggest({ workload: 'shop/backend', direction: 'ingress' });
  assert.equal(answer.documents.length, 1);
  assert.equal(answer.documents[0].metadata, { name: 'backend-observed', namespace: 'shop' });
  assert.equal(answer.documents[0].spec.ingress, [
    {
      fromEndpoints: [{ matchLabels: { app: 'batch' } }],
      toPorts: [
        {
          ports: [
            { port: '6379', protocol: 'TCP' },
            { port: '9100', protocol: 'TCP' },
          ],
        },
      ],
    },
    {
      fromEndpoints: [{ matchLabels: { app: 'frontend' } }],
      toPorts: [{ ports: [{ port: '6379', protocol: 'TCP' }] }],
    },
    { fromEntities: ['host'], toPorts: [{ ports: [{ port: '9100', protocol: 'TCP' }] }] },
  ]);
  assert.equal(answer.left, [{ why: 'shop/gone is not registered any more', flows: 4 }]);
  const yaml = (
    await ok('POST', '/v1/policies:suggest', { since: SINCE, workload: 'shop/backend' }, { accept: 'application/yaml' })
  ).text;
  assert.match(yaml, /^# Allows what was seen from .*\n[\s\S]*\n# ingress\[1\]: from shop\/frontend: 10 flows, last 2/);
  assert.equal(parse(yaml).kind, 'CiliumNetworkPolicy');
});

test('the suggestion for all, applied, changes no verdict of what was forwarded; what was denied stays denied', async () => {
  const { yaml, documents, notes } = await suggest({});
  assert.equal(notes, []);
  assert.is(parseAllDocuments(yaml).length, documents.length);
  const { groups } = await simulate(yaml, `?since=${SINCE}`);
  assert.equal(groups.map(short), ['shop/batch -> shop/frontend 22/TCP egress FORWARDED>DROPPED 1']);
  const withDropped = await suggest({ dropped: true });
  assert.equal((await simulate(withDropped.yaml, `?since=${SINCE}`)).groups, []);
  await ok('POST', '/v1/apply', yaml);
  for (const { metadata } of documents) await ok('DELETE', `/v1/policies/cnp/${metadata.namespace}/${metadata.name}`);
});

test('suggest says what other policy would still deny, and refuses a workload that is not there', async () => {
  await ok('PUT', '/v1/policies/cnp/shop/no', {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace: 'shop', name: 'no' },
    spec: {
      endpointSelector: { matchLabels: { app: 'backend' } },
      ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: 'batch' } }] }],
    },
  });
  const { notes } = await suggest({ workload: 'shop/backend' });
  assert.equal(notes, ['shop/batch -> shop/backend would still be denied by cnp/shop/no ingressDeny[0]']);
  await ok('DELETE', '/v1/policies/cnp/shop/no');
  const refused = await call(server, 'POST', '/v1/policies:suggest', { body: { workload: 'shop/never' } });
  assert.equal([refused.status, refused.body.errors[0].path], [404, '/workload']);
  const nothing = await suggest({ namespace: 'lab' });
  assert.equal([nothing.documents, nothing.notes.length], [[], 1]);
});

test.run();
