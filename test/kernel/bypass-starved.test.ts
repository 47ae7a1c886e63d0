/** A workload that leaves the kernel no room to note whose socket it is: what cannot be noted at the socket is noted elsewhere. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { run, start } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, HOME, type Lab, openLab } from './lab.ts';

const test = suite('bypass: starved sockets');
let lab: Lab;

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

for (const family of [4, 6] as const)
  for (const filled of [[], ['fill']])
    test(`a listener ${filled.length > 0 ? 'that can hold no more' : 'without bind()'}, in a cgroup that is nobody's, does not hear a denied peer (IPv${family})`, async () => {
      for (const isEnforced of [false, true]) {
        if (isEnforced) lab.enforce();
        else lab.policy(undefined);
        const argv = [lab.program('starved'), lab.cgroupDir, ...filled];
        const listener = start(argv, { netns: lab.home.path, cgroup: lab.den });
        let text = '';
        listener.stdout!.on('data', (chunk) => {
          text += chunk;
        });
        await until('it listens', () => /PORT \d+/.test(text));
        const port = /PORT (\d+)/.exec(text)![1]!;
        const knock = (from: string, what: string) =>
          run([lab.program('knock'), 'tcp', from, HOME[family], port, what], { netns: lab.peer.path });
        await knock(DENIED[family], 'TAG-denied');
        await knock(FRIENDS[family], 'TAG-friend');
        await until('the friend is heard', () => text.includes('TAG-friend'));
        assert.is(text.includes('TAG-denied'), !isEnforced, text);
        const closed = new Promise((resolve) => listener.once('close', resolve));
        listener.kill('SIGKILL');
        await closed;
      }
    });

test.run();
