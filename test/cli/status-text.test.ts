import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { agentStatusText } from '../../src/cli/command/agent.ts';
import { type Overview, percent, statusText } from '../../src/cli/status-text.ts';

const NOW = Date.parse('2026-11-24T09:30:00Z');
const plain = (_colour: string, text: string) => text;

const HOST: Overview['hosts'][number] = {
  name: 'web-1',
  mode: 'enforce',
  status: {
    state: 'ready',
    lastSeen: '2026-11-24T09:29:57Z',
    policyAgeMs: 0,
    appliedRevision: 42,
    degraded: [],
    agentVersion: '0.1.0',
    kernel: '6.1.0',
    features: {},
    addresses: ['10.0.0.7'],
    maps: [{ name: 'policy', entries: 40, maxEntries: 1000 }],
    counters: {},
    endpoints: 3,
  },
};
const META = { uid: 'u', revision: 1, createdAt: '', updatedAt: '', updatedBy: 'uid:0' };
const WORKLOAD: Overview['workloads'][number] = {
  namespace: 'shop',
  name: 'backend',
  labels: {},
  match: [{ systemdUnit: 'redis.service' }],
  meta: META,
  status: { identity: 65792, grade: 'firstPacket', spoofable: null, endpoints: 1, hosts: 1, conflicts: [], drifted: 0 },
};
const WELL: Overview = {
  revision: 42,
  hosts: [HOST],
  workloads: [WORKLOAD],
  policies: [],
  unclaimed: 0,
  provisional: 0,
  dropped: [],
  audited: [],
  lost: 0,
};

const host = (status: Partial<typeof HOST.status>): Overview => ({
  ...WELL,
  hosts: [{ ...HOST, status: { ...HOST.status, ...status } }],
});
const workload = (status: Partial<typeof WORKLOAD.status>, spec: Partial<typeof WORKLOAD> = {}): Overview => ({
  ...WELL,
  workloads: [{ ...WORKLOAD, ...spec, status: { ...WORKLOAD.status, ...status } }],
});

test('all is well: nothing to do', () => {
  const { text, toDo } = statusText(WELL, NOW, plain);
  assert.equal(toDo, []);
  assert.is(
    text,
    [
      'web-1  READY  revision 42 of 42  3 endpoints  agent 0.1.0  kernel 6.1.0  seen 3 s ago',
      'all is well',
      'policy     0 policies, revision 42',
      'workloads  1 registered, 1 running',
      'not named  nothing',
      '15 min     denied 0, lost events 0',
      'maps       policy 4 %',
    ].join('\n'),
  );
});

test('findings have a line where there are any, and the host where there are several', () => {
  const line = (overview: Overview) => /^findings .*$/m.exec(statusText(overview, NOW, plain).text)?.[0];
  const none = { high: 0, medium: 0, low: 0 };
  assert.is(line(host({ findings: none })), undefined);
  const one = host({ findings: { high: 2, medium: 0, low: 1 } });
  assert.equal([line(one), statusText(one, NOW, plain).toDo], ['findings   2 high, 1 low: postern doctor', []]);
  const hosts = [...one.hosts, { ...HOST, name: 'web-2', status: { ...HOST.status, findings: none } }];
  assert.is(line({ ...one, hosts }), 'findings    web-1 2 high, 1 low: postern doctor --host NAME');
});

test('how many processes are provisional is told where agents say so, also none', () => {
  const line = (overview: Overview) => /^workloads .*$/m.exec(statusText(overview, NOW, plain).text)![0];
  assert.is(line(host({ provisional: 0 })), 'workloads  1 registered, 1 running, 0 provisional');
  const some = { ...host({ provisional: 2 }), provisional: 1 };
  assert.is(line(some), 'workloads  1 registered, 1 running, 2 processes and 1 endpoint provisional');
});

test('the screen of one host has what is ahead of policy, what is out of its sight, and the hooks', () => {
  const overview = host({
    bootedAt: '2026-11-12T09:30:00Z',
    unregistered: { listeners: 4, talkers: 9 },
    recent: { minutes: 15, allowed: 81_204, denied: 0, audit: 0 },
    failsafe: ['22/TCP sshd'],
    blind: ['AF_PACKET dhclient (pid 812)'],
    hooks: { attached: 19, of: 19, missing: [] },
  });
  const { text, toDo } = statusText({ ...overview, unclaimed: 4, provisional: 1 }, NOW, plain);
  assert.equal(toDo, []);
  assert.is(
    text,
    [
      'web-1  READY  revision 42 of 42  3 endpoints  agent 0.1.0  kernel 6.1.0  up 12 d  seen 3 s ago',
      'all is well',
      'policy     0 policies, revision 42',
      'workloads  1 registered, 1 running, 1 endpoint provisional',
      'not named  4 listeners, 9 talkers: postern discover --unregistered',
      '15 min     allowed 81204, denied 0, lost events 0',
      'failsafe   22/TCP sshd, DHCP client, Postern, neighbour discovery, ICMP errors',
      'blind      AF_PACKET dhclient (pid 812)',
      'maps       policy 4 %',
      'hooks      19 of 19 ours',
    ].join('\n'),
  );
  const two = { ...overview, hosts: [...overview.hosts, { ...HOST, name: 'web-2' }] };
  assert.not(/failsafe|blind|hooks/.test(statusText(two, NOW, plain).text));
});

