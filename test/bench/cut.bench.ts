/**
 * A policy takes a right away: from before the flip until every connection that lost it is destroyed, 10 000 of them, beside
 * 2000 that keep theirs. Through the datapath, as the agent does it in each namespace.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { inNetns } from 'libbpf-ts';
import { readCounters } from '../../src/datapath/counters.ts';
import { revoke } from '../../src/datapath/revoke.ts';
import { serve } from '../e2e/run-in.ts';
import { DENIED, FRIENDS, openLab } from '../kernel/lab.ts';
import { report } from './row.ts';

const LOST = 10_000;
const KEPT = 2_000;
const ROUNDS = 5;

/** Accepts and never reads: an end that is told costs nobody anything. */
const ACCEPT = `
use IO::Socket::INET; $| = 1;
my $l = IO::Socket::INET->new(LocalPort => 7100, Listen => 4096, ReuseAddr => 1) or die $!;
print "ready\\n";
push @held, $_ while $_ = $l->accept;
`;

const lab = await openLab();
let server: ChildProcess | undefined;
try {
  const hold = (count: number, address: string) =>
    lab.serve([lab.program('hold'), String(count), address, '7100', '-', ''], /READY/);
  const times: { all: number; revoke: number; again: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    lab.policy(undefined);
    server = await serve(['bash', '-c', `ulimit -n 20000; exec perl -e '${ACCEPT}'`], /ready/, {
      netns: lab.peer.path,
    });
    const kept = await hold(KEPT, FRIENDS[4]);
    const held = await hold(LOST, DENIED[4]);
    const before = readCounters(lab.kernel.maps);
    const start = performance.now();
    lab.enforce();
    const flipped = performance.now();
    inNetns(lab.home.path, () => revoke(lab.kernel));
    const end = performance.now();
    inNetns(lab.home.path, () => revoke(lab.kernel));
    times.push({ all: end - start, revoke: end - flipped, again: performance.now() - end });
    const after = readCounters(lab.kernel.maps);
    if (after.revoked - before.revoked !== LOST) throw new Error(`${after.revoked - before.revoked} of ${LOST} ended`);
    for (const child of [held, kept, server]) {
      const over = once(child, 'close');
      child.kill('SIGKILL');
      await over;
    }
  }
  const best = times.toSorted((a, b) => a.all - b.all)[0]!;
  report({
    what: 'a right is taken away: 10000 connections cut',
    measured: `${best.all.toFixed(0)} ms (flip ${(best.all - best.revoke).toFixed(1)} ms, rounds ${times.map(({ all }) => all.toFixed(0)).join(', ')} ms)`,
    target: '< 150 ms',
    met: best.all < 150,
  });
  report({ what: 'a look at 2000 connections that keep their right', measured: `${best.again.toFixed(1)} ms` });
} finally {
  server?.kill('SIGKILL');
  await lab.destroy();
}
