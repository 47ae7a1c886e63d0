/** Who is connected to a server that does not run with its agent, or not below its cgroup root. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Instance, startInstance } from './instance.ts';
import { type RunOptions, run } from './run-in.ts';
import { told } from './wait.ts';

const test = suite('who calls');
const BODY = '{"labels":{"app":"new"},"match":{"systemdUnit":"new.service"}}';
const PATH = '/v1/workloads/shop/new';
let split: Instance;
/** Server and agent in one process, outside of the agent's cgroup root. */
let outside: Instance;

test.before(
  told(async () => {
    split = await startInstance({ mode: 'split' });
    outside = await startInstance();
    for (const postern of [split, outside]) {
      await postern.workload('shop/bound', { labels: { app: 'bound' }, match: { systemdUnit: 'bound.service' } });
      await postern.workload('shop/program', {
        labels: { app: 'program' },
        match: { process: { exe: '/usr/bin/perl' } },
      });
    }
  }),
);

test.after(async () => {
  await split?.destroy();
  await outside?.destroy();
});

interface Way {
  readonly name: string;
  readonly to: (postern: Instance) => readonly string[];
}

const TCP: Way = { name: 'loopback TCP', to: (postern) => [`${postern.url}${PATH}`] };
const TCP_BOUND: Way = {
  name: 'loopback TCP on a socket bound to lo',
  to: (postern) => ['--interface', 'lo', `${postern.url}${PATH}`],
};
const UNIX: Way = {
  name: 'the unix socket',
  to: (postern) => ['--unix-socket', `${postern.runDir}/server.sock`, `http://localhost${PATH}`],
};
const PUT = ['-X', 'PUT', '-H', 'content-type: application/json', '-d', BODY];

/** "201 BODY" */
async function curl(args: readonly string[], options: RunOptions): Promise<string> {
  const { stdout, stderr } = await run(['curl', '-sS', '-w', '\n%{http_code}', ...args], {
    limitMs: 20_000,
    ...options,
  });
  const [body, status] = [stdout.slice(0, stdout.lastIndexOf('\n')), stdout.slice(stdout.lastIndexOf('\n') + 1)];
  return `${status} ${body}${stderr}`;
}

for (const [where, instance] of [
  ['a server apart from its agent', () => split],
  ['a standalone outside of its cgroup root', () => outside],
] as const) {
  for (const { name, to } of [TCP, TCP_BOUND, UNIX]) {
    test(`${where}: over ${name} a workload that is root neither reads nor writes, and is named`, async () => {
      const postern = instance();
      const options = { cgroup: postern.makeCgroup('bound.service') };
      assert.match(await curl(to(postern), options), /^403 .*registered workload: shop\/bound, identity \d+/);
      assert.match(await curl([...PUT, ...to(postern)], options), /^403 .*registered workload: shop\/bound/);
      assert.is((await postern.api('GET', PATH)).status, 404);
    });

    test(`${where}: over ${name} root in a shell that is no workload writes and reads`, async () => {
      const postern = instance();
      const options = { cgroup: postern.makeCgroup('shell') };
      assert.match(await curl([...PUT, ...to(postern)], options), /^201 /);
      assert.match(await curl(to(postern), options), /^200 /);
      assert.is((await postern.api('DELETE', PATH)).status, 204);
    });
  }

  test(`${where}: a workload known by its program is refused in a cgroup that has no name`, async () => {
    const postern = instance();
    assert.match(await request(postern, ASK), /403.*registered workload: shop\/program/s);
  });

  test(`${where}: a write of a process that left the connecting to one that has ended is refused, a read is not`, async () => {
    const postern = instance();
    assert.match(await request(postern, ASK_BY_CHILD), /503.*caller-unknown.*has ended/s);
    assert.is((await postern.api('GET', PATH)).status, 404);
  });
}

/** PUTs on a socket that it, or its child that has ended and that nobody reaps, has connected. */
const PERL = (connect: string) => `
use Socket;
socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die $!;
my $to = sockaddr_un($ARGV[0]);
${connect}
my $body = '${BODY}';
my $head = "PUT ${PATH} HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\nConnection: close\\r\\n";
syswrite($s, $head . 'Content-Length: ' . length($body) . "\\r\\n\\r\\n" . $body);
print while <$s>;
`;
const ASK = PERL('connect($s, $to) or die $!;');
const ASK_BY_CHILD = PERL(`
my $child = fork;
if (!$child) { connect($s, $to) or die $!; exit 0 }
my $state = '';
while ($state ne 'Z') { open(my $f, '<', "/proc/$child/stat"); ($state) = <$f> =~ /\\) (.)/ }`);

async function request(postern: Instance, script: string): Promise<string> {
  const options = { cgroup: postern.makeCgroup('shell'), limitMs: 20_000 };
  const { stdout, stderr } = await run(['perl', '-e', script, `${postern.runDir}/server.sock`], options);
  return stdout + stderr;
}

test('while the agent does not answer, reads go on and writes are refused with what to do', async () => {
  const options = { cgroup: split.makeCgroup('shell') };
  process.kill(split.pid(), 'SIGSTOP');
  try {
    for (const { to } of [TCP, UNIX]) {
      assert.match(await curl(to(split), options), /^404 /);
      assert.match(await curl([...PUT, ...to(split)], options), /^503 .*caller-unknown.*not answered.*"hint"/);
    }
  } finally {
    process.kill(split.pid(), 'SIGCONT');
  }
  assert.match(await curl([...PUT, ...UNIX.to(split)], options), /^201 /);
  assert.is((await split.api('DELETE', PATH)).status, 204);
});

test("the agent's own API says to every user who a process is, and what may be asked", async () => {
  const ask = async (query: string, uid: number) =>
    await curl(['--unix-socket', `${split.runDir}/agent.sock`, `http://localhost/v1/labels${query}`], {
      cgroup: split.makeCgroup('shell'),
      uid,
    });
  assert.is(await ask(`?pid=${split.pid()}`, 65534), '200 {"identity":0}');
  assert.match(await ask('?pid=1&cookie=2', 0), /^400 .*must be pid=NUMBER or cookie=NUMBER/);
  assert.match(await ask('?pid=0', 0), /^404 .*Process 0/);
});

test('without an agent, root writes', async () => {
  await split.stop('SIGKILL');
  const options = { cgroup: split.makeCgroup('shell') };
  for (const { to } of [TCP, UNIX]) assert.match(await curl([...PUT, ...to(split)], options), /^20[01] /);
});

test.run();
