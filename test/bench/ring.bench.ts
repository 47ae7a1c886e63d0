/**
 * Events that the ring loses under a flood of refused datagrams, each one event: read and decoded by one reader as the
 * agent does it; the flood is as many processes as there are CPUs, nothing pinned.
 */
import { availableParallelism } from 'node:os';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { readCounters } from '../../src/datapath/counters.ts';
import { readEvents } from '../../src/datapath/events.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { until } from '../e2e/wait.ts';
import { openKernel } from '../kernel/own-kernel.ts';
import { labelCgroup } from './label-cgroup.ts';
import { buildLoad } from './load.ts';
import { report } from './row.ts';
import { CLIENT, makeTrafficWorld } from './traffic-world.ts';

const SECONDS = 3;
const load = buildLoad();
const own = openKernel();
const { kernel } = own;
try {
  const world = makeTrafficWorld([]);
  new PolicyApplier(kernel.maps, new RuleTable()).apply({ changed: new PolicyCompiler().update(world), addresses: [] });
  kernel.attachSockets();
  let read = 0;
  const none = (): void => {};
  const ring = readEvents(kernel, {
    ...{ exec: none, exit: none, cgroup: none, listen: none, unknown: none, error: console.error },
    flow: ({ verdict }) => {
      if (verdict === 2) read++;
    },
  });
  const cgroup = labelCgroup(own, 'client', CLIENT);
  const start = performance.now();
  const calls = await Promise.all(
    Array.from({ length: availableParallelism() }, () =>
      load.measure(['flood', -1, '127.0.0.1', 9, SECONDS], { cgroup }),
    ),
  );
  const rate = calls.reduce((sum, n) => sum + n, 0) / ((performance.now() - start) / 1000);
  const { event, eventLost } = readCounters(kernel.maps);
  await until('the ring is empty', () => read >= event);
  ring.close();
  report({
    what: 'events lost by the ring',
    measured: `${eventLost} of ${event + eventLost}, at ${Math.round(rate / 1000)}k/s; ${read} read`,
    target: '0 at 100k/s',
    met: eventLost === 0 && rate >= 100_000,
  });
} finally {
  await own.destroy();
  load.delete();
}