const TO_DO: readonly (readonly [string, Overview, string])[] = [
  ['no host', { ...WELL, hosts: [] }, 'no agent has reported: sudo postern agent, or sudo postern standalone'],
  [
    'a silent agent',
    host({ state: 'stale', lastSeen: '2026-11-24T09:20:00Z' }),
    'web-1: its agent is silent for 10 min; its kernel goes on enforcing',
  ],
  [
    'a revision that is not applied',
    host({ appliedRevision: 41, policyAgeMs: 16_000 }),
    'web-1: revision 42 not applied for 16 s',
  ],
  ['a degraded host', host({ degraded: ['SCTP: this kernel lacks it'] }), 'web-1: SCTP: this kernel lacks it'],
  [
    'a map that is nearly full',
    host({ maps: [{ name: 'ipcache', entries: 95, maxEntries: 100 }] }),
    'web-1: map ipcache is 95 % full',
  ],
  [
    'a conflict',
    workload({ conflicts: ['shop/other'] }),
    'shop/backend: conflict with shop/other: give one of them a more telling clause, or --priority',
  ],
  [
    'a name that a file and the control plane have',
    workload({ conflicts: ['shop/backend of the control plane'], source: 'file', host: 'web-1', file: '/etc/w.yaml' }),
    'shop/backend: conflict with shop/backend of the control plane: rename it in /etc/w.yaml of web-1',
  ],
  [
    'a mistake in a file',
    host({
      files: [
        { file: '/etc/w.yaml', workloads: [], problems: ['line 6:5 /spec/match: x'], conflicts: [], waiting: [] },
      ],
    }),
    'web-1: /etc/w.yaml line 6:5 /spec/match: x; what it said before holds',
  ],
  [
    'a hook that is gone',
    host({ hooks: { attached: 18, of: 19, missing: ['on_egress'] } }),
    'web-1: not attached: on_egress: restart its agent',
  ],
  [
    'a process outside of its unit, with the way back',
    workload({
      drifted: 1,
      hint: '1 runs in session-3.scope',
      drifts: [
        {
          ...{
            workload: 'shop/backend',
            host: 'web-1',
            cgroup: '/user.slice/session-3.scope',
            named: true,
            clause: {},
          },
          process: { pid: 812, exe: '/usr/bin/redis-server' },
          expected: ['redis.service'],
        },
      ],
    }),
    'shop/backend: 1 runs in session-3.scope: on web-1: systemctl restart redis.service, or postern workload adopt shop/backend --pid 812',
  ],
  [
    'a drifted endpoint',
    workload({ drifted: 1, hint: '1 of 3 runs outside its unit' }),
    'shop/backend: 1 of 3 runs outside its unit',
  ],
  [
    'a number of endpoints that was not expected',
    workload({ unexpected: [{ host: 'web-1', endpoints: 2 }] }, { expect: { perHost: 1 } }),
    'shop/backend: web-1 has 2, expected 1',
  ],
];
for (const [what, overview, expected] of TO_DO) {
  test(`${what} is something to do`, () => {
    const { text, toDo } = statusText(overview, NOW, plain);
    assert.equal(toDo, [expected]);
    assert.ok(text.includes(`TO DO 1    ${expected}`), text);
  });
}

test('a host that is behind for a moment is nothing to do', () => {
  assert.equal(statusText(host({ appliedRevision: 41, policyAgeMs: 300 }), NOW, plain).toDo, []);
});

test('a workload that matches nothing is named, and is nothing to do', () => {
  const { text, toDo } = statusText(workload({ endpoints: 0 }), NOW, plain);
  assert.equal(toDo, []);
  assert.match(text, /1 registered, 0 running, 1 matching nothing \(shop\/backend\)/);
});

test('the pair that is denied most is named with its rule', () => {
  const flow = (from: string, port: number) => ({
    time: '',
    event: 'deny' as const,
    rule: 'default deny of cnp/shop/backend',
    source: { workload: from },
    destination: { workload: 'shop/backend', port },
  });
  const { text } = statusText(
    { ...WELL, dropped: [flow('shop/a', 1), flow('shop/b', 2), flow('shop/b', 2)] },
    NOW,
    plain,
  );
  assert.match(text, /denied 3 \(top shop\/b -> shop\/backend:2, default deny of cnp\/shop\/backend\)/);
});

test('percent tells some from none', () => {
  assert.equal([percent(0, 100), percent(1, 1000), percent(1, 100), percent(5, 0)], ['0 %', '<1 %', '1 %', '0 %']);
});

test('agent status shows every field that it is given, in words', () => {
  const text = agentStatusText({
    host: 'web-1',
    appliedRevision: 42,
    features: { ringbuf: true, sctp: false },
    addresses: [],
    maps: [{ name: 'policy', entries: 1, maxEntries: 10 }],
    degraded: [],
  });
  assert.is(
    text,
    [
      'host:              web-1',
      'applied revision:  42',
      'features:          ringbuf, sctp no',
      'addresses:         -',
      'maps:              policy 10 %',
      'degraded:          no',
    ].join('\n'),
  );
});

test.run();
