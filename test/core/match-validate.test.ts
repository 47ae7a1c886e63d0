import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { FieldError } from '../../src/core/problem.ts';
import { validateWorkload } from '../../src/core/workload.ts';
import { addressIdentities } from '../../src/core/workload-addresses.ts';

const ok = { labels: { app: 'a' }, match: { systemdUnit: 'a.service' } };

function errors(body: unknown): { status?: number; errors: readonly FieldError[] } {
  const result = validateWorkload('shop', 'a', body);
  assert.not.ok(result.ok, `accepted ${JSON.stringify(body)}`);
  return result.ok ? { errors: [] } : result;
}

const match = (clause: unknown) => ({ labels: {}, match: clause });
const exe = (path: string) => match({ process: { exe: path, user: 'a' } });

const refused: [what: string, body: unknown, path: string, message: RegExp, status?: number][] = [
  ['an empty clause', match({}), '/match', /every process would match/],
  ['an empty list', match([]), '/match', /no process would ever match/],
  ['a match that is a string', match('nginx'), '/match', /must be an object/],
  ['no match', { labels: {} }, '/match', /is required/],
  ['no labels', { match: ok.match }, '/labels', /is required/],
  ['a list for a body', [], '', /must be an object/],
  ['a typo', match({ systemdunit: 'a.service' }), '/match/systemdunit', /did you mean "systemdUnit"/],
  ['a typo in a list', match([ok.match, { proces: {} }]), '/match/1/proces', /did you mean "process"/],
  ['an empty process', match({ process: {} }), '/match/process', /every process would match/],
  ['a relative executable', exe('bin/java'), '/match/process/exe', /absolute/],
  ['an executable with ..', exe('/usr/../bin/java'), '/match/process/exe', /plain path/],
  ['an open class', exe('/usr/bin/[a'), '/match/process/exe', /never closed by "\]" \(column 10\)/],
  [
    'a star inside of an argument',
    match({ process: { args: ['a*b'] } }),
    '/match/process/args/0',
    /column 2: only the end/,
  ],
  ['a star alone', match({ process: { args: ['*'] } }), '/match/process/args/0', /every process/],
  [
    'a long argument',
    match({ process: { args: ['é'.repeat(128)] } }),
    '/match/process/args/0',
    /longer than 255 bytes/,
  ],
  ['nine arguments', match({ process: { args: Array(9).fill('a') } }), '/match/process/args', /1 to 8/],
  ['an argument that is a number', match({ process: { args: [8080] } }), '/match/process/args/0', /must be a string/],
  ['a user pattern', match({ process: { user: 'tom*' } }), '/match/process/user', /no patterns/],
  [
    'a uid that no user can have',
    match({ process: { user: '4294967295' } }),
    '/match/process/user',
    /number of a user/,
  ],
  ['a unit without type', match({ systemdUnit: 'nginx' }), '/match/systemdUnit', /unit type/],
  ['a unit with a path', match({ systemdUnit: 'a/nginx.service' }), '/match/systemdUnit', /without "\/"/],
  ['the root cgroup', match({ cgroup: '/' }), '/match/cgroup', /root/],
  ['a cgroup with ..', match({ cgroup: 'a/../b' }), '/match/cgroup', /plain path/],
  ['a port without protocol', match({ listen: ['8080'] }), '/match/listen/0', /port\[-port\]\/tcp/],
  ['the drafted form of listen', match({ listen: ['tcp/2049'] }), '/match/listen/0', /protocol "2049"|tcp or/],
  ['port 0', match({ listen: ['0/tcp'] }), '/match/listen/0', /1 to 65535/],
  ['ports backwards', match({ listen: ['9-8/tcp'] }), '/match/listen/0', /backwards/],
  ['a bad address', match({ listen: ['10.0.0.256:8/tcp'] }), '/match/listen/0', /not an IP address/],
  ['a bad label key', { ...ok, labels: { 'a b': 'c' } }, '/labels/a b', /label key/],
  ['a bad label value', { ...ok, labels: { 'x.io/app': '-c' } }, '/labels/x.io~1app', /label values/],
  ['labels that are numbers', { ...ok, labels: { app: 1 } }, '/labels', /object of strings/],
  ['a bad port name', { ...ok, ports: { '80': '80/tcp' } }, '/ports/80', /port name/],
  ['a bad port', { ...ok, ports: { http: 'tcp/80' } }, '/ports/http', /8080\/tcp/],
  ['another name than in the path', { ...ok, name: 'b' }, '/name', /is not "a"/],
  [
    'a relative script',
    match({ process: { script: 'a.py' } }),
    '/match/process/script',
    /^must be an absolute path$/,
    400,
  ],
  ['env without a name', match({ process: { env: ['PROD'] } }), '/match/process/env/0', /^must be NAME=value/, 400],
  ['env with an open name', match({ process: { env: ['OR*'] } }), '/match/process/env/0', /^must be NAME=value/, 400],
  ['a back reference', match({ process: { argsRegex: '(a)\\1' } }), '/match/process/argsRegex', /linear time/, 400],
  [
    'a priority that is no integer',
    { ...ok, priority: 1.5 },
    '/priority',
    /^must be an integer from -1000 to 1000$/,
    400,
  ],
  ['an unknown inherit', { ...ok, inherit: 'fork' }, '/inherit', /^must be subtree or none$/, 400],
  ['addresses beside match', { ...ok, addresses: ['10.0.0.1'] }, '/addresses', /^instead of match, not beside it/, 400],
  [
    'a name as address',
    { labels: {}, addresses: ['db.example.org'] },
    '/addresses/0',
    /^must be an address or a CIDR$/,
    400,
  ],
  ['every address', { labels: {}, addresses: ['::/0'] }, '/addresses/0', /^is every address/, 400],
  ['loopback as address', { labels: {}, addresses: ['127.0.0.1'] }, '/addresses/0', /^is loopback/, 400],
  [
    'addresses within each other',
    { labels: {}, addresses: ['10.0.0.0/8', '10.1.0.1'] },
    '/addresses/1',
    /^overlaps 10\.0\.0\.0\/8/,
    400,
  ],
  ['no address', { labels: {}, addresses: [] }, '/addresses', /^must be a list of 1 to 1024 strings$/, 400],
  ['an unknown field of hosts', { ...ok, hosts: { names: ['a'] } }, '/hosts/names', /^unknown field "names"/, 400],
  [
    'an unknown operator of hosts',
    { ...ok, hosts: { matchExpressions: [{ key: 'site', operator: 'Is', values: ['fra'] }] } },
    '/hosts/matchExpressions/0/operator',
    /^must be one of In, NotIn, Exists, DoesNotExist$/,
    400,
  ],
  [
    'In without values',
    { ...ok, hosts: { matchExpressions: [{ key: 'site', operator: 'In' }] } },
    '/hosts/matchExpressions/0/values',
    /^must be a list/,
    400,
  ],
  [
    'labelsFrom a program where only a unit is named',
    { ...ok, labelsFrom: ['host:site', 'process:package'] },
    '/labelsFrom/1',
    /^match\[0\] names a place or a port, not a program: add process/,
  ],
  [
    'labelsFrom a process by what it has not',
    { ...ok, labelsFrom: ['process:pid'] },
    '/labelsFrom/0',
    /^must be one of process:exe, process:user, process:package$/,
  ],
  ['labelsFrom nothing', { ...ok, labelsFrom: [] }, '/labelsFrom', /^must be a list of 1 to 16 strings$/],
  [
    'labelsFrom a registration',
    { ...ok, labelsFrom: ['user:app'] },
    '/labelsFrom/0',
    /^must be the name of a label that hosts derive$/,
  ],
  ['a mode that is none', { ...ok, mode: 'on' }, '/mode', /^must be one of /],
  ['nothing expected', { ...ok, expect: {} }, '/expect/perHost', /^is required/],
  ['half an endpoint', { ...ok, expect: { perHost: 1.5 } }, '/expect/perHost', /^must be an integer from 0/],
  ['runBy nobody', { ...ok, runBy: [] }, '/runBy', /^must be a list of 1 to 64 strings$/],
  ['runBy a pattern', { ...ok, runBy: ['deploy*'] }, '/runBy/0', /^must be the name or the number of a user/],
  [
    'expect beside addresses',
    { labels: {}, addresses: ['10.0.0.1'], expect: { perHost: 1 } },
    '/expect',
    /^has no meaning/,
  ],
];
for (const [what, body, path, message, status] of refused) {
  test(`refuses ${what}`, () => {
    const result = errors(body);
    const found = result.errors.find((error) => error.path === path);
    assert.ok(found, `no error at "${path}" in ${JSON.stringify(result.errors)}`);
    assert.match(found.message, message);
    assert.is(result.status, status ?? 400);
  });
}

