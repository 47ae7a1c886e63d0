/** An address that was a friend's and is another's now: what was judged by the friend's name does not hold for who has it. */
import type { ChildProcess } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { FRIEND, FRIENDS, HOME, type Lab, openLab } from './lab.ts';

const test = suite('bypass: addresses that change hands');
const ALLOWED = { 0: 'deny', [FRIEND]: 'allow' } as const;
let lab: Lab;
const peers: ChildProcess[] = [];

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after(async () => {
  for (const child of peers) child.kill('SIGKILL');
  await lab?.destroy();
});

let port = 7600;
for (const family of [4, 6] as const)
  for (const begins of ['workload', 'peer'] as const)
    for (const connected of [false, true])
      test(`a conversation that the ${begins} began (${connected ? 'connected ' : ''}socket, IPv${family}) ends when the address is another's`, async () => {
        const [ours, theirs] = [String(++port), String(++port)];
        lab.policy(
          begins === 'workload'
            ? { egress: ALLOWED, ingress: { 0: 'deny' } }
            : { egress: { 0: 'deny' }, ingress: ALLOWED },
        );
        const talks = (from: string, at: string, to: string, port: string, more: readonly string[] = []) => [
          ...[lab.program('talks'), 'bind', from, at, to, port],
          ...more,
        ];
        const peer = await serve(talks(FRIENDS[family], theirs, HOME[family], ours), /READY/, { netns: lab.peer.path });
        peers.push(peer);
        const workload = await lab.serve(
          talks(HOME[family], ours, FRIENDS[family], theirs, connected && begins === 'workload' ? ['connect'] : []),
          /READY/,
        );
        const heard = { peer: '', workload: '' };
        for (const [name, child] of Object.entries({ peer, workload }))
          child.stdout!.setEncoding('utf8').on('data', (text) => {
            heard[name as 'peer' | 'workload'] += text;
          });
        const say = async (who: 'peer' | 'workload', text: string): Promise<void> => {
          const before = heard[who].match(/SENT/g)?.length ?? 0;
          (who === 'peer' ? peer : workload).stdin!.write(`${text}\n`);
          await until(`the ${who} has said ${text}`, () => (heard[who].match(/SENT/g)?.length ?? 0) > before);
        };
        const other = begins === 'workload' ? 'peer' : 'workload';
        await say(begins, 'TAG-before');
        await until('it is heard', () => heard[other].includes('TAG-before'));
        await say(other, 'TAG-answer');
        await until('the answer is heard', () => heard[begins].includes('TAG-answer'));

        lab.policy(
          begins === 'workload'
            ? { egress: ALLOWED, ingress: { 0: 'deny' } }
            : { egress: { 0: 'deny' }, ingress: ALLOWED },
          [],
        );
        const frames = await lab.watch(async () => {
          for (const who of ['peer', 'workload', 'peer', 'workload'] as const) await say(who, 'TAG-after');
        });
        assert.equal(
          frames.filter(({ destination, tag }) => destination === FRIENDS[family] && tag !== '-'),
          [],
        );
        assert.not.match(heard.workload, /TAG-after/);
        for (const child of [peer, workload]) {
          const closed = new Promise((resolve) => child.once('close', resolve));
          child.kill('SIGKILL');
          await closed;
        }
      });

test.run();
