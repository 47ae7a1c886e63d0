/**
 * Two workloads on one host. Who is at an address and port is what connect() goes by; each row makes that wrong, so that the
 * neighbour who really has the port must be recognised by the packet. It hears without a policy, and nothing with one.
 */
import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetworkNamespaces } from '../../src/agent/network-namespaces.ts';
import { run, start } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DEN, FREE, HOME, type Lab, openLab } from './lab.ts';

const test = suite('bypass: neighbours');
const HOST = 1;
/** Whom DEN may speak to: itself, the host, the world; not its neighbour FREE. */
const TO_MYSELF = {
  egress: { 0: 'deny', [DEN]: 'allow', [HOST]: 'allow', 9: 'allow', 10: 'allow' },
  ingress: { 0: 'allow' },
} as const;
/** Whom DEN listens to: the host and the world; not its neighbour FREE. */
const FROM_HOST = { ingress: { 0: 'deny', [HOST]: 'allow', 9: 'allow', 10: 'allow' }, egress: { 0: 'allow' } } as const;
const LAST_CPU = Math.min(1, availableParallelism() - 1);
let lab: Lab;
let port = 7900;
const open: ChildProcess[] = [];

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after.each(async () => {
  for (const child of open.splice(0)) await end(child);
});

test.after(async () => {
  await lab?.destroy();
});

const neighbour = (...words: (string | number)[]): string[] => [lab.program('neighbour'), ...words.map(String)];

for (const [what, theirs, mine, argv] of [
  ['a socket bound to an address goes to 0.0.0.0', HOME[4], '127.0.0.1', ['tcp', HOME[4], '0.0.0.0', 'PORT', '-']],
  ['the same as a datagram', HOME[4], '127.0.0.1', ['udp', HOME[4], '0.0.0.0', 'PORT', '-']],
  ['a socket bound to an interface goes to 0.0.0.0', HOME[4], '127.0.0.1', ['tcp', '-', '0.0.0.0', 'PORT', 'pt0']],
  ['the same as a datagram, interface', HOME[4], '127.0.0.1', ['udp', '-', '0.0.0.0', 'PORT', 'pt0']],
  [
    'an IPv6 socket bound to an IPv4 address goes to ::',
    '127.0.0.1',
    '::1',
    ['tcp', '::ffff:127.0.0.1', '::', 'PORT', '-'],
  ],
  ['a datagram to all hosts comes back', '0.0.0.0', undefined, ['udp', '-', '224.0.0.1', 'PORT', 'pt0']],
  ['a broadcast comes back', '0.0.0.0', undefined, ['udp', HOME[4], '10.98.7.255', 'PORT', '-']],
  ['a datagram to all nodes comes back', '::', undefined, ['udp', '-', 'ff02::1', 'PORT', 'pt0']],
] as const)
  test(`no neighbour hears who may not speak to it: ${what}`, async () => {
    for (const isEnforced of [false, true]) {
      const at = ++port;
      lab.policy(isEnforced ? TO_MYSELF : undefined);
      const victim = await hears(theirs, at, lab.free);
      if (mine !== undefined) await hears(mine, at, lab.den);
      const words = argv.map((word) => (word === 'PORT' ? at : word));
      await run(neighbour(...words, 'TAG-in'), { netns: lab.home.path, cgroup: lab.den });
      assert.is(/TAG-in|ACCEPT/.test(await victim.heard()), !isEnforced);
    }
  });

test("no neighbour hears who may not speak to it: its port was the speaker's, who let it go", async () => {
  for (const isEnforced of [false, true]) {
    lab.policy(isEnforced ? TO_MYSELF : undefined);
    const stale = await serve(neighbour('stale', '127.0.0.1'), /PORT \d+/, lab.den);
    const at = Number(/PORT (\d+)/.exec(stale.text())![1]);
    const victim = await hears('0.0.0.0', at, lab.free);
    await run(neighbour('udp', '-', '127.0.0.1', at, '-', 'TAG-in'), { netns: lab.home.path, cgroup: lab.den });
    assert.is(/TAG-in/.test(await victim.heard()), !isEnforced);
  }
});

test('no neighbour hears who may not speak to it: a conversation with its port is older than it', async () => {
  for (const isEnforced of [false, true]) {
    const at = ++port;
    lab.policy(isEnforced ? TO_MYSELF : undefined);
    const before = await hears('127.0.0.1', at, lab.den);
    const speaker = await serve(neighbour('again', '-', '127.0.0.1', at, 'TAG-first'), /READY/, lab.den);
    await until('it is heard', () => before.text().includes('TAG-first'));
    await end(before.child);
    const victim = await hears('127.0.0.1', at, lab.free);
    speaker.child.stdin!.write('TAG-in\n');
    await until('it is sent', () => speaker.text().includes('DONE'));
    assert.is(/TAG-in/.test(await victim.heard()), !isEnforced);
  }
});

