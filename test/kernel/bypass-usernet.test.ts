// @timeout 120
/**
 * Networks in user space (rootless containers): the real programs, from a user namespace. Where egress is enforced they get no
 * tun device; one that is older than the policy sends by sockets of its own, which are judged.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { revoke } from '../../src/datapath/revoke.ts';
import { start } from '../e2e/run-in.ts';
import { told } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { DENIED, FRIENDS, type Frame, type Lab, NOBODY, openLab } from './lab.ts';

const test = suite('bypass: networks in user space');
const TCP = 6;
const UDP = 17;
const SCRIPT = readFileSync(join(import.meta.dirname, 'attacks/usernet.sh'), 'utf8');
let lab: Lab;

test.before(
  told(async () => {
    lab = await openLab();
    lab.home.ip(`route add default via ${FRIENDS[4]} dev pt0`);
    lab.home.ip(`-6 route add default via ${FRIENDS[6]} dev pt0`);
  }),
);

test.after(async () => {
  await lab?.destroy();
});

for (const [how, packageName] of [
  ['slirp4netns', 'slirp4netns'],
  ['pasta', 'passt'],
] as const)
  if (spawnSync(how, ['--version']).error) skip(test, how, `package: ${packageName}`);
  else if (how === 'pasta' && /^rootfs \/ /m.test(readFileSync('/proc/self/mounts', 'utf8')))
    skip(test, how, 'machine: its root is an initramfs, which pasta cannot leave (pivot_root)');
  else
    for (const family of [4, 6] as const) {
      test(`${how} reaches no denied peer over IPv${family}`, async () => {
        const attack = () => lab.watch(() => ran(usernet(how, [DENIED[family]])));
        lab.policy(undefined);
        assert.equal(kinds(await attack(), DENIED[family]), [TCP, UDP], 'without a policy it arrives');
        lab.enforce();
        assert.equal(kinds(await attack(), DENIED[family]), []);
      });

      test(`${how} that is older than the policy reaches a friend and no denied peer over IPv${family}`, async () => {
        lab.policy(undefined);
        const argv = ['setpriv', `--reuid=${NOBODY}`, '--clear-groups', '--'];
        const network = await lab.serve([...argv, ...usernet(how, [DENIED[family], FRIENDS[family]])], /READY/);
        lab.enforce();
        inNetns(lab.home.path, () => revoke(lab.kernel));
        const frames = await lab.watch(() => ended(network));
        assert.equal(kinds(frames, DENIED[family]), []);
        assert.equal(kinds(frames, FRIENDS[family]), [TCP, UDP]);
      });
    }

/** As the workload, without privileges. */
function ran(argv: readonly string[]): Promise<void> {
  return ended(start(argv, { netns: lab.home.path, cgroup: lab.den, uid: NOBODY }));
}

async function ended(child: ChildProcess): Promise<void> {
  const end = new Promise((resolve) => child.once('exit', resolve));
  child.stdin!.end('go\n');
  await end;
  writeFileSync(join(lab.den, 'cgroup.kill'), '1'); // what it left behind
}

function usernet(how: string, addresses: readonly string[]): string[] {
  return ['sh', '-c', SCRIPT, 'usernet', how, lab.program('egress'), `TAG-${how}`, ...addresses];
}

function kinds(frames: readonly Frame[], to: string): number[] {
  const there = frames.filter(({ destination, tag }) => destination === to && !['-', 'TAG-before'].includes(tag));
  return [...new Set(there.map(({ protocol }) => protocol))].sort((a, b) => a - b);
}

test.run();