const PLACED: [string, object, string, RegExp][] = [
  ['a user unit without a user', { systemdUserUnit: 'x.service' }, '/systemdUserUnit', /^must be USER\/UNIT/],
  ['a user unit of a pattern of users', { systemdUserUnit: '*/x.service' }, '/systemdUserUnit', /^must be USER\/UNIT/],
  ['a user unit without a type', { systemdUserUnit: 'alice/x' }, '/systemdUserUnit', /^has no unit type/],
  [
    'a user unit beside a cgroup',
    { systemdUserUnit: 'a/x.service', cgroup: 'x' },
    '/systemdUserUnit',
    /^instead of cgroup/,
  ],
  [
    'a container beside a unit',
    { container: { name: 'a' }, systemdUnit: 'x.service' },
    '/container',
    /^instead of systemdUnit/,
  ],
  ['an empty container', { container: {} }, '/container', /^is empty/],
  ['no labels of a container', { container: { labels: {} } }, '/container/labels', /^is empty/],
  ['a bad pattern of an image', { container: { image: 'a[' } }, '/container/image', /never closed/],
  ['a bad pattern of a label', { container: { labels: { app: '[' } } }, '/container/labels/app', /never closed/],
  ['an unknown field of a container', { container: { id: 'a' } }, '/container/id', /^unknown field/],
];
for (const [what, match, path, message] of PLACED)
  test(`refuses ${what}`, () => {
    const { errors: found } = errors({ ...ok, match });
    assert.match(found.find((error) => error.path === `/match${path}`)?.message ?? JSON.stringify(found), message);
  });

