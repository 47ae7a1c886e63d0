/** Subflows that the kernel opens by itself, out to an address that the peer announces and in from one that it has. */
import { execFileSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readCounters } from '../../src/datapath/counters.ts';
import { serve } from '../e2e/run-in.ts';
import { told, until } from '../e2e/wait.ts';
import { skip } from '../skip.ts';
import { hasKernelOption } from './kernel-config.ts';
import { DENIED, FRIENDS, type Frame, HOME, type Lab, openLab } from './lab.ts';

const test = suite('bypass: MPTCP');
const TCP = 6;
let lab: Lab;

test.before(
  told(async () => {
    lab = await openLab();
    for (const netns of [lab.home, lab.peer]) netns.ip('mptcp limits set subflows 8 add_addr_accepted 8');
  }),
);

test.after(async () => {
  await lab?.destroy();
});

if (!hasKernelOption('MPTCP')) skip(test, 'subflows', 'kernel: CONFIG_MPTCP is off');
else
  for (const family of [4, 6] as const) {
    test(`no subflow to a denied address that a friend announces (IPv${family})`, async () => {
      const wasEnforced = await lab.watch(() => announced(family, `${DENIED[family]} id 7 signal`, true));
      assert.equal(wasEnforced.filter(to(DENIED[family])), []);
      const wasOpen = await lab.watch(() => announced(family, `${DENIED[family]} id 7 signal`, false));
      assert.ok(wasOpen.some(to(DENIED[family])), 'without a policy it arrives');
    });

    test(`a denied address does not join the connection of a friend (IPv${family})`, async () => {
      for (const isEnforced of [true, false]) {
        if (isEnforced) lab.enforce();
        else lab.policy(undefined);
        const port = `72${family}${isEnforced ? 1 : 0}`;
        await lab.serve([lab.program('mptcp'), 'serve', port], /READY/);
        lab.peer.ip(`mptcp endpoint add ${DENIED[family]} id 7 subflow`);
        try {
          const frames = await lab.watch(async () => {
            const tries = triesFrom(lab.peer.name);
            const client = await serve(
              [lab.program('mptcp'), 'connect', FRIENDS[family], HOME[family], port, 'TAG-join'],
              /CONNECTED/,
              { netns: lab.peer.path },
            );
            await until('the denied address has tried to join', () => {
              client.stdin!.write('more\n');
              return triesFrom(lab.peer.name) >= tries + 2;
            });
            client.kill('SIGKILL');
          });
          const answers = frames.filter((frame) => to(DENIED[family])(frame) && frame.protocol === TCP);
          assert.is(answers.length > 0, !isEnforced, JSON.stringify(answers));
        } finally {
          lab.peer.ip('mptcp endpoint flush');
        }
      }
    });
  }

if (hasKernelOption('MPTCP')) {
  test('a subflow belongs to whoever made the connection, not to the cgroup that he moved to', async () => {
    const frames = await lab.watch(() => announced(4, `${DENIED[4]} id 7 signal`, true, lab.free));
    assert.equal(frames.filter(to(DENIED[4])), []);
  });

  test('a subflow to an allowed address that a friend announces is there', async () => {
    const joins = joinsOf(lab.home.name);
    await announced(4, `${FRIENDS[4]} id 8 port 7201 signal`, true);
    await until('the client has joined', () => joinsOf(lab.home.name) > joins);
  });
}

/** A friend announces an endpoint to a client that is connected to it; done when the client's kernel has tried it. */
async function announced(family: 4 | 6, endpoint: string, isEnforced: boolean, moveTo = lab.den): Promise<void> {
  if (isEnforced) lab.enforce();
  else lab.policy(undefined);
  lab.peer.ip(`mptcp endpoint add ${endpoint}`);
  const server = await serve([lab.program('mptcp'), 'serve', '7200'], /READY/, { netns: lab.peer.path });
  const tried = readCounters(lab.kernel.maps).kernelThread;
  const argv = [lab.program('mptcp'), 'connect', HOME[family], FRIENDS[family], '7200', 'TAG-subflow'];
  const moving = ['sh', '-c', `echo $$ > ${moveTo}/cgroup.procs && exec "$@"`, 'sh', ...argv];
  const client = await lab.serve(moving, /CONNECTED/);
  try {
    await until('a kernel thread of the client has connected', () => {
      client.stdin!.write('more\n');
      return readCounters(lab.kernel.maps).kernelThread > tried;
    });
  } finally {
    for (const child of [client, server]) {
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await closed;
    }
    lab.peer.ip('mptcp endpoint flush');
  }
}

/** Subflows that a namespace has joined as the one who connects. */
function joinsOf(netns: string): number {
  return counter(netns, 'MPJoinSynAckRx');
}

/** Connections that a namespace has tried, subflows among them. */
function triesFrom(netns: string): number {
  return counter(netns, 'ActiveOpens', '/proc/net/snmp', 'Tcp:');
}

function counter(netns: string, name: string, file = '/proc/net/netstat', group = 'MPTcpExt:'): number {
  const text = execFileSync('ip', ['netns', 'exec', netns, 'cat', file], { encoding: 'utf8' });
  const [names, values] = text.split('\n').filter((line) => line.startsWith(group));
  const at = names?.split(' ').indexOf(name) ?? -1;
  if (at < 0) throw new Error(`no counter ${name}: ${names}`);
  return Number(values!.split(' ')[at]);
}

function to(address: string): (frame: Frame) => boolean {
  return ({ destination }) => destination === address;
}

test.run();
