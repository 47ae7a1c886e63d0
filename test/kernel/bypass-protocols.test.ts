// @timeout 120
/**
 * Transports besides TCP and UDP, and tunnels: refused at socket(), or judged by the address that the packet has. Each is tried
 * without a policy too, so that it is a real one.
 */
import type { ChildProcess } from 'node:child_process';
import { inNetns } from 'libbpf-ts';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { revoke } from '../../src/datapath/revoke.ts';
import { run, serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { hasKernelOption } from './kernel-config.ts';
import { DENIED, FRIENDS, type Frame, HOME, type Lab, NOBODY, openLab } from './lab.ts';

const test = suite('bypass: protocols');
let lab: Lab;
/** Of each test its own: an association outlives its sockets. */
let port = 7800;

test.before(
  told(async () => {
    lab = await openLab();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

for (const { mode, option, uid } of [
  { mode: 'sctp', option: 'IP_SCTP', uid: NOBODY },
  { mode: 'sctp-packet', option: 'IP_SCTP', uid: NOBODY },
  { mode: 'smc', option: 'SMC', uid: NOBODY },
  { mode: 'smc-tfo', option: 'SMC', uid: NOBODY },
  { mode: 'l2tp', option: 'L2TP_IP', uid: 0 },
  { mode: 'dccp', option: 'IP_DCCP', uid: NOBODY },
])
  for (const family of [4, 6] as const)
    if (!hasKernelOption(option)) skip(test, `${mode} over IPv${family}`, `kernel: CONFIG_${option} is off`);
    else {
      const argv = () => [lab.program('egress'), mode, DENIED[family], FRIENDS[family], `TAG-${mode}`];

      test(`${mode} over IPv${family} does not reach a denied peer`, async () => {
        lab.policy(undefined);
        assert.ok((await lab.attack(argv(), { uid })).some(to(DENIED[family])), 'without a policy it arrives');
        lab.enforce();
        assert.equal((await lab.attack(argv(), { uid })).filter(to(DENIED[family])), []);
      });

      test(`a socket that is older than the policy does not reach a denied peer by ${mode} over IPv${family}`, async () => {
        lab.policy(undefined);
        const older = await lab.serve([...argv(), 'wait'], /READY/);
        lab.enforce();
        const frames = await lab.watch(async () => {
          const end = new Promise((resolve) => older.once('close', resolve));
          older.stdin!.end('go\n');
          await end;
        });
        assert.equal(frames.filter(to(DENIED[family])), []);
      });
    }

for (const { kind, option } of [
  { kind: 'sctp', option: 'IP_SCTP' },
  { kind: 'smc', option: 'SMC' },
  { kind: 'tcp', option: 'INET' },
])
  for (const family of [4, 6] as const)
    if (!hasKernelOption(option)) skip(test, `${kind} over IPv${family}, both ways`, `kernel: CONFIG_${option} is off`);
    else {
      test(`a connection by ${kind} over IPv${family} that is older than the policy says and hears nothing`, async () => {
        lab.policy(undefined);
        port++;
        const server = await talker('peer', 'serve', kind, DENIED[family]);
        const client = await talker('den', 'connect', kind, DENIED[family], HOME[family]);
        try {
          await until('the server has it', () => /ACCEPT/.test(server.text()));
          await both(server, client, 'open');
          await until(
            'without a policy both hear',
            () => /GOT TAG-in-open/.test(client.text()) && /GOT TAG-out-open/.test(server.text()),
          );
          lab.enforce();
          for (let pass = 0; pass < 2; pass++) inNetns(lab.home.path, () => revoke(lab.kernel));
          const frames = await both(server, client, 'closed');
          assert.equal(
            frames.filter((frame) => to(DENIED[family])(frame) && frame.tag.startsWith('TAG')),
            [],
          );
          assert.not.match(client.text(), /GOT TAG-in-closed/);
          assert.not.match(server.text(), /GOT TAG-out-closed/);
        } finally {
          for (const one of [server, client]) await one.end();
        }
      });

      test(`a listener by ${kind} over IPv${family} that is older than the policy does not hear a denied peer`, async () => {
        for (const isEnforced of [false, true]) {
          lab.policy(undefined);
          port++;
          const server = await talker('den', 'serve', kind, HOME[family]);
          try {
            if (isEnforced) lab.enforce();
            const argv = [lab.program('assoc'), 'connect', kind, HOME[family], String(port), DENIED[family]];
            const limitMs = isEnforced ? 500 : 5_000;
            const frames = await lab.watch(() => run(argv, { netns: lab.peer.path, limitMs }));
            if (!isEnforced) await until('the server has it', () => /ACCEPT/.test(server.text()));
            else {
              assert.not.match(server.text(), /ACCEPT/);
              assert.equal(frames.filter(to(DENIED[family])), []);
            }
          } finally {
            await server.end();
          }
        }
      });
    }

for (const { kind, option, outer } of [
  { kind: 'ipip', option: 'NET_IPIP', outer: 4 },
  { kind: 'gre', option: 'NET_IPGRE', outer: 4 },
  { kind: 'sit', option: 'IPV6_SIT', outer: 4 },
  { kind: 'ip6tnl', option: 'IPV6_TUNNEL', outer: 6 },
  { kind: 'ip6gre', option: 'IPV6_GRE', outer: 6 },
] as const)
  for (const family of kind === 'ipip' ? ([4] as const) : kind === 'sit' ? ([6] as const) : ([4, 6] as const))
    if (!hasKernelOption(option)) skip(test, `${kind} tunnels, IPv${family} inside`, `kernel: CONFIG_${option} is off`);
    else
      test(`through a tunnel (${kind}) to a friend the address inside is judged, out and in (IPv${family} inside)`, async () => {
        const [own, other] = family === 4 ? ['10.97.1.1', '10.97.1.2'] : ['fd97::1', 'fd97::2'];
        const mode = kind === 'ip6tnl' ? ' mode any' : '';
        const ends = [
          [lab.home, own, HOME[outer], FRIENDS[outer]],
          [lab.peer, other, FRIENDS[outer], HOME[outer]],
        ] as const;
        for (const [netns, address, local, remote] of ends) {
          netns.ip(`link add pt1 type ${kind} local ${local} remote ${remote}${mode}`);
          netns.ip(`addr add ${address}/${family === 4 ? '24' : '64 nodad'} dev pt1`);
          netns.ip('link set pt1 up');
        }
        const sink = await lab.serve([lab.program('sink'), String(++port)], /READY/);
        const said = textOf(sink);
        const out = async () =>
          (await lab.attack([lab.program('egress'), 'udp', other, FRIENDS[4], 'TAG-inside'])).some(
            ({ tag }) => tag === 'TAG-inside',
          );
        const knock = async (from: string, at: string, text: string): Promise<string> => {
          await run([lab.program('knock'), 'udp', from, at, String(port), text], { netns: lab.peer.path });
          return text;
        };
        try {
          lab.policy(undefined);
          await until('the tunnel is there', out);
          await knock(other, own, 'TAG-in-open');
          await until('without a policy it is heard', () => said().includes('TAG-in-open'));
          lab.enforce();
          assert.not.ok(await out());
          await knock(other, own, 'TAG-in-closed');
          await knock(FRIENDS[4], HOME[4], 'TAG-barrier');
          await until('what came before was heard', () => said().includes('TAG-barrier'));
          assert.not.match(said(), /TAG-in-closed/);
        } finally {
          const end = new Promise((resolve) => sink.once('close', resolve));
          sink.kill('SIGKILL');
          await end;
          for (const [netns] of ends) netns.ip('link del pt1');
        }
      });

interface Talker {
  text(): string;
  /** On all its connections. */
  speak(words: string): Promise<void>;
  end(): Promise<void>;
}

async function talker(
  where: 'den' | 'peer',
  role: 'serve' | 'connect',
  kind: string,
  address: string,
  source = '-',
): Promise<Talker> {
  const argv = [lab.program('assoc'), role, kind, address, String(port), source];
  const child = where === 'den' ? await lab.serve(argv, /READY/) : await serve(argv, /READY/, { netns: lab.peer.path });
  const text = textOf(child);
  return {
    text,
    speak: async (words) => {
      const from = text().length;
      child.stdin!.write(`${words}\n`);
      await until(`${role} has spoken`, () => text().includes(`SENT ${words}`, from));
    },
    end: async () => {
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await closed;
    },
  };
}

/** Both ends speak, and what arrives of it is printed. */
async function both(server: Talker, client: Talker, tag: string): Promise<Frame[]> {
  const frames = await lab.watch(async () => {
    await server.speak(`TAG-in-${tag}`);
    await client.speak(`TAG-out-${tag}`);
  });
  for (const one of [server, client]) await one.speak('-');
  return frames;
}

function textOf(child: ChildProcess): () => string {
  let text = '';
  child.stdout!.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  return () => text;
}

function to(address: string): (frame: Frame) => boolean {
  return ({ destination }) => destination === address;
}

test.run();
