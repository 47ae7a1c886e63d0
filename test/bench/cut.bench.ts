/**
 * A policy takes a right away: from before the flip until every connection that lost it is destroyed, 10 000 of them, beside
 * 2000 that keep theirs. Through the datapath, as the agent does it in each namespace; its events are read, as the agent
 * does it, for a ring that nobody reads is soon full, and then a cut writes none. What counts is the first.
 */
import { once } from 'node:events';
import { inNetns } from 'libbpf-ts';
import { readCounters } from '../../src/datapath/counters.ts';
import { readEvents } from '../../src/datapath/events.ts';
import { revoke } from '../../src/datapath/revoke.ts';
import { until } from '../e2e/wait.ts';
import { DENIED, FRIENDS, openLab } from '../kernel/lab.ts';
import { ACCEPT_PORT, type Acceptor, startAcceptor } from './accept.ts';
import { report } from './row.ts';

const LOST = 10_000;
const KEPT = 2_000;
const ROUNDS = 5;

const none = (): void => {};
const lab = await openLab();
const ring = readEvents(lab.kernel, {
  ...{ flow: none, exec: none, exit: none, cgroup: none, listen: none, unknown: none, error: console.error },
});
let server: Acceptor | undefined;
try {
  const hold = (count: number, address: string) =>
    lab.serve([lab.program('hold'), String(count), address, String(ACCEPT_PORT), '-', ''], /READY/);
  const times: { all: number; flip: number; again: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    lab.policy(undefined);
    server = await startAcceptor({ netns: lab.peer.path });
    const kept = await hold(KEPT, FRIENDS[4]);
    const held = await hold(LOST, DENIED[4]);
    await server.accepted(KEPT + LOST);
    await until('every event so far is read', () => ring.lag === 0);
    const before = readCounters(lab.kernel.maps);
    const start = performance.now();
    lab.enforce();
    const flipped = performance.now();
    inNetns(lab.home.path, () => revoke(lab.kernel));
    const end = performance.now();
    inNetns(lab.home.path, () => revoke(lab.kernel));
    times.push({ all: end - start, flip: flipped - start, again: performance.now() - end });
    const after = readCounters(lab.kernel.maps);
    if (after.revoked - before.revoked !== LOST) throw new Error(`${after.revoked - before.revoked} of ${LOST} ended`);
    // a denial and a close of each
    if (after.eventLost > 0 || after.event - before.event < 2 * LOST)
      throw new Error(`${after.event - before.event} events of ${LOST} connections, ${after.eventLost} lost`);
    for (const child of [held, kept, server.child]) {
      const over = once(child, 'close');
      child.kill('SIGKILL');
      await over;
    }
  }
  const first = times[0]!;
  const later = times.slice(1).map(({ all }) => all.toFixed(0));
  report({
    what: 'a right is taken away: 10000 connections cut',
    measured: `the first time ${first.all.toFixed(0)} ms (flip ${first.flip.toFixed(1)} ms), then ${later.join(', ')} ms`,
    target: '< 150 ms',
    met: first.all < 150,
  });
  const again = Math.min(...times.map((time) => time.again));
  report({ what: 'a look at 2000 connections that keep their right', measured: `${again.toFixed(1)} ms` });
} finally {
  server?.child.kill('SIGKILL');
  ring.close();
  await lab.destroy();
}
