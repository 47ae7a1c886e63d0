// @timeout 120
/** Every kind of socket of a workload, and what a denied peer can make it hear; handshakes that are under way at a flip. */
import { execFileSync } from 'node:child_process';
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { revoke } from '../../src/datapath/revoke.ts';
import { run, serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { DENIED, FRIEND, FRIENDS, GHOST, HOME, type Lab, openLab } from './lab.ts';

const test = suite('bypass: every socket');
const PORT = '7300';
let lab: Lab;
let macs: readonly [string, string];

test.before(
  told(async () => {
    lab = await openLab();
    macs = [macOf(lab.peer.name), macOf(lab.home.name)];
  }),
);

test.after(async () => {
  await lab?.destroy();
});

for (const [form, to, family, hears] of [
  ['udp-plain', HOME[4], 4, /UDP4 TAG-frame|RAW-UDP4 TAG-frame/],
  ['udp-plain', HOME[6], 6, /UDP6 TAG-frame|RAW-UDP6 TAG-frame/],
  ['udp-plain', '224.0.0.1', 4, /UDP4 TAG-frame/],
  ['udp-plain', '10.98.7.255', 4, /UDP4 TAG-frame/],
  ['udp-plain', '255.255.255.255', 4, /UDP4 TAG-frame/],
  ['udp-plain', 'ff02::1', 6, /UDP6 TAG-frame/],
  ['syndata', HOME[4], 4, /RAW-TCP4 TAG-frame/],
  ['syndata', HOME[6], 6, /RAW-TCP6 TAG-frame/],
  ['echo', HOME[4], 4, /RAW-ICMP4 TAG-frame/],
  ['echo', HOME[6], 6, /RAW-ICMP6 TAG-frame/],
  ['strange', HOME[4], 4, /RAW-2004 TAG-frame/],
  ['strange', HOME[6], 6, /RAW-2006 TAG-frame/],
] as const)
  test(`no socket hears a denied peer (${form} to ${to})`, async () => {
    const argv = [lab.program('frames'), 'pt0', ...macs, GHOST[family], to, PORT, form];
    const inject = () => run(argv, { netns: lab.peer.path });
    lab.policy(undefined);
    const ears = await openEars();
    assert.match(await ears.heard(inject), hears, 'without a policy it is heard');
    lab.enforce();
    assert.not.match(await ears.heard(inject), /TAG-frame/);
    await ears.end();
  });

test('a friend is heard by raw, datagram and stream sockets', async () => {
  lab.enforce();
  const ears = await openEars();
  const text = await ears.heard(async () => {
    for (const kind of ['udp', 'udplite', 'tcp']) await knock(kind, FRIENDS[4], 'TAG-friend');
  });
  for (const kind of ['UDP4', 'UDPLITE4', 'ACCEPTED4', 'RAW-UDP4', 'RAW-TCP4'])
    assert.match(text, new RegExp(`^${kind} TAG-friend`, 'm'));
  await ears.end();
});

test('who may be spoken to and may not speak is heard only as an answer', async () => {
  for (const isEnforced of [false, true]) {
    lab.policy(isEnforced ? { egress: { 0: 'deny', [FRIEND]: 'allow' }, ingress: { 0: 'deny' } } : undefined);
    const ears = await openEars();
    const unasked = () => knock('udp', FRIENDS[4], 'TAG-unasked');
    assert.is(/TAG-unasked/.test(await ears.heard(unasked)), !isEnforced);
    const server = await serve([lab.program('ask'), 'serve', FRIENDS[4], '7004'], /READY/, { netns: lab.peer.path });
    const asked = await run([lab.program('ask'), HOME[4], FRIENDS[4], '7004', 'TAG-question'], {
      netns: lab.home.path,
      cgroup: lab.den,
    });
    assert.match(asked.stdout, /ANSWER TAG-question/);
    server.kill('SIGKILL');
    await new Promise((resolve) => server.once('close', resolve));
    await ears.end();
  }
});

test('a connected datagram socket hears its peer and nobody else', async () => {
  lab.enforce();
  const ears = await openEars();
  const port = String(Number(PORT) + 1);
  const text = await ears.heard(async () => {
    await run([lab.program('knock'), 'udp', FRIENDS[4], HOME[4], port, 'TAG-peer', '7002'], { netns: lab.peer.path });
    await run([lab.program('knock'), 'udp', DENIED[4], HOME[4], port, 'TAG-other', '7002'], { netns: lab.peer.path });
  });
  assert.match(text, /CONNECTED4 TAG-peer/);
  assert.not.match(text, /TAG-other/);
  await ears.end();
});

for (const form of ['late', 'crossed'])
  for (const family of [4, 6] as const)
    test(`a connect() that waits for its answer when the policy comes is not answered (${form}, IPv${family})`, async () => {
      for (const isEnforced of [false, true]) {
        lab.policy(undefined);
        const argv = [lab.program('frames'), 'pt0', ...macs, GHOST[family], HOME[family], '0', form];
        const ghost = await serve(argv, /READY/, { netns: lab.peer.path });
        let out = '';
        ghost.stdout!.on('data', (text) => {
          out += text;
        });
        const client = await lab.serve([lab.program('waits'), GHOST[family], '7400'], /READY/);
        let text = '';
        client.stdout!.on('data', (chunk) => {
          text += chunk;
        });
        await until('the peer has the SYN', () => /SYN/.test(out));
        if (isEnforced) {
          lab.enforce();
          inNetns(lab.home.path, () => revoke(lab.kernel));
        }
        const closed = new Promise((resolve) => ghost.once('close', resolve));
        ghost.stdin!.end('go\n');
        await closed;
        await until('the client knows', () => /END/.test(text));
        assert.is(/TAG-crossed/.test(text), !isEnforced, text);
      }
    });

for (const family of [4, 6] as const) {
  test(`who may connect and may not be connected to opens a connection from both ends at once (IPv${family})`, async () => {
    lab.policy({ egress: { 0: 'allow' }, ingress: { 0: 'deny' } });
    const ghost = await crosses(family);
    const client = await lab.serve([lab.program('waits'), GHOST[family], '7400'], /READY/);
    let text = '';
    client.stdout!.on('data', (chunk) => {
      text += chunk;
    });
    await until('the peer has the SYN', () => /SYN/.test(ghost.text()));
    ghost.answer();
    await until('the client knows', () => /END/.test(text));
    assert.match(text, /TAG-crossed/);
  });

  test(`who may be connected to and may not connect does not (IPv${family})`, async () => {
    lab.policy({ egress: { 0: 'deny' }, ingress: { 0: 'allow' } });
    const ghost = await crosses(family);
    const { stdout } = await run([lab.program('waits'), GHOST[family], '7400'], {
      netns: lab.home.path,
      cgroup: lab.den,
    });
    await lab.watch(async () => {});
    assert.not.match(ghost.text(), /SYN/);
    assert.not.match(stdout, /TAG/);
    ghost.answer();
  });
}

/** A peer that answers the SYN of the workload by a SYN of its own. */
async function crosses(family: 4 | 6) {
  const argv = [lab.program('frames'), 'pt0', ...macs, GHOST[family], HOME[family], '0', 'crossed'];
  const child = await serve(argv, /READY/, { netns: lab.peer.path });
  let text = '';
  child.stdout!.on('data', (chunk) => {
    text += chunk;
  });
  return { text: () => text, answer: () => child.stdin!.end('go\n') };
}

for (const family of [4, 6] as const)
  test(`the pair of addresses of a connection that has just ended opens no door after a flip (IPv${family})`, async () => {
    for (const isEnforced of [false, true]) {
      lab.policy(undefined);
      const victim = await lab.serve([lab.program('hangup'), '7500'], /READY/);
      let text = '';
      victim.stdout!.on('data', (chunk) => {
        text += chunk;
      });
      const again = (what: string) =>
        run([lab.program('knock'), 'tcp', DENIED[family], HOME[family], '7500', what, isEnforced ? '6501' : '6500'], {
          netns: lab.peer.path,
        });
      await again('TAG-first');
      await until('it is in TIME_WAIT', () =>
        execFileSync('ip', ['netns', 'exec', lab.home.name, 'cat', '/proc/net/tcp6', '/proc/net/tcp'], {
          encoding: 'utf8',
        }).includes(' 06 '),
      );
      if (isEnforced) lab.enforce();
      await again('TAG-second');
      if (isEnforced)
        await run([lab.program('knock'), 'tcp', FRIENDS[family], HOME[family], '7500', 'TAG-end'], {
          netns: lab.peer.path,
        });
      await until('the victim has heard', () => text.includes(isEnforced ? 'TAG-end' : 'TAG-second'));
      assert.is(text.includes('TAG-second'), !isEnforced, text);
      victim.kill('SIGKILL');
      await new Promise((resolve) => victim.once('close', resolve));
    }
  });

interface Ears {
  /** What they heard because of `act`. */
  heard(act: () => Promise<unknown>): Promise<string>;
  end(): Promise<void>;
}

async function openEars(): Promise<Ears> {
  const child = await lab.serve([lab.program('ears'), FRIENDS[4], PORT, 'root'], /READY/);
  let text = '';
  child.stdout!.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  const drain = async (): Promise<string> => {
    child.stdin!.write('\n');
    await until('everything was heard', () => text.endsWith('DRAINED\n'));
    const heard = text;
    text = '';
    return heard;
  };
  return {
    heard: async (act) => {
      await drain();
      await act();
      await knock('udp', FRIENDS[4], 'TAG-barrier'); // goes the same way; whether it is heard does not matter
      return await drain();
    },
    end: async () => {
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await closed;
    },
  };
}

function knock(kind: string, from: string, text: string) {
  return run([lab.program('knock'), kind, from, HOME[4], PORT, text], { netns: lab.peer.path });
}

function macOf(netns: string): string {
  return execFileSync('ip', ['netns', 'exec', netns, 'cat', '/sys/class/net/pt0/address'], { encoding: 'utf8' }).trim();
}

test.run();
