import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type EndpointContext, type LabelledProcess, toEndpoints } from '../../src/agent/endpoint.ts';
import type { OwnedSocket } from '../../src/agent/listening.ts';
import type { HostProcess } from '../../src/agent/process-scan.ts';
import { compileMatch, type RegisteredWorkload } from '../../src/core/match-program.ts';
import type { MatchClause } from '../../src/core/workload.ts';

const WEB: MatchClause[] = [{ systemdUnit: 'web.service' }, { process: { exe: '/opt/web', user: 'web' } }];

function process(pid: number, more: Partial<HostProcess> = {}): HostProcess {
  return {
    pid,
    ppid: 1,
    startTicks: pid * 10,
    startedAt: '2026-01-01T00:00:00.000Z',
    exe: '/opt/web',
    isExeGone: false,
    isHostPath: true,
    args: ['web'],
    uid: 1000,
    user: 'web',
    cgroup: '/system.slice/web.service',
    netns: 1,
    ...more,
  };
}

function labelled(read: HostProcess, more: Partial<LabelledProcess> = {}): LabelledProcess {
  const gainedIn = { id: '77', isCgroupLabel: more.origin === 'cgroup' };
  return {
    process: read,
    workload: 'shop/web',
    clause: 1,
    origin: 'exec',
    grade: 'firstPacket',
    gainedBy: read.pid,
    gainedIn,
    ...more,
  };
}

function context(match: Record<string, MatchClause[]> = { web: WEB }, sockets: OwnedSocket[] = []): EndpointContext {
  const workloads = Object.entries(match).map(
    ([name, clauses], i): RegisteredWorkload => ({
      namespace: 'shop',
      name,
      labels: {},
      match: clauses,
      identity: 65792 + i,
      createdRevision: i + 1,
    }),
  );
  return {
    host: 'db-1',
    program: compileMatch(workloads, { uids: new Map([['web', 1000]]), paths: new Map() }),
    workloads: new Map(workloads.map((workload) => [`shop/${workload.name}`, workload])),
    sockets,
    labelsOf: () => ['user:app=web'],
    policyOf: () => ({ mode: 'enforce', policy: { ingress: 'enforced', egress: 'none', revision: 42 } }),
  };
}

test('processes of a labelled cgroup are one endpoint, named by the cgroup', () => {
  const members = [
    labelled(process(12), { origin: 'cgroup', clause: 0 }),
    labelled(process(11), { origin: 'cgroup', clause: 0 }),
  ];
  const listening: OwnedSocket[] = [
    { protocol: 6, address: '0.0.0.0', port: 80, inode: 1, netns: 1, pids: [11, 12] },
    { protocol: 17, address: '::', port: 53, inode: 2, netns: 1, pids: [12] },
    { protocol: 6, address: '0.0.0.0', port: 81, inode: 3, netns: 1, pids: [99] },
  ];
  assert.equal(toEndpoints(members, context({ web: [WEB[0]!] }, listening)), [
    {
      id: 'db-1/77',
      workload: 'shop/web',
      host: 'db-1',
      identity: 65792,
      labels: ['user:app=web'],
      why: { clause: 0, origin: 'cgroup', grade: 'firstPacket', beats: [] },
      state: 'ok',
      processes: [
        { pid: 11, exe: '/opt/web', user: 'web', startedAt: '2026-01-01T00:00:00.000Z' },
        { pid: 12, exe: '/opt/web', user: 'web', startedAt: '2026-01-01T00:00:00.000Z' },
      ],
      cgroup: '/system.slice/web.service',
      listening: [
        { port: 80, protocol: 'TCP', address: '0.0.0.0' },
        { port: 53, protocol: 'UDP', address: '::' },
      ],
      mode: 'enforce',
      policy: { ingress: 'enforced', egress: 'none', revision: 42 },
    },
  ]);
});

test('a process that gained its label and its heirs are one endpoint, two that gained it are two', () => {
  const members = [
    labelled(process(10)),
    labelled(process(11, { exe: '/bin/sh' }), { origin: 'inherited', gainedBy: 10 }),
    labelled(process(20)),
  ];
  const endpoints = toEndpoints(members, context());
  assert.equal(
    endpoints.map(({ id, processes, why }) => [id, processes.map(({ pid }) => pid), why?.origin]),
    [
      ['db-1/10-100', [10, 11], 'exec'],
      ['db-1/20-200', [20], 'exec'],
    ],
  );
});

test('heirs of a process that has ended keep their endpoint', () => {
  const heir = labelled(process(11, { exe: '/bin/sh' }), { origin: 'inherited', gainedBy: 10 });
  assert.is(toEndpoints([{ ...heir, gainedByTicks: 100 }], context())[0]?.id, 'db-1/10-100');
  const forgotten = toEndpoints([heir], context())[0];
  assert.is(forgotten?.id, 'db-1/11-110');
  assert.is(forgotten?.why?.origin, 'inherited');
});

test('what runs outside of the unit that it was registered with is drifted', () => {
  const byHand = process(10, { cgroup: '/user.slice/user-0.slice/session-3.scope' });
  assert.is(toEndpoints([labelled(byHand)], context())[0]?.state, 'drifted');
  assert.is(toEndpoints([labelled(process(10))], context())[0]?.state, 'ok');
  assert.is(toEndpoints([labelled(byHand)], context({ web: [WEB[1]!] }))[0]?.state, 'ok');
  assert.is(toEndpoints([labelled(byHand, { origin: 'run' })], context())[0]?.state, 'ok');
});

test('what only age decides is a conflict, and both names are told', () => {
  const endpoint = toEndpoints(
    [labelled(process(10))],
    context({ web: WEB, thief: [WEB[1]!], any: [{ process: { exe: '/opt/web' } }] }),
  )[0];
  assert.is(endpoint?.state, 'conflict');
  assert.equal(endpoint?.why?.beats, [
    { workload: 'shop/thief', by: 'created' },
    { workload: 'shop/any', by: 'spoofable' },
  ]);
});

test('an endpoint is provisional while one of its processes is', () => {
  assert.is(toEndpoints([labelled(process(10), { isProvisional: true })], context())[0]?.state, 'provisional');
});

test('a label of a workload that is gone is no endpoint', () => {
  assert.equal(toEndpoints([labelled(process(10), { workload: 'shop/gone' })], context()), []);
});

test('a listen clause says what it beat', () => {
  const sockets: OwnedSocket[] = [{ protocol: 6, address: '::', port: 80, inode: 1, netns: 1, pids: [10] }];
  const match = { web: [{ listen: ['80/tcp'] }], other: [{ listen: ['1-100/tcp'] }] };
  const endpoint = toEndpoints(
    [labelled(process(10), { origin: 'listen', clause: 0, grade: 'late' })],
    context(match, sockets),
  )[0];
  assert.equal(endpoint?.why, {
    clause: 0,
    origin: 'listen',
    grade: 'late',
    beats: [{ workload: 'shop/other', by: 'created' }],
  });
});

test.run();
