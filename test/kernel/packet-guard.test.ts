/** Where the guard of packet sockets is put, against namespaces that come, go and are mistaken for one another. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { interfaceIndex } from 'libbpf-ts';
import { inNetns, netnsCookie } from 'libbpf-ts/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetworkNamespaces } from '../../src/agent/network-namespaces.ts';
import { PacketGuard } from '../../src/agent/packet-guard.ts';
import { workloadIdentity } from '../../src/core/identity.ts';
import type { Kernel } from '../../src/datapath/kernel.ts';
import type { GuardHook } from '../../src/datapath/packet-guard.ts';
import { createNetns, type Netns } from '../e2e/netns.ts';
import { serve } from '../e2e/run-in.ts';
import { told } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { clsactGuards, GUARD_HOOKS, MISSING_HOOKS, madeInterfaces } from './guard-hooks.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

const WHO = workloadIdentity(300);
const test = suite('packet guard, where');
let own: OwnKernel;
let netns: NetworkNamespaces;
const lines: string[] = [];
const namespaces: Netns[] = [];

test.before(
  told(async () => {
    own = openKernel();
    netns = new NetworkNamespaces(own.kernel);
  }),
);

test.after(async () => {
  await own?.destroy();
  for (const one of namespaces) one.delete();
});

for (const reason of MISSING_HOOKS) skip(test, 'where the guard is put', reason);
for (const hook of GUARD_HOOKS) define(hook);
test.run();

function define(hook: GuardHook): void {
  let guard: PacketGuard | undefined;
  const theGuard = (): PacketGuard => {
    guard ??= guardOf(own.kernel, netns);
    return guard;
  };
  const guardOf = (kernel: Kernel, of: NetworkNamespaces): PacketGuard =>
    new PacketGuard(
      kernel,
      of,
      own.mount,
      (identity) => identity === WHO,
      (line) => lines.push(line),
      hook,
    );
  const make = (letter: string): Netns => {
    const made = createNetns(`pt-${process.pid}-${hook[0]}${letter}`);
    namespaces.push(made);
    return made;
  };
  /** The guards in a namespace that work. */
  const guardsOf = (one: Netns): string[] => {
    if (hook === 'clsact') return clsactGuards(one.path);
    const attached = own.kernel.attached();
    const pins = inNetns(one.path, () =>
      madeInterfaces().map((name) => `guard_egress_${netnsCookie()}_${interfaceIndex(name)}`),
    );
    return pins.filter((name) => attached.includes(name) && !own.kernel.isDangling(name));
  };
  /** Runs `act` while a process lives in the namespace. */
  const living = async (one: Netns, act: (pid: number) => unknown): Promise<void> => {
    const cgroup = own.makeCgroup('who');
    const child = await serve(['sh', '-c', 'echo ready; exec sleep 1000'], /ready/, { netns: one.path, cgroup });
    const closed = new Promise((resolve) => child.once('close', resolve));
    try {
      await act(child.pid!);
    } finally {
      child.kill('SIGKILL');
      await closed;
    }
  };

  test(`${hook}: a namespace that comes where another was is guarded too, although its inode is the same`, async () => {
    const inodes = new Set<number>();
    for (let round = 0; round < 10; round++) {
      const one = make(`r${round}`);
      inodes.add(statSync(one.path).ino);
      await living(one, (pid) => {
        theGuard().exec(pid, WHO);
        assert.is(guardsOf(one).length, 1, `round ${round}: ${lines}`);
      });
      one.delete();
    }
    assert.ok(inodes.size < 10, 'some inode was used again');
  });

  test(`${hook}: what is left of a namespace that is gone goes at the next look`, async () => {
    netns.refresh();
    const gone = (): string[] =>
      own.kernel
        .attached()
        .filter((name) => /^(guard_egress|on_setsockopt)_/.test(name) && own.kernel.isDangling(name));
    theGuard().look();
    assert.equal(gone(), []);
  });

  test(`${hook}: a process that went to another namespace is looked for there, not where it was`, async () => {
    const [from, to] = [make('a'), make('b')];
    const pipe = `exec nsenter --net=${to.path} -- sh -c "echo there; exec sleep 1000"`;
    const child = await serve(['sh', '-c', `echo ready; read x; ${pipe}`], /ready/, {
      netns: from.path,
      cgroup: own.makeCgroup('who'),
    });
    const closed = new Promise((resolve) => child.once('close', resolve));
    theGuard().exec(child.pid!, WHO);
    assert.is(guardsOf(from).length, 1);
    const arrived = new Promise((resolve) => child.stdout!.once('data', resolve));
    child.stdin!.write('\n');
    await arrived;
    theGuard().exec(child.pid!, WHO);
    assert.is(guardsOf(to).length, 1, lines.join());
    child.kill('SIGKILL');
    await closed;
  });

  test(`${hook}: an interface that takes the index of one that is gone is guarded`, async () => {
    const one = make('i');
    one.ip('link add before index 77 type veth peer name pt8');
    await living(one, (pid) => {
      theGuard().exec(pid, WHO);
      assert.is(guardsOf(one).length, 3, lines.join());
      one.ip('link del before');
      one.ip('link add after index 77 type veth peer name pt9');
      netns.refresh();
      theGuard().look();
      assert.is(guardsOf(one).length, 3, lines.join());
    });
  });

  if (hook === 'clsact')
    test('what keeps an interface from its guard is told once, and no longer when it is gone', async () => {
      const one = make('w');
      const tc = (words: string) => execFileSync('nsenter', [`--net=${one.path}`, '--', 'tc', ...words.split(' ')]);
      tc('qdisc add dev lo ingress');
      const told = lines.length;
      await living(one, (pid) => {
        theGuard().exec(pid, WHO);
        assert.match(theGuard().problem ?? '', /to tc egress of "lo": EOPNOTSUPP.*ingress qdisc/);
        netns.refresh();
        for (let look = 0; look < 3; look++) theGuard().look();
        assert.match(theGuard().problem ?? '', /ingress qdisc/);
        assert.is(lines.length, told + 1);
        tc('qdisc del dev lo ingress');
        theGuard().look();
        assert.is(theGuard().problem, undefined);
        assert.equal(guardsOf(one), ['lo']);
      });
      lines.length = told;
    });

  test(`${hook}: looks, and runs that come after, put no second guard beside the first`, async () => {
    const one = make('t');
    await living(one, (pid) => {
      theGuard().exec(pid, WHO);
      netns.refresh();
      for (let look = 0; look < 3; look++) theGuard().look();
      assert.is(guardsOf(one).length, 1, lines.join());
      const next = own.reopen();
      const later = new NetworkNamespaces(next);
      const again = guardOf(next, later);
      later.refresh();
      again.exec(pid, WHO);
      again.look();
      assert.is(guardsOf(one).length, 1, lines.join());
      assert.equal(lines, []);
    });
  });
}
