import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Flow } from '../../src/api/flow.ts';
import { registration } from '../../src/cli/command/discover.ts';
import { curl, quote, toPath } from '../../src/cli/curl.ts';
import { flowLine, peerName } from '../../src/cli/flow-line.ts';
import { clauseFlags, clauseText } from '../../src/cli/match-text.ts';
import { fieldErrorText, problemFailure, toExit } from '../../src/cli/problem.ts';
import { alignRows, cellWidth, table } from '../../src/cli/table.ts';
import { agentTarget, parseTarget, serverTargets, targetText } from '../../src/cli/target.ts';
import { age, bytes, clock, span } from '../../src/cli/time.ts';

process.env.TZ = 'UTC';
const plain = (_colour: string, text: string) => text;
const http = { kind: 'http', url: new URL('http://127.0.0.1:7460') } as const;
const unix = { kind: 'unix', path: '/run/postern/server.sock' } as const;

test('curl: a read over TCP', () => {
  const request = { method: 'GET', path: '/v1/workloads', query: [['labelSelector', 'app in (a,b)']] } as const;
  assert.is(
    curl(http, request),
    'curl http://127.0.0.1:7460/v1/workloads?labelSelector=app%20in%20(a,b)'.replace(/(http\S+)/, "'$1'"),
  );
});

test('curl: a write over the unix socket, with a body quoted for the shell', () => {
  const request = {
    method: 'PUT',
    path: '/v1/x',
    headers: { 'content-type': 'application/json' },
    body: `{"a":"it's"}`,
  } as const;
  assert.is(
    curl(unix, request),
    `curl -X PUT -H 'content-type: application/json' -d '{"a":"it'\\''s"}' --unix-socket /run/postern/server.sock http://localhost/v1/x`,
  );
});

test('curl: a body from a file stays a file, a stream is not buffered', () => {
  assert.match(
    curl(http, { method: 'POST', path: '/v1/apply', body: 'x', bodyFile: 'a b.yaml' }),
    /--data-binary '@a b.yaml'/,
  );
  assert.match(curl(http, { method: 'GET', path: '/v1/flows', follow: true }), /^curl -N /);
});

test('query values are encoded, and stay readable where they may', () => {
  assert.is(
    toPath({
      path: '/v1/flows',
      query: [
        ['workload', 'shop/a'],
        ['rule', 'cnp/shop/b ingress[0]'],
        ['x', '&=?#'],
      ],
    }),
    '/v1/flows?workload=shop/a&rule=cnp/shop/b%20ingress%5B0%5D&x=%26=%3F%23',
  );
});

test('quote leaves plain words alone', () => {
  assert.is(quote('a/b-c_d.e:f,g@h%i+j'), 'a/b-c_d.e:f,g@h%i+j');
  assert.is(quote(''), "''");
  assert.is(quote('$(rm)'), "'$(rm)'");
});

test('targets: what a server may be called', () => {
  for (const [text, is] of [
    ['unix:/run/x.sock', 'unix:/run/x.sock'],
    ['unix:///run/x.sock', 'unix:/run/x.sock'],
    ['/run/x.sock', 'unix:/run/x.sock'],
    ['http://127.0.0.1:7460', 'http://127.0.0.1:7460'],
    ['http://127.0.0.1:7460/', 'http://127.0.0.1:7460'],
    ['localhost:7461', 'http://localhost:7461'],
    ['http://[::1]:7460', 'http://[::1]:7460'],
  ] as const) {
    assert.is(targetText(parseTarget(text)), is);
  }
});

test('targets: what a server may not be called', () => {
  for (const text of ['https://x:1', 'ftp://x', 'http://x/v1', 'http://x?y', '::']) {
    assert.throws(
      () => parseTarget(text),
      (error: Error) => error.message.includes(`"${text}"`),
      text,
    );
  }
});

test('targets: a server named by the user is the only one tried', () => {
  assert.equal(serverTargets({ server: 'a:1', runDir: '/run/postern' }).map(targetText), ['http://a:1']);
});

