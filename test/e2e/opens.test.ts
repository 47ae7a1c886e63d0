/** `opens` of a registration, from REST to the socket() of the process, and back in flows. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { cnp, port } from './policies.ts';
import { run } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('opens');
const POSTERN = join(import.meta.dirname, '../../postern');
const EPERM = 1;
let postern: Instance;

test.before(
  told(async () => {
    postern = await startInstance();
    for (const name of ['vrrp', 'plain']) {
      postern.makeCgroup(name);
      await postern.workload(`shop/${name}`, registration(name));
      await postern.apply(cnp(name, { egress: [{ toPorts: [port(443)] }], ingress: [{ toPorts: [port(443)] }] }));
    }
  }),
);

test.after(async () => {
  await postern?.destroy();
});

const registration = (name: string, more = {}) => ({
  labels: { app: name },
  match: { cgroup: `${postern.cgroupPath}/${name}` },
  ...more,
});

/** What socket() or open() says to a process of the workload: 0, or the error number. */
async function says(perl: string, name = 'vrrp'): Promise<number> {
  const { stdout } = await run(['perl', '-MSocket', '-e', `print ${perl} ? 0 : $! + 0`], {
    cgroup: postern.makeCgroup(name),
  });
  return Number(stdout);
}
const raw = (protocol: number): string => `socket(my $s, AF_INET, SOCK_RAW, ${protocol})`;
const TUN = 'open(my $f, "+<", "/dev/net/tun")';

test('what is not declared is refused, and a flow says to whom', async () => {
  assert.is(await says(raw(112)), EPERM);
  const flow = await postern.flow('workload=shop/vrrp', ({ dropReason }) => dropReason === 'SOCKET_TYPE');
  assert.equal([flow.verdict, flow.source.workload, flow.protocol], ['DROPPED', 'shop/vrrp', 'VRRP']);
  assert.match(flow.source.process.exe, /perl/);
});

test('what is declared is opened to this workload alone, and closed again', async () => {
  const opens = [{ raw: ['vrrp'] }, 'tun'];
  const answer = await postern.workload('shop/vrrp', registration('vrrp', { opens }));
  assert.is(answer.status, 200, JSON.stringify(answer.body));
  assert.match(JSON.stringify(answer.body), /the host forwards it/);
  assert.equal((await postern.api('GET', '/v1/workloads/shop/vrrp')).body.opens, opens);
  assert.equal([await says(raw(112)), await says(raw(89)), await says(TUN)], [0, EPERM, 0]);
  assert.equal([await says(raw(112), 'plain'), await says(TUN, 'plain')], [EPERM, EPERM]);
  await postern.workload('shop/vrrp', registration('vrrp', { opens: ['mptcp'] }));
  assert.equal([await says(raw(112)), await says(TUN)], [EPERM, EPERM]);
  assert.is(await says('socket(my $s, AF_INET, SOCK_STREAM, 262)'), 0);
});

test('it outlives the agent, and one that starts anew', async () => {
  await postern.workload('shop/vrrp', registration('vrrp', { opens: [{ raw: [112] }] }));
  await postern.stop('SIGKILL');
  assert.equal([await says(raw(112)), await says(raw(89))], [0, EPERM]);
  await postern.start();
  await postern.settled();
  assert.equal([await says(raw(112)), await says(raw(89))], [0, EPERM]);
  await postern.workload('shop/vrrp', registration('vrrp'));
  assert.is(await says(raw(112)), EPERM);
});

test('by command; an error names the flag and what there is', async () => {
  const put = (...words: string[]) =>
    run([POSTERN, '--server', postern.url, 'workload', 'put', 'shop/vrrp', '-l', 'app=vrrp', ...words], {
      limitMs: 20_000,
    });
  const match = ['--cgroup', `${postern.cgroupPath}/vrrp`];
  const done = await put(...match, '--opens', 'raw:vrrp', '--opens', 'icmp', '--opens', 'raw:89');
  assert.is(done.code, 0, done.stderr);
  const { body } = await postern.api('GET', '/v1/workloads/shop/vrrp');
  assert.equal(body.opens, ['icmp', { raw: ['vrrp', 89] }]);
  await until('it is open', async () => (await says(raw(89))) === 0);
  const refused = await put(...match, '--opens', 'bpf');
  assert.is(refused.code, 2);
  assert.match(refused.stderr, /--opens.*"bpf" is nothing that can be opened/s);
});

test.run();
