import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cli } from './cli-run.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-policy-test-'));
test.after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string | Uint8Array): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: backend, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: backend}}
  ingress:
    - fromEndpoints: [{matchLabels: {app: frontend}}]
      toPorts: [{ports: [{port: "6379", protocol: TCP}]}]
`;
const ENDPOINTS = `
endpoints:
  - {name: front, namespace: shop, labels: {app: frontend}}
  - {name: back, namespace: shop, labels: {app: backend}, ports: [{name: redis, port: 6379}]}
`;
const good = file(
  'good.yaml',
  `${POLICY}---
name: the frontend alone
${ENDPOINTS}
probes:
  - {from: front, to: back, port: redis, expect: allow}
  - {from: front, to: back, port: 80, expect: deny}
  - {from: 192.0.2.7, to: back, port: 6379, expect: drop, ingress: deny, egress: allow}
  - {from: back, to: world, icmp: {type: 8}, expect: allow}
  - {from: host, to: back, protocol: SCTP, port: 6379, expect: deny}
`,
);

test('cases that hold are counted, and the exit code is 0', async () => {
  const { exit, stdout } = await cli(['policy', 'test', good]);
  assert.is(stdout, '5 passed, 0 failed, 0 refused\n');
  assert.is(exit, 0);
});

test('every engine gives the same answers', async () => {
  const [compiled, oracle] = await Promise.all(
    ['compiled', 'oracle'].map((engine) => cli(['policy', 'test', good, '--engine', engine, '-o', 'json'])),
  );
  assert.is(compiled!.stdout, oracle!.stdout);
});

test('a probe that fails is named with what is expected and the rule that decided; exit 1', async () => {
  const bad = file(
    'bad.yaml',
    `cases:
  - name: two that fail
    policyFiles: [policy.yaml]
${ENDPOINTS.replaceAll('\n', '\n    ')}
    probes:
      - {from: front, to: back, port: 80, expect: allow}
      - {from: front, to: back, port: 6379, expect: deny}
      - {from: front, to: back, port: 6379, expect: allow, ingress: deny}
`,
  );
  file('policy.yaml', POLICY);
  const { exit, stdout } = await cli(['policy', 'test', bad]);
  assert.is(exit, 1);
  const [first, second, third, last] = stdout.trimEnd().split('\n');
  assert.match(first!, 'bad.yaml:2 two that fail: front → back 80/TCP: expected allow, is drop: ');
  assert.match(first!, 'ingress default deny of cnp/shop/backend');
  assert.match(second!, 'expected deny, is allow: egress not enforced, ingress cnp/shop/backend ingress[0]');
  assert.match(third!, 'expected allow (ingress deny), is allow');
  assert.is(last, '0 passed, 3 failed, 0 refused');
});

test('a case that uses what is not supported is refused by the name of the field, and fails nothing', async () => {
  const dns = file(
    'dns.json',
    JSON.stringify({
      name: 'by name',
      policies: [
        {
          apiVersion: 'cilium.io/v2',
          kind: 'CiliumNetworkPolicy',
          metadata: { name: 'x' },
          spec: { endpointSelector: {}, egress: [{ toFQDNs: [{ matchName: 'a.b' }] }] },
        },
      ],
      probes: [{ from: 'host', to: 'world', expect: 'allow' }],
    }),
  );
  const { exit, stdout } = await cli(['policy', 'test', dns, good]);
  assert.is(exit, 0);
  assert.match(stdout, /refused {2}.*dns\.json:1 by name: toFQDNs is not supported yet/);
  assert.match(stdout, '5 passed, 0 failed, 1 refused');
});

test('a malformed document, and a probe of nobody, are failures of their case', async () => {
  const broken = file(
    'broken.yaml',
    `cases:
  - {name: a, policies: [{kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: {name: x}, spec: {podSelektor: {}}}], probes: []}
  - {name: b, policies: [], probes: [{from: nobody, to: host, expect: allow}]}
  - {name: c, policies: [], probes: [{from: host, to: host, port: 1, expect: allow}, {from: host, to: host, port: x, expect: allow}]}