for (const kind of ['tcp', 'udp'] as const)
  for (const device of ['-', 'pt0'])
    test(`who must not be heard is not taken for the host where nobody knows the listener (${kind}, interface ${device})`, async () => {
      for (const isEnforced of [false, true]) {
        const at = ++port;
        lab.policy(isEnforced ? FROM_HOST : undefined);
        const victim = await hears(HOME[4], at, lab.den);
        unlist(at);
        await run(neighbour(kind, '-', HOME[4], at, device, 'TAG-in'), { netns: lab.home.path, cgroup: lab.free });
        assert.is(/TAG-in|ACCEPT/.test(await victim.heard(lab.cgroupDir)), !isEnforced);
      }
    });

test('who must not be heard does not pass for another by naming its address', async () => {
  for (const isEnforced of [false, true]) {
    const at = ++port;
    lab.policy(isEnforced ? FROM_HOST : undefined);
    const victim = await hears('127.0.0.1', at, lab.den);
    unlist(at);
    await run(neighbour('spoof', '127.0.0.7', '127.0.0.1', at, '127.0.0.9', 'TAG-in'), {
      netns: lab.home.path,
      cgroup: lab.free,
    });
    assert.is(/TAG-in/.test(await victim.heard(lab.cgroupDir)), !isEnforced);
  }
});

test('nor for another whose SYN from the same port never arrived, when another CPU sends than hears', async () => {
  const from = 7899;
  const asRoot = (script: string) => run(['unshare', '-m', 'sh', '-c', script], { netns: lab.home.path });
  await asRoot('mount -t sysfs none /sys && echo 2 >/sys/class/net/lo/queues/rx-0/rps_cpus'); // CPU 1 hears
  for (const isEnforced of [false, true]) {
    const at = ++port;
    lab.policy(isEnforced ? FROM_HOST : undefined);
    const victim = await hears('127.0.0.1', at, lab.den);
    unlist(at);
    await asRoot(`nft 'table ip lost { chain in { type filter hook input priority 0; tcp sport ${from} drop; }; }'`);
    const lost = await run(connects(LAST_CPU, from, at), { netns: lab.home.path, cgroup: lab.cgroupDir });
    await asRoot('nft delete table ip lost');
    assert.is(lost.stdout, 'lost\n');
    await run(connects(0, from, at), { netns: lab.home.path, cgroup: lab.free });
    assert.is(/TAG-in|ACCEPT/.test(await victim.heard(lab.cgroupDir)), !isEnforced);
  }
});

test('whom policy allows is heard, in all these ways', async () => {
  lab.policy({ egress: { 0: 'deny', [FREE]: 'allow', 9: 'allow' }, ingress: { 0: 'allow' } });
  for (const argv of [
    ['tcp', HOME[4], '0.0.0.0', '-'],
    ['tcp', '-', HOME[4], 'pt0'],
    ['udp', '-', HOME[4], 'pt0'],
    ['udp', HOME[4], '10.98.7.255', '-'],
  ] as const) {
    const at = ++port;
    const victim = await hears('0.0.0.0', at, lab.free);
    const [kind, source, to, device] = argv;
    await run(neighbour(kind, source, to, at, device, 'TAG-in'), { netns: lab.home.path, cgroup: lab.den });
    assert.match(await victim.heard(), /TAG-in/, argv.join(' '));
  }
});

/** Connects from this port on this CPU, or says that it was in vain. */
function connects(cpu: number, from: number, at: number): string[] {
  const script = `use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => ${from}, PeerAddr => '127.0.0.1', PeerPort => ${at},
  ReuseAddr => 1, Timeout => 0.3) or do { print "lost\\n"; exit };
print $s "TAG-in\\n"; close $s;`;
  return ['taskset', '-c', String(cpu), 'perl', '-e', script];
}

/** As if `local` had been full when it began to listen. */
function unlist(at: number): void {
  const { local } = lab.kernel.maps;
  for (const key of [...local.keys()]) if (key.port === at) local.delete(key);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.signalCode !== null) return;
  const closed = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await closed;
}

async function serve(argv: readonly string[], ready: RegExp, cgroup: string) {
  const child = start(argv, { netns: lab.home.path, cgroup });
  open.push(child);
  let text = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk) => {
      text += chunk;
    });
  await until(`${argv.join(' ')} prints ${ready}`, () => ready.test(text));
  return { child, text: () => text };
}

/** A listener; `heard` waits until what `asks` (not judged) says has come, and what came before it. */
async function hears(address: string, at: number, cgroup: string) {
  const { child, text } = await serve(neighbour('hears', address, at), /READY/, cgroup);
  new NetworkNamespaces(lab.kernel).refresh(); // which addresses are this host's own: now somebody is in there
  const near = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
  const heard = async (asks = lab.free): Promise<string> => {
    await run(neighbour('udp', '-', near, at, '-', 'BARRIER'), { netns: lab.home.path, cgroup: asks });
    await until('the barrier is heard', () => text().includes('BARRIER'));
    return text();
  };
  return { child, text, heard };
}

test.run();
