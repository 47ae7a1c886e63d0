/** The guard of packet sockets on kernels without tcx: a filter that nothing holds but its interface, beside filters of others. */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { clsactKind, inNetns, tcFilters } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { guardNamespace, openGuards, unguardNamespace } from '../../src/datapath/packet-guard.ts';
import { createNetns, type Netns } from '../e2e/netns.ts';
import { told } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { clsactGuards, GUARD_HOOKS, MISSING_HOOKS } from './guard-hooks.ts';
import { DENIED, FRIENDS, HOME, type Lab, openLab } from './lab.ts';
import { openKernel } from './own-kernel.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const OWN = '/proc/self/ns/net';
const test = suite('packet guard by clsact');
let lab: Lab;
const namespaces: Netns[] = [];

if (!GUARD_HOOKS.includes('clsact')) skip(test, 'all', MISSING_HOOKS.join());
else define();
test.run();

function define(): void {
  test.before(
    told(async () => {
      lab = await openLab();
    }),
  );
  test.before.each(() => {
    inNetns(lab.home.path, () => unguardNamespace(lab.pinDir));
  });
  test.after(async () => {
    await lab?.destroy();
    for (const one of namespaces) one.delete();
  });

  test('the guard is taken over by the next run, not put a second time', () => {
    const one = make('n');
    guard(one);
    const [first] = inNetns(one.path, () => tcFilters('lo', 'egress').filter(({ handle }) => handle !== 0));
    const next = lab.reopen();
    inNetns(one.path, () => guardNamespace(next, 'x', 'clsact'));
    const filters = inNetns(one.path, () => tcFilters('lo', 'egress').filter(({ handle }) => handle !== 0));
    const { id } = next.programs.program('guard_egress').info();
    assert.equal(filters, [{ ...first, name: `guard_egress:[${id}]`, programId: id }]);
    assert.is.not(first!.programId, id, 'the program is that of the next run');
  });

  test('a qdisc that came with the guard goes with it, one that was there stays', () => {
    const [ours, theirs] = [make('q'), make('p')];
    tc(theirs, 'qdisc add dev lo clsact');
    for (const one of [ours, theirs]) {
      guard(one);
      assert.equal(clsactGuards(one.path), ['lo']);
      assert.ok(inNetns(one.path, () => unguardNamespace(lab.pinDir)) > 0);
      assert.equal(clsactGuards(one.path), []);
    }
    assert.is(kindAt(ours), undefined);
    assert.is(kindAt(theirs), 'clsact');
  });

  test('filters of others stay when the guard goes, either way, and so does the qdisc that they are in', () => {
    for (const direction of ['egress', 'ingress'] as const) {
      const one = make(`f${direction[0]}`);
      guard(one);
      tc(one, `filter add dev lo ${direction} prio 1 handle 7 bpf bytecode 1,6\u00a00\u00a00\u00a00,`);
      inNetns(one.path, () => unguardNamespace(lab.pinDir));
      assert.equal(
        inNetns(one.path, () => tcFilters('lo', direction).filter(({ handle }) => handle !== 0)).map(
          ({ handle }) => handle,
        ),
        [7],
      );
      assert.equal(clsactGuards(one.path), []);
    }
  });

  test('the guard of other pins is not ours to take', () => {
    const one = make('o');
    guard(one);
    assert.is(
      inNetns(one.path, () => unguardNamespace(`${lab.pinDir}-other`)),
      0,
    );
    assert.equal(clsactGuards(one.path), ['lo']);
    assert.ok(inNetns(one.path, () => unguardNamespace(`${lab.pinDir}/`)) > 0, 'the same folder');
  });

  test('a filter of somebody who lets all pass does not go before the guard, and the guard does not end the walk', async () => {
    const mac = execFileSync('ip', ['netns', 'exec', lab.peer.name, 'cat', '/sys/class/net/pt0/address'], {
      encoding: 'utf8',
    }).trim();
    const frames = (mode: string) =>
      lab.attack([lab.program('wire'), mode, 'pt0', mac, HOME[4], DENIED[4], FRIENDS[4], `TAG-${mode}`]);
    // classic: -1 is a match, which without an action is TC_ACT_OK
    tc(lab.home, 'qdisc add dev pt0 clsact');
    tc(lab.home, 'filter add dev pt0 egress prio 1 handle 7 bpf bytecode 1,6\u00a00\u00a00\u00a04294967295,');
    lab.enforce();
    assert.ok((await frames('packet')).length > 0, 'without the guard they go out');
    guard(lab.home);
    assert.equal(await frames('packet'), []);
    const other = openKernel(); // enforces nothing; its guard is asked first
    try {
      inNetns(lab.home.path, () => guardNamespace(other.kernel, 'x', 'clsact'));
      assert.equal(clsactGuards(lab.home.path), ['lo', 'lo', 'pt0', 'pt0']);
      assert.equal(await frames('packet'), [], 'who has nothing against it lets others be asked');
      inNetns(lab.home.path, () => unguardNamespace(other.pinDir));
    } finally {
      await other.destroy();
    }
    assert.equal(await frames('packet'), []);
    openGuards(lab.pinDir);
    assert.equal(clsactGuards(lab.home.path), ['lo', 'pt0']);
    assert.ok((await frames('packet')).length > 0, 'a guard that nothing leads to any more closes nothing');
  });

  test('an interface that cannot have the guard is named, and keeps no other from it', () => {
    const one = make('b');
    one.ip('link add aa type veth peer name zz');
    tc(one, 'qdisc add dev aa ingress');
    assert.throws(() => guard(one), /attach program "guard_egress" to tc egress of "aa": EOPNOTSUPP.*ingress qdisc/);
    assert.equal(clsactGuards(one.path), ['lo', 'zz']);
    tc(one, 'qdisc del dev aa ingress');
    tc(one, 'qdisc add dev aa clsact');
    tc(one, 'filter add dev aa egress prio 1 u32 match u32 0 0 flowid 1:1');
    assert.throws(() => guard(one), /of "aa": EINVAL.*another kind of filter has this priority/);
  });

  test('postern agent detach takes it from every namespace, with a process or a mount, and leaves nothing', () => {
    const [mounted, living] = [make('m'), make('l')];
    mounted.ip('link add d0 type veth peer name d1');
    guard(mounted);
    guard(living);
    for (const one of namespaces) if (one !== mounted && one !== living) one.delete();
    const { status, stdout, stderr } = spawnSync(
      'nsenter',
      [`--net=${living.path}`, '--', process.execPath, MAIN, 'agent', 'detach', '--yes', '--pin-dir', lab.pinDir],
      { encoding: 'utf8', env: { ...process.env, POSTERN_RUN_DIR: '/nonexistent', POSTERN_STATE_DIR: '/nonexistent' } },
    );
    assert.is(status, 0, stderr);
    assert.match(stdout, /^Removed the guard of packet sockets from \d+ interfaces\.$/m);
    for (const one of [mounted, living]) {
      assert.equal(clsactGuards(one.path), []);
      assert.is(kindAt(one), undefined);
    }
    assert.equal(clsactGuards(OWN), []);
  });
}

function make(letter: string): Netns {
  const made = createNetns(`pt-${process.pid}-c${letter}`);
  namespaces.push(made);
  return made;
}

function guard(where: Netns): void {
  inNetns(where.path, () => guardNamespace(lab.kernel, 'x', 'clsact'));
}

function kindAt(where: Netns): string | undefined {
  return inNetns(where.path, () => clsactKind('lo'));
}

/** A no-break space stands for one within a word. */
function tc(where: Netns, words: string): void {
  const argv = words.split(' ').map((word) => word.replaceAll('\u00a0', ' '));
  execFileSync('nsenter', [`--net=${where.path}`, '--', 'tc', ...argv], { stdio: ['ignore', 'ignore', 'inherit'] });
}
