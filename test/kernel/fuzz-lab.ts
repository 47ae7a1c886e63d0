/** Runs attacks/fuzz.c as the workload against a peer that pesters it, flips policy between epochs, and holds both ends to it. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { inNetns } from 'libbpf-ts';
import { revoke } from '../../src/datapath/revoke.ts';
import { serve } from '../e2e/run-in.ts';
import { until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, type Frame, HOME, type Lab, NOBODY } from './lab.ts';

export interface FuzzResult {
  readonly operations: number;
  readonly epochs: number;
  /** What should not have been: a frame at the denied peer, or its words in an application. */
  readonly violations: readonly string[];
  /** Frames of the workload that reached the friend, and the other peer while it was allowed. */
  readonly toFriend: number;
  readonly toAllowed: number;
  /** Words of the other peer that the workload heard while it was allowed. */
  readonly heard: number;
}

const OPERATIONS = 1500;

/**
 * In even epochs the peer is denied, in odd ones allowed. Stops at `until` (performance.now()), or at the first
 * violation. The operations follow from the seed alone.
 */
export async function fuzz(lab: Lab, seed: number, end: number): Promise<FuzzResult> {
  const result = { operations: 0, epochs: 0, violations: [] as string[], toFriend: 0, toAllowed: 0, heard: 0 };
  const pester = await serve([lab.program('pester'), DENIED[4], DENIED[6], HOME[4], HOME[6]], /READY/, {
    netns: lab.peer.path,
  });
  const hears = listen(pester);
  const before = new Set<string>();
  try {
    for (let process = 0; performance.now() < end && result.violations.length === 0; process++)
      await one(seed + process, process % 2 === 0 ? NOBODY : 0);
  } finally {
    await ended(pester);
  }
  return result;

  async function one(own: number, uid: number): Promise<void> {
    const argv = [lab.program('fuzz'), String(own), String(OPERATIONS)];
    const peers = [DENIED[4], DENIED[6], FRIENDS[4], FRIENDS[6]];
    const workload = await lab.serve([...as(uid), ...argv, ...peers, lab.den, lab.free], /PAUSE/);
    const says = listen(workload);
    try {
      for (let i = 0; i < 6 && performance.now() < end; i++) {
        const epoch = result.epochs++;
        const isDenied = epoch % 2 === 0;
        // words of a denied epoch are said under its policy only
        if (isDenied) {
          lab.enforce();
          for (let pass = 0; pass < 2; pass++) inNetns(lab.home.path, () => revoke(lab.kernel));
        }
        pester.stdin!.write(`${epoch}\n`);
        await until('the peer knows', () => hears.text.includes(`${epoch}\n`));
        hears.text = '';
        if (!isDenied) lab.policy({ 0: 'allow' });
        await lab.watch(async () => {}); // what the epoch before has sent has arrived
        says.text = '';
        const frames = await lab.watch(async () => {
          workload.stdin!.write(`${epoch}\n`);
          await until('the workload pauses', () => /PAUSE/.test(says.text) || workload.exitCode !== null, 60_000);
        });
        if (workload.exitCode !== null || workload.signalCode !== null)
          throw new Error(`fuzz ended (${workload.exitCode}, ${workload.signalCode}): ${says.text}`);
        result.operations += OPERATIONS;
        judge(frames, says.text, epoch, `seed ${own}, uid ${uid}`);
        if (result.violations.length > 0) return;
      }
    } finally {
      await ended(workload);
    }
  }

  /** Frames of an epoch came under its policy; words say under which they were spoken. */
  function judge(frames: readonly Frame[], said: string, epoch: number, where: string): void {
    const isDenied = epoch % 2 === 0;
    for (const { destination, protocol, tag } of frames) {
      if (!/^(SYN|TAG-\d)/.test(tag)) continue; // the kernel's own: RST, ICMP errors with what they are about
      if (destination !== DENIED[4] && destination !== DENIED[6]) result.toFriend++;
      else if (isDenied)
        result.violations.push(`${where}, epoch ${epoch}: protocol ${protocol} to ${destination}: ${tag}`);
      else {
        before.add(tag);
        result.toAllowed++;
      }
    }
    for (const [line, of] of said.matchAll(/^HEARD TAG-D([NY]).*/gm))
      if (isDenied && of === 'N') result.violations.push(`${where}, epoch ${epoch}: ${line}`);
      else if (!isDenied) result.heard++;
  }
}

function as(uid: number): string[] {
  return uid === 0 ? [] : ['setpriv', `--reuid=${uid}`, '--clear-groups', '--'];
}

function listen(child: ChildProcess): { text: string } {
  const said = { text: '' };
  child.stdout!.setEncoding('utf8').on('data', (chunk) => {
    said.text += chunk;
  });
  return said;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}