test('targets: without a socket that opens, loopback; with another run directory, never the default port', () => {
  assert.equal(serverTargets({ runDir: '/nowhere' }).map(targetText), ['unix:/nowhere/server.sock']);
  assert.equal(serverTargets({ runDir: '/nowhere', listen: '127.0.0.1:7461' }).map(targetText), [
    'unix:/nowhere/server.sock',
    'http://127.0.0.1:7461',
  ]);
  assert.is(targetText(agentTarget('/run/b')), 'unix:/run/b/agent.sock');
});

test('a table lines up, cuts nothing, and does not pad the last column', () => {
  assert.is(
    table(
      ['A', 'LONG', 'C'],
      [
        ['aaaa', 'b', 'c'],
        ['a', 'bb', ''],
      ],
    ),
    'A     LONG  C\naaaa  b     c\na     bb',
  );
});

test('colours and wide characters do not shift columns', () => {
  assert.is(cellWidth('\x1b[31mred\x1b[39m'), 3);
  assert.equal(
    alignRows([
      ['\x1b[31mx\x1b[39m', 'a'],
      ['yy', 'b'],
    ]),
    ['\x1b[31mx\x1b[39m   a', 'yy  b'],
  );
});

test('spans', () => {
  const rows: [number, string][] = [
    [0, '0 ms'],
    [999, '999 ms'],
    [1000, '1 s'],
    [1234, '1.2 s'],
    [119_000, '119 s'],
    [120_000, '2 min'],
    [7_200_000, '2 h'],
    [172_800_000, '2 d'],
  ];
  for (const [ms, text] of rows) assert.is(span(ms), text);
});

test('ages: never negative, "-" when there is no time', () => {
  assert.is(age('2026-11-24T09:30:00Z', Date.parse('2026-11-24T09:30:30Z')), '30 s');
  assert.is(age('2026-11-24T09:30:00Z', Date.parse('2026-11-24T09:29:00Z')), '0 s');
  assert.is(age('2026-11-24T09:30:00Z', Date.parse('2026-11-24T09:30:01.400Z')), '1 s');
  assert.is(age(undefined, 0), '-');
});

test('bytes', () => {
  const rows: [number, string][] = [
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_999, '1.0 MB'],
    [3_400_000, '3.4 MB'],
  ];
  for (const [n, text] of rows) assert.is(bytes(n), text);
});

test('the clock shows milliseconds, and passes on what is no time', () => {
  assert.is(clock('2026-11-24T09:30:00.123456Z'), 'Nov 24 09:30:00.123');
  assert.is(clock('soon'), 'soon');
});

const FLOW: Flow = {
  time: '2026-11-24T09:30:00.123456Z',
  event: 'deny',
  verdict: 'DROPPED',
  direction: 'INGRESS',
  protocol: 'TCP',
  dropReason: 'POLICY_DENIED',
  rule: 'default deny of cnp/shop/backend',
  host: 'db-1',
  source: {
    workload: 'shop/stranger',
    identity: 66023,
    ip: '10.0.0.5',
    port: 41234,
    process: { pid: 812, exe: '/usr/bin/curl' },
  },
  destination: {
    workload: 'shop/backend',
    identity: 66022,
    ip: '10.0.0.9',
    port: 6379,
    process: { pid: 640, exe: '/usr/bin/redis-server' },
  },
};

test('a denial says who, to whom, why, by which rule, where', () => {
  assert.is(
    flowLine(FLOW, plain),
    'Nov 24 09:30:00.123  DROPPED    deny      INGRESS  shop/stranger 10.0.0.5:41234 (curl 812) -> shop/backend 10.0.0.9:6379/TCP (redis-server 640)  POLICY_DENIED by default deny of cnp/shop/backend  on db-1',
  );
});

test('a close says how much and how long', () => {
  const line = flowLine(
    {
      ...FLOW,
      event: 'close',
      verdict: 'FORWARDED',
      dropReason: undefined,
      bytes: { sent: 1200, received: 34 },
      durationMs: 1234,
    },
    plain,
  );
  assert.match(line, /sent 1\.2 kB, received 34 B in 1\.2 s/);
});

test('lost events are shown', () => {
  assert.is(
    flowLine({ time: FLOW.time, event: 'lost', count: 12, where: 'ring buffer of db-1' }, plain),
    'Nov 24 09:30:00.123  12 events lost (ring buffer of db-1)',
  );
});