`,
  );
  const { exit, stdout } = await cli(['policy', 'test', broken]);
  assert.is(exit, 1);
  assert.match(stdout, 'broken.yaml:2 a: /spec/podSelektor unknown field `podSelektor`, did you mean `podSelector`?');
  assert.match(stdout, 'broken.yaml:3 b: probes[0] names "nobody"');
  assert.match(
    stdout,
    'broken.yaml:4 c: probes[1] has the port "x": it must be 0 to 65535, or a name that "host" declares',
  );
  assert.match(stdout, '0 passed, 3 failed, 0 refused');
});

test('documents alone: accept and reject, where what is not supported counts as accepted', async () => {
  const spec = (rule: string) => `{endpointSelector: {}, egress: [${rule}]}`;
  const of = (expect: string, rule: string) =>
    `{expect: ${expect}, policies: [{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: x}, spec: ${spec(rule)}}]}`;
  const text = ['reject', 'accept', 'accept', 'reject'].map((expect, i) =>
    of(expect, ['{toEntities: [mars]}', '{}', '{toFQDNs: [{matchName: a.b}]}', '{}'][i]!),
  );
  const { exit, stdout } = await cli(['policy', 'test', '-'], { stdin: text.join('\n---\n') });
  assert.is(exit, 1);
  assert.match(stdout, 'expected reject, is accept');
  assert.match(stdout, '3 passed, 1 failed, 0 refused');
});

test('the conformance tables run as they are, more than a hundred thousand probes', async () => {
  const tables = ['cilium-l3l4', 'cilium-l7', 'cilium-validity', 'policies.parse', 'k8s-networkpolicy'].map(
    (name) => new URL(`../conformance/${name}.jsonl.gz`, import.meta.url).pathname,
  );
  const { exit, stdout } = await cli(['policy', 'test', ...tables]);
  assert.is(exit, 0);
  assert.match(stdout, '100300 passed, 0 failed, 139 refused');
});

test('-o json gives every verdict with its reasons', async () => {
  const lines = file(
    'row.jsonl',
    `\n${JSON.stringify({ name: 'one', source: 'x', policies: [], endpoints: [], probes: [{ from: 'host', to: '192.0.2.1', port: 1, expect: 'deny' }] })}\n`,
  );
  const { exit, stdout } = await cli(['policy', 'test', lines, '-o', 'json']);
  assert.is(exit, 1);
  const side = { verdict: 'FORWARDED', reason: 'NOT_ENFORCED', rules: [] };
  assert.equal(JSON.parse(stdout), {
    passed: 0,
    failed: 1,
    refused: 0,
    cases: [
      {
        name: 'one',
        file: lines,
        line: 2,
        result: 'judged',
        verdicts: ['allow'],
        probes: [
          {
            from: 'host',
            to: '192.0.2.1',
            traffic: '1/TCP',
            expect: 'deny',
            passed: false,
            verdict: 'allow',
            egress: side,
            ingress: side,
          },
        ],
      },
    ],
  });
});

test('-o json has a verdict for every probe in its place, null for one that talks to itself', async () => {
  const probes = [
    { from: 'host', to: 'host', port: 1, expect: 'deny', loopback: true },
    { from: 'host', to: '192.0.2.1', port: 1, expect: 'allow' },
  ];
  const row = file('loopback.jsonl', `${JSON.stringify({ name: 'two', policies: [], endpoints: [], probes })}\n`);
  const { exit, stdout } = await cli(['policy', 'test', row, '-o', 'json']);
  assert.is(exit, 0);
  assert.equal(JSON.parse(stdout).cases[0].verdicts, [null, 'allow']);
});

test('what is no test is bad input: exit 2, with file and line', async () => {
  const rows: [string, RegExp][] = [
    [file('slip.yaml', 'name: a\nprboes: []\n'), /slip\.yaml:1: unknown field "prboes", did you mean "probes"\?/],
    [file('none.yaml', 'name: a\npolicies: []\n'), /none\.yaml:1: a test case needs "probes"/],
    [file('from.yaml', 'probes: [{to: host, expect: allow}]\n'), /probes\[0\]\.from: is required/],
    [
      file(
        'slips.yaml',
        `${ENDPOINTS.replace('labels: {app: front', 'lables: {app: front')}probes:\n  - {from: front, to: back, expct: deny}\n`,
      ),
      /slips\.yaml:3: endpoints\[0\]\.lables: unknown field "lables", did you mean "labels"\?.*\n {2}\S+:6: probes\[0\]\.expect: is required\n {2}\S+:6: probes\[0\]\.expct: unknown field "expct", did you mean "expect"\?/,
    ],
    ...[
      ['label', '{endpoints: [{name: a, labels: {app: 5}}], probes: []}', 'endpoints[0].labels.app 5: must be a text'],
      [
        'kind',
        '{endpoints: [{name: a, kind: pod}], probes: []}',
        'endpoints[0].kind "pod": must be one of endpoint, ext',
      ],
      ['twice', '{endpoints: [{name: a}, {name: a}], probes: []}', 'endpoints[1].name "a": is the name of another'],
      [
        'ip',
        '{endpoints: [{name: a, ip: 10.0.0.300}], probes: []}',
        'endpoints[0].ip "10.0.0.300": must be an address',
      ],
      [
        'port',
        '{probes: [{from: host, to: world, port: 70000, expect: deny}]}',
        'port 70000: must be a number, 0 to 65535',
      ],
      [
        'type',
        '{probes: [{from: host, to: world, icmp: {type: 300}, expect: deny}]}',
        'icmp.type 300: must be a number',
      ],
      [
        'word',
        '{probes: [{from: host, to: world, expect: maybe}]}',
        'expect "maybe": must be one of allow, deny, drop',
      ],
      ['proto', '{probes: [{from: host, to: world, protocol: TPC, expect: deny}]}', '"TPC": must be one of TCP, UDP'],
      ['side', '{probes: [{from: host, to: world, expect: deny, ingress: no}]}', 'ingress "no": must be one of'],
      ['http', '{probes: [{from: host, to: world, port: 1, expect: deny, http: {}}]}', 'http is not supported yet'],
      [
        'mode',
        '{enforcement: sometimes, probes: []}',
        'enforcement "sometimes": must be one of default, always, never',
      ],
      ['name', '{name: 5, probes: []}', 'name 5: must be a text, is a number'],
      ['list', '{endpoints: {}, probes: []}', 'endpoints {}: must be a list, is an object'],
    ].map(([name, text, message]): [string, RegExp] => [
      file(`${name}.yaml`, `${text}\n`),
      new RegExp(message!.replaceAll(/[[\]{}.]/g, '\\$&')),
    ]),
    [
      file('row.jsonl', '{"probes":[{"from":"host","to":"world","expect":"x","http":{}}]}'),
      /row\.jsonl:1: probes\[0\]\.expect/,
    ],
    [file('syntax.yaml', 'probes: [\n'), /syntax\.yaml:\d+: /],
    [file('syntax.jsonl', '{}\n{'), /syntax\.jsonl:1: a test case needs "probes"/],
    [file('empty.jsonl.gz', gzipSync('')), /no test cases in/],
    [file('plain.jsonl.gz', 'x'), /cannot read/],
    [join(folder, 'absent.yaml'), /no such file or folder/],
  ];
  for (const [path, message] of rows) {
    const { exit, stderr } = await cli(['policy', 'test', path]);
    assert.is(exit, 2, path);
    assert.match(stderr, message);
  }
});

test('the kernel engine is asked of whoever wired it, and closed', async () => {
  assert.is((await cli(['policy', 'test', good, '--engine', 'kernel'])).exit, 2);
  let closed = 0;
  const { oracleEngine } = await import('../../src/core/policy-case-run.ts');
  const policyEngine = async () => ({ engine: oracleEngine, close: () => void closed++ });
  assert.is((await cli(['policy', 'test', good, '--engine', 'kernel'], { local: { policyEngine } })).exit, 0);
  assert.is(closed, 1);
  const failing = async () => Promise.reject(new Error('EPERM'));
  const { exit, stderr } = await cli(['policy', 'test', good, '--engine', 'kernel'], {
    local: { policyEngine: failing },
  });
  assert.is(exit, 4);
  assert.match(stderr, /cannot load the programs: EPERM/);
});

test.run();
