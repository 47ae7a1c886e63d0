// @timeout 180
/** The same traffic under the same policies, in audit and in force: what one records is what the other drops. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askTcp, askUdp } from './ask.ts';
import { type Instance, startInstance } from './instance.ts';
import { app, cnp, only, port } from './policies.ts';
import { serve } from './run-in.ts';
import { freePort, told, until } from './wait.ts';

const test = suite('audit and enforce');
const ADDRESS = '127.0.0.1';
let postern: Instance;
let open: number;
let closed: number;
let server: ChildProcess;

const as = (unit: string) => ({ cgroup: postern.makeCgroup(`${unit}.service`) });

test.before(
  told(async () => {
    [open, closed] = [await freePort(), await freePort()];
    await begin({});
  }),
);

test.after(end);

async function begin(env: Readonly<Record<string, string>>): Promise<void> {
  postern = await startInstance({ env });
  for (const name of ['client', 'other', 'server'])
    await postern.workload(`shop/${name}`, { labels: { app: name }, match: { systemdUnit: `${name}.service` } });
  const words = [open, closed].flatMap((port) => [`tcp:${port}`, `udp:${port}`]);
  server = await serve([process.execPath, join(import.meta.dirname, 'echo.mjs'), ...words], /ready/, as('server'));
}

async function end(): Promise<void> {
  server?.kill('SIGKILL');
  await postern?.destroy();
}

/** Egress and ingress, default deny and deny rules, both protocols. */
const policies = () => [
  cnp('server', { ingress: [{ fromEndpoints: [app('client')], toPorts: [port(open)] }] }),
  cnp('server', { ingressDeny: [{ fromEndpoints: [app('client')], toPorts: [port(closed, 'UDP')] }] }, 'deny'),
  cnp('other', { egress: [{ toEndpoints: [app('server')], toPorts: [port(open), port(open, 'UDP')] }] }),
];

function inMode(mode: 'audit' | 'enforce') {
  // biome-ignore lint/suspicious/noExplicitAny: documents
  return policies().map((document: any) => ({
    ...document,
    metadata: { ...document.metadata, annotations: { 'postern.dev/mode': mode } },
  }));
}

const traffic = () =>
  ['client', 'other'].flatMap((who) =>
    [open, closed].flatMap((to) => ['TCP', 'UDP'].map((protocol) => ({ who, to, protocol }))),
  );

async function send(): Promise<Map<string, string>> {
  const met = new Map<string, string>();
  for (const { who, to, protocol } of traffic()) {
    const answer =
      protocol === 'TCP'
        ? await askTcp(ADDRESS, to, as(who))
        : await askUdp(ADDRESS, to, { ...as(who), connected: false });
    met.set(`shop/${who} -> ${ADDRESS}:${to}/${protocol}`, answer);
  }
  return met;
}

/** `who -> address:port/protocol side reason rule` of each flow with that verdict after `since`. */
async function recorded(verdict: string, since: string): Promise<string[]> {
  const { body } = await postern.api('GET', `/v1/flows?verdict=${verdict}&since=${since}&limit=1000`);
  const texts = body.items
    // biome-ignore lint/suspicious/noExplicitAny: flows
    .filter((flow: any) => flow.event !== 'lost')
    // biome-ignore lint/suspicious/noExplicitAny: flows
    .map(({ source, destination, protocol, direction, dropReason, rule }: any) => {
      const pair = `${source.workload} -> ${destination.ip}:${destination.port}/${protocol}`;
      return `${pair} ${direction} ${dropReason} ${rule}`;
    });
  return [...new Set<string>(texts)].sort();
}

/** What enforcement drops of the traffic. */
let dropped: string[] = [];

test('what audit records is what enforcement drops, flow by flow, with side, reason and rule; audit stops nothing', async () => {
  await only(postern, ...inMode('enforce'));
  assert.equal(await inEffect('server'), ['enforce', 'enforced', 'none']);
  const began = new Date().toISOString();
  const enforced = await send();
  const refused = [...enforced].filter(([, met]) => met !== 'echo').map(([what]) => what);
  assert.ok(refused.length >= 5 && refused.length < enforced.size, JSON.stringify([...enforced]));
  await until('each denial is a flow', async () => {
    dropped = await recorded('DROPPED', began);
    return refused.every((what) => dropped.some((line) => line.startsWith(what)));
  });

  await only(postern, ...inMode('audit'));
  assert.equal(await inEffect('server'), ['enforce', 'audit', 'none']);
  await agreesInAudit();
});

