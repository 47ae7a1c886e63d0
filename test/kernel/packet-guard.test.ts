/** Where the guard of packet sockets is put, against namespaces that come, go and are mistaken for one another. */
import { statSync } from 'node:fs';
import { inNetns, netnsCookie } from 'libbpf-ts/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NetworkNamespaces } from '../../src/agent/network-namespaces.ts';
import { PacketGuard } from '../../src/agent/packet-guard.ts';
import { workloadIdentity } from '../../src/core/identity.ts';
import { createNetns, type Netns } from '../e2e/netns.ts';
import { serve } from '../e2e/run-in.ts';
import { told } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { isKernelAtLeast } from './kernel-config.ts';
import { type OwnKernel, openKernel } from './own-kernel.ts';

const WHO = workloadIdentity(300);
const test = suite('packet guard, where');
let own: OwnKernel;
let guard: PacketGuard;
let netns: NetworkNamespaces;
const lines: string[] = [];
const namespaces: Netns[] = [];

test.before(
  told(async () => {
    own = openKernel();
    netns = new NetworkNamespaces(own.kernel);
    guard = new PacketGuard(
      own.kernel,
      netns,
      own.mount,
      (identity) => identity === WHO,
      (line) => lines.push(line),
    );
  }),
);

test.after(async () => {
  await own?.destroy();
  for (const one of namespaces) one.delete();
});

const make = (letter: string): Netns => {
  const made = createNetns(`pt-${process.pid}-${letter}`);
  namespaces.push(made);
  return made;
};
const pinsOf = (one: Netns): string[] => {
  const prefix = `guard_egress_${inNetns(one.path, netnsCookie)}_`;
  return own.kernel.attached().filter((name) => name.startsWith(prefix) && !own.kernel.isDangling(name));
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

if (!isKernelAtLeast(6, 6)) skip(test, 'where the guard is put', 'kernel: needs 6.6 (tcx)');
else {
  test('a namespace that comes where another was is guarded too, although its inode is the same', async () => {
    const inodes = new Set<number>();
    for (let round = 0; round < 10; round++) {
      const one = make(`r${round}`);
      inodes.add(statSync(one.path).ino);
      await living(one, (pid) => {
        guard.exec(pid, WHO);
        assert.is(pinsOf(one).length, 1, `round ${round}: ${lines}`);
      });
      one.delete();
    }
    assert.ok(inodes.size < 10, 'some inode was used again');
  });

  test('what is left of a namespace that is gone goes at the next look', async () => {
    netns.refresh();
    const gone = (): string[] =>
      own.kernel
        .attached()
        .filter((name) => /^(guard_egress|on_setsockopt)_/.test(name) && own.kernel.isDangling(name));
    guard.look();
    assert.equal(gone(), []);
  });

  test('a process that went to another namespace is looked for there, not where it was', async () => {
    const [from, to] = [make('a'), make('b')];
    const pipe = `exec nsenter --net=${to.path} -- sh -c "echo there; exec sleep 1000"`;
    const child = await serve(['sh', '-c', `echo ready; read x; ${pipe}`], /ready/, {
      netns: from.path,
      cgroup: own.makeCgroup('who'),
    });
    const closed = new Promise((resolve) => child.once('close', resolve));
    guard.exec(child.pid!, WHO);
    assert.is(pinsOf(from).length, 1);
    const arrived = new Promise((resolve) => child.stdout!.once('data', resolve));
    child.stdin!.write('\n');
    await arrived;
    guard.exec(child.pid!, WHO);
    assert.is(pinsOf(to).length, 1, lines.join());
    child.kill('SIGKILL');
    await closed;
  });

  test('an interface that takes the index of one that is gone is guarded', async () => {
    const one = make('i');
    one.ip('link add before index 77 type veth peer name pt8');
    await living(one, (pid) => {
      guard.exec(pid, WHO);
      assert.is(pinsOf(one).length, 3, lines.join());
      one.ip('link del before');
      one.ip('link add after index 77 type veth peer name pt9');
      netns.refresh();
      guard.look();
      assert.is(pinsOf(one).length, 3, lines.join());
    });
  });
}

test.run();
