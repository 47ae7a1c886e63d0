// @timeout 120
/**
 * Ways in from a denied peer, each tried twice: without a policy it is answered or read (so the attempt is a real one),
 * with it the victim reads nothing and no answer leaves it.
 */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { run, start } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, GHOST, HOME, type Lab, openLab } from './lab.ts';

const test = suite('bypass: ingress');
let lab: Lab;
let macs: readonly [string, string];
let read = '';

test.before(
  told(async () => {
    lab = await openLab();
    macs = [macOf(lab.peer.name), macOf(lab.home.name)];
    execFileSync('ip', ['netns', 'exec', lab.home.name, 'sysctl', '-qw', 'net.ipv4.tcp_fastopen=0x603']);
    const victim = await lab.serve([lab.program('sink')], /READY/);
    victim.stdout!.setEncoding('utf8').on('data', (text) => {
      read += text;
    });
  }),
);

test.after(async () => {
  await lab?.destroy();
});

const forms: readonly (readonly [form: string, families: readonly (4 | 6)[]])[] = [
  ['plain', [4, 6]],
  ['synecn', [4, 6]],
  ['synpsh', [4, 6]],
  ['synack', [4, 6]],
  ['syndata', [4, 6]],
  ['split+plain', [4]],
  ['q+plain', [4, 6]],
  ['ad+plain', [4, 6]],
  ['qq+plain', [4, 6]],
  ['ack', [4, 6]],
  ['nops', [4]],
  ['route', [4]],
  ['hop', [6]],
  ['destination', [6]],
  ['fragment', [6]],
  ['routing', [6]],
  ['three', [6]],
];

for (const [form, families] of forms)
  for (const family of families)
    test(`a first TCP packet (${form}, IPv${family}) from a denied peer gets no answer`, async () => {
      lab.policy(undefined);
      assert.match((await inject(family, form)).stdout, /ANSWER/, 'without a policy it is answered');
      lab.enforce();
      assert.is((await inject(family, form)).stdout, '');
    });

for (const form of ['synfin', 'synrst'])
  for (const family of [4, 6] as const)
    test(`a TCP packet that begins and ends at once (${form}, IPv${family}) gets no answer from a victim with a policy`, async () => {
      lab.enforce();
      assert.is((await inject(family, form)).stdout, '');
    });

for (const family of [4, 6] as const)
  test(`data in the SYN (TCP Fast Open, IPv${family}) from a denied peer is not read`, async () => {
    lab.policy(undefined);
    assert.match(await readBy(() => inject(family, 'syndata')), /TAG-frame/, 'without a policy it is read');
    lab.enforce();
    assert.not.match(await readBy(() => inject(family, 'syndata')), /TAG-frame|ACCEPT/);
  });

for (const [form, family] of [
  ['udp-plain', 4],
  ['udp-nops', 4],
  ['udp-route', 4],
  ['split+udp-plain', 4],
  ['split+udp-plain', 6],
  ['q+udp-plain', 4],
  ['q+udp-plain', 6],
  ['ad+udp-plain', 4],
  ['qq+udp-plain', 6],
  ['udp-plain', 6],
  ['udp-hop', 6],
  ['udp-destination', 6],
  ['udp-fragment', 6],
  ['udp-three', 6],
] as const)
  test(`a datagram (${form}, IPv${family}) from a denied peer is not read`, async () => {
    lab.policy(undefined);
    assert.match(await readBy(() => inject(family, form)), /TAG-frame/, 'without a policy it is read');
    lab.enforce();
    assert.not.match(await readBy(() => inject(family, form)), /TAG-frame/);
  });

for (const family of [4, 6] as const)
  for (const kind of ['tcp', 'udp', 'udplite'])
    test(`${kind} over IPv${family} from a friend is read, from a denied peer not`, async () => {
      lab.enforce();
      assert.match(await readBy(() => knock(kind, FRIENDS[family], HOME[family], 'TAG-friend')), /TAG-friend/);
      assert.not.match(
        await readBy(() => knock(kind, DENIED[family], HOME[family], 'TAG-denied')),
        /TAG-denied|ACCEPT/,
      );
    });

for (const [cookies, family] of [
  [1, 4],
  [2, 4],
  [1, 6],
  [2, 6],
] as const)
  test(`a connection half open when the policy came is not completed (SYN cookies ${cookies}, IPv${family})`, async () => {
    execFileSync('ip', ['netns', 'exec', lab.home.name, 'sysctl', '-qw', `net.ipv4.tcp_syncookies=${cookies}`]);
    for (const isEnforced of [false, true]) {
      lab.policy(undefined);
      const text = await readBy(async () => {
        const half = start(frames(family, 'half-open'), { netns: lab.peer.path });
        let out = '';
        half.stdout!.on('data', (chunk) => {
          out += chunk;
        });
        await until('the SYN is answered', () => /ANSWER 12/.test(out));
        if (isEnforced) lab.enforce();
        const end = new Promise((resolve) => half.once('close', resolve));
        half.stdin!.end('go\n');
        await end;
      });
      assert.is(/ACCEPT|TAG-half/.test(text), !isEnforced, text);
    }
  });

for (const [kind, family] of [
  ['tcp', 4],
  ['udp', 4],
  ['tcp', 6],
  ['udp', 6],
] as const)
  test(`who may be spoken to may not speak: ${kind} socket that talked to a friend is deaf to others (IPv${family})`, async () => {
    for (const isEnforced of [false, true]) {
      if (isEnforced) lab.enforce();
      else lab.policy(undefined);
      const port = kind === 'tcp' ? '7101' : '7102';
      const confused = await lab.serve([lab.program('confused'), kind, FRIENDS[family], port], /READY/);
      let text = '';
      confused.stdout!.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      await knock(kind, DENIED[family], HOME[family], 'TAG-denied', port);
      if (isEnforced) await readBy(async () => {});
      else await until('the socket has heard', () => text.includes('GOT'));
      assert.is(text.includes('GOT'), !isEnforced, text);
      confused.kill('SIGKILL');
      await new Promise((resolve) => confused.once('close', resolve));
    }
  });

let barriers = 0;

/** What the victim read because of `act`. */
async function readBy(act: () => Promise<unknown>): Promise<string> {
  const from = read.length;
  await act();
  const barrier = `barrier-${++barriers}`;
  await knock('udp', FRIENDS[4], HOME[4], barrier);
  await until('the victim has read what came before', () => read.includes(`${barrier}\n`));
  return read.slice(from);
}

function knock(kind: string, from: string, to: string, text: string, port = '7000') {
  return run([lab.program('knock'), kind, from, to, port, text], { netns: lab.peer.path });
}

function inject(family: 4 | 6, form: string) {
  return run(frames(family, form), { netns: lab.peer.path });
}

function frames(family: 4 | 6, form: string): string[] {
  return [lab.program('frames'), 'pt0', ...macs, GHOST[family], HOME[family], '7000', form];
}

function macOf(netns: string): string {
  return execFileSync('ip', ['netns', 'exec', netns, 'cat', '/sys/class/net/pt0/address'], { encoding: 'utf8' }).trim();
}

test.run();