/** The traffic is forwarded, and recorded as what `dropped` has. */
async function agreesInAudit(): Promise<void> {
  const changed = new Date().toISOString();
  const audited = await send();
  assert.equal(
    [...audited].filter(([, met]) => met !== 'echo'),
    [],
  );
  let would: string[] = [];
  await until('as much in audit', async () => {
    would = await recorded('AUDIT', changed);
    return dropped.every((line) => would.includes(line));
  });
  // What the sender's egress drops never meets the receiver's ingress; in audit it does, and both are recorded.
  const pairOf = (line: string) => line.replace(/ (EGRESS|INGRESS) .*/, '');
  const stopped = dropped.filter((line) => line.includes(' EGRESS ')).map(pairOf);
  const further = would.filter((line) => !dropped.includes(line));
  assert.equal(
    further.filter((line) => !(line.includes(' INGRESS ') && stopped.includes(pairOf(line)))),
    [],
  );
  assert.ok(further.length > 0);
  assert.equal(await recorded('DROPPED', changed), []);
}

/** Of an endpoint: its mode, and what policy does to it in each direction. */
async function inEffect(workload: string): Promise<string[]> {
  const revision = (await postern.agent('/v1/policy')).body.revision;
  let shown: string[] = [];
  await until('the host has reported its endpoints since', async () => {
    const { body } = await postern.api('GET', `/v1/endpoints?workload=shop/${workload}`);
    const endpoint = body.items[0];
    if (endpoint === undefined || endpoint.policy.revision < revision) return false;
    shown = [endpoint.mode, endpoint.policy.ingress, endpoint.policy.egress];
    return true;
  });
  return shown;
}

test('a connection in audit lives on, and ends when the policy is in force', async () => {
  await only(postern, ...inMode('audit'));
  const held = await serve(
    [
      'bash',
      '-c',
      `exec 3<>/dev/tcp/127.0.0.1/${closed} && echo hello >&3 && head -n 1 <&3 >/dev/null && echo held && cat <&3`,
    ],
    /held/,
    as('client'),
  );
  const ended = new Promise((resolve) => held.once('exit', resolve));
  await only(postern, ...inMode('audit').slice(0, 2));
  assert.is(held.exitCode, null);
  await only(postern, ...inMode('enforce'));
  await ended;
  const { body } = await postern.api('GET', '/v1/policies/cnp/shop/server');
  assert.is(body.status.mode, 'enforce');
});

test('a workload in audit is judged like that for its own side only, one that is observed not at all', async () => {
  await only(postern, ...inMode('enforce'));
  const registered = (mode: string) => ({ labels: { app: 'server' }, match: { systemdUnit: 'server.service' }, mode });
  await postern.workload('shop/server', registered('audit'));
  const changed = new Date().toISOString();
  const met = await send();
  assert.equal(
    [...met].filter(([, answer]) => answer !== 'echo').map(([what]) => what),
    [`shop/other -> ${ADDRESS}:${closed}/TCP`, `shop/other -> ${ADDRESS}:${closed}/UDP`],
  );
  await until('what the server would have dropped', async () =>
    (await recorded('AUDIT', changed)).some((line) =>
      line.startsWith(`shop/client -> ${ADDRESS}:${closed}/TCP INGRESS`),
    ),
  );
  await postern.workload('shop/server', registered('observe'));
  const observed = new Date().toISOString();
  assert.is((await send()).get(`shop/client -> ${ADDRESS}:${closed}/TCP`), 'echo');
  assert.equal(await recorded('AUDIT', observed), []);
  await postern.workload('shop/server', registered('enforce'));
  assert.is((await send()).get(`shop/client -> ${ADDRESS}:${closed}/TCP`), 'EPERM');
});

test('a host in audit records what a host in force drops, flow by flow; a workload on it may be less, not more', async () => {
  await end();
  await begin({ POSTERN_MODE: 'audit' });
  await only(postern, ...inMode('enforce'));
  assert.is((await postern.api('GET', '/v1/hosts/host-a')).body.mode, 'audit');
  assert.equal(await inEffect('server'), ['audit', 'audit', 'none']);
  await agreesInAudit();
  const observed = { labels: { app: 'server' }, match: { systemdUnit: 'server.service' }, mode: 'observe' };
  await postern.workload('shop/server', observed);
  assert.equal(await inEffect('server'), ['observe', 'none', 'none']);
  const changed = new Date().toISOString();
  await send();
  await until('what the others would have dropped', async () => (await recorded('AUDIT', changed)).length > 0);
  assert.equal(
    (await recorded('AUDIT', changed)).filter((line) => line.includes(' INGRESS ')),
    [],
  );
});

test.run();
