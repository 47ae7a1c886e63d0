/** Ports that registrations own are nobody's by chance: in network namespaces with four ephemeral ports. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inNetns } from 'libbpf-ts/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, type Netns } from './netns.ts';
import { run, serve } from './run-in.ts';
import { told, until } from './wait.ts';

const test = suite('reserved ports');
const POSTERN = join(import.meta.dirname, '../../postern');
const RESERVED = '/proc/sys/net/ipv4/ip_local_reserved_ports';
let postern: Instance;
let home: Netns;
let other: Netns;
let empty: Netns;
const machine = readFileSync(RESERVED, 'utf8');
const children: ChildProcess[] = [];

const reserved = (netns: Netns): string => inNetns(netns.path, () => readFileSync(RESERVED, 'utf8').trim());
const write = (netns: Netns, name: string, text: string): void =>
  inNetns(netns.path, () => writeFileSync(`/proc/sys/net/ipv4/${name}`, `${text}\n`));
const settles = (netns: Netns, ports: string): Promise<void> =>
  until(`${netns.name} has "${ports}"`, () => reserved(netns) === ports);
const registration = (...listen: string[]) => ({ labels: { app: 'app' }, match: { listen } });

test.before(
  told(async () => {
    [home, other, empty] = ['h', 'o', 'e'].map((letter) => createNetns(`pt-${process.pid}-${letter}`)) as [
      Netns,
      Netns,
      Netns,
    ];
    for (const netns of [home, other, empty]) write(netns, 'ip_local_port_range', '39998 40001');
    write(home, 'ip_local_reserved_ports', '50000');
    postern = await startInstance({ netns: home.path, env: { POSTERN_RESERVE_PORTS: 'on' } });
  }),
);

test.after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await postern?.destroy();
  for (const netns of [home, other, empty]) netns?.delete();
});

/** Every port that the kernel gives away in `way`, until it has no more. */
const WAYS: Readonly<Record<string, string>> = {
  'connect() of UDP': 'socket(my $s, AF_INET, SOCK_DGRAM, 0); connect($s, $to) or last; push @s, $s;',
  'an unbound send()': 'socket(my $s, AF_INET, SOCK_DGRAM, 0); defined(send($s, "x", 0, $to)) or last; push @s, $s;',
  'listen() without bind()': 'socket(my $s, AF_INET, SOCK_STREAM, 0); listen($s, 1) or last; push @s, $s;',
  'bind() to port 0':
    'socket(my $s, AF_INET, SOCK_STREAM, 0); bind($s, sockaddr_in(0, INADDR_LOOPBACK)) or last; push @s, $s;',
  'connect() of TCP': 'socket(my $s, AF_INET, SOCK_STREAM, 0); connect($s, $to) or last; push @s, $s;',
};
async function given(way: string, netns = home): Promise<string> {
  const script = `my $to = sockaddr_in(700, INADDR_LOOPBACK); my @s;
    socket(my $l, AF_INET, SOCK_STREAM, 0); bind($l, $to); listen($l, 9);
    for (1..9) { ${WAYS[way]} }
    print join ",", sort map { (sockaddr_in(getsockname($_)))[0] } @s;`;
  const { stdout, stderr } = await run(['perl', '-MSocket', '-e', script], { netns: netns.path });
  assert.is(stderr, '');
  return stdout;
}

test('without a registration the kernel gives every ephemeral port away', async () => {
  for (const way of Object.keys(WAYS)) assert.is(await given(way), '39998,39999,40000,40001', way);
});

test("a registered port is added to the operator's, and nobody gets it by chance", async () => {
  await postern.workload('shop/app', registration('40000/tcp'));
  await settles(home, '40000,50000');
  for (const way of Object.keys(WAYS)) assert.is(await given(way), '39998,39999,40001', way);
  const bind = 'socket(my $s, AF_INET, SOCK_STREAM, 0); print bind($s, sockaddr_in(40000, INADDR_ANY)) ? 0 : $! + 0';
  assert.is((await run(['perl', '-MSocket', '-e', bind], { netns: home.path })).stdout, '0', 'who asks for it has it');
});

test('also in another namespace where a workload lives, and in no other', async () => {
  await postern.workload('shop/far', { labels: { app: 'far' }, match: { cgroup: `${postern.cgroupPath}/far` } });
  const sleeper = (netns: Netns, cgroup?: string) =>
    serve(['sh', '-c', 'echo ready; exec sleep 1000'], /ready/, { netns: netns.path, ...(cgroup && { cgroup }) });
  children.push(await sleeper(other, postern.makeCgroup('far')), await sleeper(empty));
  await settles(other, '40000');
  assert.is(reserved(empty), '');
  assert.is(await given('connect() of UDP', other), '39998,39999,40001');
});

test('what the operator writes meanwhile is kept; ours goes with the registration', async () => {
  write(home, 'ip_local_reserved_ports', '60000');
  await settles(home, '40000,60000');
  await postern.workload('shop/app', registration('40001/udp'));
  await settles(home, '40001,60000');
  await settles(other, '40001');
  await postern.api('DELETE', '/v1/workloads/shop/app');
  await settles(home, '60000');
  await settles(other, '');
});

test('a range that would take the ephemeral ports away is told, not reserved', async () => {
  await postern.workload('shop/app', registration('1024-65535/tcp', '40000/tcp'));
  await settles(home, '40000,60000');
  await until('it is told', () => postern.log().includes('ports 1024-65535 are registered and not kept out'));
});

test('detach puts back what was there, without an agent', async () => {
  await postern.stop('SIGKILL');
  assert.is(reserved(home), '40000,60000');
  const words = ['--yes', '--pin-dir', postern.pinDir, '--state-dir', postern.stateDir, '--run-dir', postern.runDir];
  const { code, stderr } = await run([POSTERN, 'agent', 'detach', ...words], { netns: home.path, limitMs: 20_000 });
  assert.is(code, 0, stderr);
  assert.is(reserved(home), '60000');
  assert.is(reserved(other), '');
  assert.is(readFileSync(RESERVED, 'utf8'), machine, 'the machine itself was never touched');
});

test.run();