test('how a workload is run and watched over is kept as it was said', () => {
  const said = { mode: 'enforce', expect: { perHost: 2 }, runBy: ['deploy', '1001'] };
  const result = validateWorkload('shop', 'a', { ...ok, ...said });
  assert.ok(result.ok);
  const { mode, expect, runBy } = result.value;
  assert.equal({ mode, expect, runBy }, said);
});

test('a port may be whatever the workload listens on', () => {
  const result = validateWorkload('shop', 'a', { ...ok, ports: { jmx: 'listening', http: '80/tcp' } });
  assert.equal(result.ok && result.value.ports, { jmx: 'listening', http: '80/TCP' });
});

test('labelsFrom a program warns of a clause that cannot tell it, beside one that can', () => {
  const match = [{ systemdUnit: 'a.service' }, { process: { exe: '/usr/bin/a', user: 'app' } }];
  const result = validateWorkload('shop', 'a', { ...ok, match, labelsFrom: ['process:user'] });
  assert.equal(result.ok && result.warnings, [
    'process:user of labelsFrom adds nothing where match[0] names a place or a port, not a program',
  ]);
});

test('a bad name is refused', () => {
  for (const name of ['', 'A', '-a', 'a_b', 'a'.repeat(254)])
    assert.not.ok(validateWorkload('shop', name, ok).ok, name);
  assert.not.ok(validateWorkload('shop.x', 'a', ok).ok);
  assert.ok(validateWorkload('shop', 'a.b', ok).ok);
});