test('IPv6 addresses stand in brackets, an absent end is a question mark', () => {
  assert.match(
    flowLine({ ...FLOW, source: undefined, destination: { identity: 10, ip: '2001:db8::1', port: 443 } }, plain),
    /\? -> world-ipv6 \[2001:db8::1\]:443\/TCP/,
  );
});

test('a peer without a workload is called by its reserved name, its prefix, or its number', () => {
  assert.is(peerName({ identity: 1 }), 'host');
  assert.is(peerName({ identity: 16777217, labels: ['cidr:10.0.0.0/8', 'reserved:world-ipv4'] }), '10.0.0.0/8');
  assert.is(peerName({ identity: 70000 }), 'identity 70000');
  assert.is(peerName({}), 'unknown');
});

test('a clause as text, and as the flags that would write it', () => {
  const clause = {
    systemdUnit: 'x@*.service',
    process: {
      exe: '/usr/bin/java',
      script: '/a.jar',
      user: 'app',
      args: ['-jar', 'a b'],
      env: ['A=1'],
      argsRegex: 'x',
    },
    listen: ['80/tcp'],
  };
  assert.is(
    clauseText(clause),
    'unit=x@*.service exe=/usr/bin/java script=/a.jar user=app arg=-jar arg=a b env=A=1 argsRegex=x listen=80/tcp',
  );
  assert.is(
    clauseFlags(clause),
    "--systemd-unit 'x@*.service' --exe /usr/bin/java --script /a.jar --user app --arg=-jar --arg 'a b' --env A=1 --args-regex x --listen 80/tcp",
  );
});

test('a suggestion becomes the command that registers it', () => {
  const suggested = {
    namespace: 'default',
    name: 'redis',
    labels: { app: 'redis' },
    match: [{ process: { exe: '/usr/bin/redis-server', user: 'redis' } }],
  };
  assert.is(
    registration({ suggested }),
    'postern workload put default/redis --label app=redis --exe /usr/bin/redis-server --user redis',
  );
});

test('exit codes of statuses', () => {
  for (const status of [400, 404, 409, 412, 413, 415, 422, 428]) assert.is(toExit(status), 2, String(status));
  for (const status of [401, 403]) assert.is(toExit(status), 4, String(status));
  for (const status of [429, 500, 502, 503, 302]) assert.is(toExit(status), 3, String(status));
});

test('a field error says where, what was there, what is wrong, what is allowed', () => {
  assert.is(
    fieldErrorText({ path: '/match/0/process/args', value: '[', message: 'must be a list' }),
    '/match/0/process/args "[": must be a list',
  );
  assert.is(fieldErrorText({ path: '/a', message: 'is wrong', allowed: ['x', 'y'] }), '/a: is wrong (allowed: x, y)');
  assert.is(
    fieldErrorText({ path: '', message: 'is empty', line: 3, column: 7 }),
    'line 3:7 (the whole body): is empty',
  );
});

test('allowed words that the message already lists are not said twice', () => {
  assert.is(
    fieldErrorText({ path: '/a', message: 'must be one of x1, y1', allowed: ['x1', 'y1'] }),
    '/a: must be one of x1, y1',
  );
});

test('a problem becomes its detail, its errors, its hint', () => {
  const body = {
    title: 'A field is not valid',
    status: 400,
    detail: 'The workload is not valid',
    errors: [{ path: '/labels', message: 'is required' }],
    hint: 'curl …',
  };
  const failure = problemFailure(
    { status: 400, headers: {}, text: JSON.stringify(body) },
    { method: 'PUT', path: '/v1/x' },
  );
  assert.equal(
    [failure.exit, failure.message, ...failure.details],
    [2, 'The workload is not valid', '  /labels: is required', 'hint: curl …'],
  );
});

test('an answer that is no problem is shown as it came', () => {
  const failure = problemFailure(
    { status: 502, headers: {}, text: '<html>Bad Gateway</html>' },
    { method: 'GET', path: '/v1/x' },
  );
  assert.equal(
    [failure.exit, failure.message, ...failure.details],
    [3, 'the server answered 502 to GET /v1/x', '  <html>Bad Gateway</html>'],
  );
});

test.run();
