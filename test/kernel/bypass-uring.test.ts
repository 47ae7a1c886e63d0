/** Ways out by io_uring: the kernel's own threads make the call, and a ring holds sockets that no descriptor table shows. */
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { revoke } from '../../src/datapath/revoke.ts';
import { told } from '../e2e/wait.ts';
import { DEN, DENIED, FRIEND, FRIENDS, type Frame, type Lab, NOBODY, openLab } from './lab.ts';

const test = suite('bypass: io_uring');
const TCP = 6;
const UDP = 17;
let lab: Lab;

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

for (const how of ['-', 'async', 'sqpoll'])
  for (const family of [4, 6] as const)
    for (const uid of [NOBODY, 0])
      test(`a ring (${how}, IPv${family}, uid ${uid}) reaches a friend and no denied peer`, async () => {
        const argv = (to: string) => [lab.program('uring'), how, to, 'TAG-ring'];
        lab.policy(undefined);
        const open = (await lab.attack(argv(DENIED[family]), { uid })).filter(to(DENIED[family]));
        assert.equal(kinds(open), [TCP, UDP], 'without a policy it arrives');
        lab.enforce();
        assert.equal((await lab.attack(argv(DENIED[family]), { uid })).filter(to(DENIED[family])), []);
        const friendly = (await lab.attack(argv(FRIENDS[family]), { uid })).filter(to(FRIENDS[family]));
        assert.equal(kinds(friendly), [TCP, UDP]);
        assert.is(friendly.filter(({ tag }) => tag === 'TAG-ring').length, 3, 'SENDMSG, SEND, SEND_ZC');
      });

for (const family of [4, 6] as const)
  test(`sockets older than the agent that only a ring holds send nothing to a denied peer (IPv${family})`, async () => {
    const young = await openLab({ attach: false });
    try {
      const child = await young.serve([young.program('uring'), 'held', DENIED[family], 'TAG-held'], /READY/);
      young.label(young.den, DEN);
      young.policy({ 0: 'deny', [FRIEND]: 'allow' });
      young.kernel.attachTracing();
      young.kernel.attachSockets();
      for (let round = 1; round <= 2; round++) {
        young.kernel.maps.config.set(0, { ...young.kernel.maps.config.get(0)!, round });
        young.kernel.iterate('backfill');
      }
      inNetns(young.home.path, () => revoke(young.kernel));
      await young.watch(async () => {}); // what came before has been seen
      const frames = await young.watch(async () => {
        const end = new Promise((resolve) => child.once('close', resolve));
        child.stdin!.end('go\n');
        await end;
      });
      assert.equal(
        frames.filter((frame) => to(DENIED[family])(frame) && frame.tag !== '-'),
        [],
      );
    } finally {
      await young.destroy();
    }
  });

function kinds(frames: readonly Frame[]): number[] {
  return [...new Set(frames.map(({ protocol }) => protocol))].sort((a, b) => a - b);
}

function to(address: string): (frame: Frame) => boolean {
  return ({ destination }) => destination === address;
}

test.run();
