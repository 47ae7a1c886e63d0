// @timeout 300
/**
 * Frames that no kernel would write, from addresses of a denied peer, to every kind of socket: nothing is heard. The seed is
 * printed; POSTERN_FUZZ_SEED repeats a run, POSTERN_FUZZ_SECONDS makes it longer.
 */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { run } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { FRIENDS, GHOST, HOME, type Lab, openLab } from './lab.ts';

const test = suite('fuzz: packets');
const seconds = Number(process.env.POSTERN_FUZZ_SECONDS ?? 20);
const seed = Number(process.env.POSTERN_FUZZ_SEED ?? Date.now() % 1_000_000_000);
const PORT = '7300';
const FRAMES = 20_000;
let lab: Lab;
let macs: readonly [string, string];
let text = '';

test.before(
  told(async () => {
    lab = await openLab();
    const macOf = (name: string) =>
      execFileSync('ip', ['netns', 'exec', name, 'cat', '/sys/class/net/pt0/address'], { encoding: 'utf8' }).trim();
    macs = [macOf(lab.peer.name), macOf(lab.home.name)];
  }),
);

test.after(async () => {
  await lab?.destroy();
});

test(`no frame of a denied peer reaches an application (seed ${seed}, ${seconds} s)`, async () => {
  lab.policy(undefined);
  const open = await openEars();
  await shower(seed);
  const heard = await open.drain();
  const kinds = new Set([...heard.matchAll(/^(\S+) TAG-frame/gm)].map(([, kind]) => kind));
  await open.end();
  for (const kind of ['UDP4', 'UDP6', 'UDPLITE4', 'RAW-TCP4', 'RAW-UDP6', 'RAW-ICMP4', 'RAW-2004'])
    assert.ok(kinds.has(kind), `without a policy ${kind} hears: ${[...kinds]}`);

  lab.enforce();
  const closed = await openEars();
  const end = performance.now() + seconds * 1000;
  let frames = 0;
  for (let at = seed; performance.now() < end; at++) {
    await shower(at);
    frames += FRAMES;
    const said = await closed.drain();
    assert.not.match(said, /TAG-frame|ACCEPT/, `seed ${at}: ${said.slice(0, 300)}`);
  }
  await closed.end();
  console.log(`${frames} frames to ${kinds.size} kinds of sockets`);
});

async function shower(from: number): Promise<void> {
  const addresses = [GHOST[4], GHOST[6], HOME[4], HOME[6], FRIENDS[4]];
  const argv = [lab.program('shower'), String(from), String(FRAMES), 'pt0', ...macs, ...addresses, PORT];
  const { code, stderr } = await run(argv, { netns: lab.peer.path, limitMs: 60_000 });
  assert.is(code, 0, stderr);
}

async function openEars() {
  const child = await lab.serve([lab.program('ears'), FRIENDS[4], PORT, 'root'], /READY/);
  child.stdout!.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  return {
    drain: async (): Promise<string> => {
      child.stdin!.write('\n');
      await until('everything was heard', () => text.endsWith('DRAINED\n'));
      const heard = text;
      text = '';
      return heard;
    },
    end: async (): Promise<void> => {
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await closed;
    },
  };
}

test.run();