test('nothing that JSON can hold makes it throw', () => {
  for (const odd of [
    null,
    1,
    'x',
    [],
    [[]],
    { labels: null, match: null },
    { labels: [], match: [null, 1, []] },
    match({ process: 1, listen: {} }),
  ]) {
    assert.not.ok(validateWorkload('shop', 'a', odd).ok);
  }
});

test('addresses stand instead of match, canonical and sorted', () => {
  const body = { labels: { app: 'erp' }, addresses: ['2001:DB8::7', '10.9.1.3/28', '10.9.0.7'] };
  const result = validateWorkload('shop', 'erp', body);
  assert.ok(result.ok, JSON.stringify(result));
  assert.equal(result.ok && result.value.addresses, ['10.9.0.7/32', '10.9.1.0/28', '2001:db8::7/128']);
  assert.equal(result.ok && result.value.match, []);
  assert.ok(validateWorkload('shop', 'erp', { ...body, match: [] }).ok);
});

test('a workload has all of its addresses, whatever prefix a policy names inside', () => {
  const cidrs = [
    { id: 1, prefix: '10.0.0.0/8' },
    { id: 2, prefix: '10.9.0.7/32' },
  ];
  assert.equal(addressIdentities(cidrs, [{ identity: 65800, addresses: ['10.9.0.0/16'] }, { identity: 65801 }]), [
    { prefix: '10.0.0.0/8', identity: 1 },
    { prefix: '10.9.0.0/16', identity: 65800 },
  ]);
});

const accepted: [what: string, clause: unknown][] = [
  ['a unit glob', { systemdUnit: 'orders@*.service' }],
  ['a unit with an open end', { systemdUnit: 'datadog-agent*' }],
  ['a cgroup glob', { cgroup: 'user.slice/**/libpod-*.scope' }],
  ['a cgroup as /proc shows it', { cgroup: '/postern.slice/erp' }],
  [
    'every field',
    {
      systemdUnit: 'a.service',
      cgroup: 'a',
      process: { exe: '/a', script: '/b*', user: '0', args: ['a*'], env: ['A=b', 'B=*'], argsRegex: 'a+' },
      listen: ['[::1]:53/UDP'],
    },
  ],
  ['a domain user', { process: { user: 'EXAMPLE\\svc.sql', exe: '/a' } }],
  ['arguments with escapes', { process: { args: ['a\\*b', 'c\\\\d', '[x]', 'what?'] } }],
  ['eight arguments of 255 bytes', { process: { args: Array(8).fill('a'.repeat(255)) } }],
];
for (const [what, clause] of accepted) {
  test(`accepts ${what}`, () => {
    const result = validateWorkload('shop', 'a', {
      labels: { 'example.com/App_1': 'X.y-z', empty: '' },
      match: clause,
    });
    assert.ok(result.ok, JSON.stringify(result));
    assert.equal(result.ok && result.value.match, [clause]);
  });
}

test('what GET gave can be put back', () => {
  const result = validateWorkload('shop', 'a', {
    ...ok,
    namespace: 'shop',
    name: 'a',
    meta: { revision: 3 },
    status: { grade: 'x' },
  });
  assert.equal(result, {
    ok: true,
    value: { namespace: 'shop', name: 'a', labels: { app: 'a' }, match: [{ systemdUnit: 'a.service' }] },
    warnings: [],
  });
});

test('ports are given in capitals', () => {
  const result = validateWorkload('shop', 'a', { ...ok, ports: { http: '8080/tcp' } });
  assert.equal(result.ok && result.value.ports, { http: '8080/TCP' });
});

test('a forgeable claim and a bare interpreter warn', () => {
  const result = validateWorkload('shop', 'a', match({ process: { exe: '/usr/bin/python3.11' } }));
  assert.ok(result.ok);
  assert.equal(result.ok && result.warnings, [
    'match[0] could be claimed by any local user: add systemdUnit, cgroup or process.user',
    'match[0] names an interpreter, so every program that it runs: add script or args',
  ]);
});

test.run();
