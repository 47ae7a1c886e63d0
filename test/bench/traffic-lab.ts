/** What the benchmarks of traffic share: namespaces, cgroups, a world of policies in a kernel of their own, slices. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { PolicyCompiler } from '../../src/core/compile.ts';
import { readEvents } from '../../src/datapath/events.ts';
import { PolicyApplier } from '../../src/datapath/policy-applier.ts';
import { RuleTable } from '../../src/datapath/rule-table.ts';
import { createNetns, joinNetns, type Netns } from '../e2e/netns.ts';
import { until } from '../e2e/wait.ts';
import type { OwnKernel } from '../kernel/own-kernel.ts';
import { OTHER_CPU } from './load.ts';
import { makeTrafficWorld } from './traffic-world.ts';

export const CLIENT_IP = '192.0.2.1';
export const SERVER_IP = '192.0.2.2';
/** Seconds. */
export const SLICE = 0.2;
export const PORT = 7000;

/** What takes it away again, last first. */
export type Undo = (() => unknown)[];

export interface Ends<T> {
  readonly client: T;
  readonly server: T;
}

/** The measured CPU is not for draining events. */
export function leaveMeasuredCpu(): void {
  execFileSync('taskset', ['-apc', String(OTHER_CPU), String(process.pid)], { stdio: 'ignore' });
}

/** Two namespaces joined by a veth pair. */
export function makePair(undo: Undo, letter: string): Ends<Netns> {
  const make = (side: string): Netns => {
    const netns = createNetns(`pt-${process.pid}-${letter}${side}`);
    undo.push(() => netns.delete());
    return netns;
  };
  const pair = { client: make('c'), server: make('s') };
  joinNetns(pair.client, [`${CLIENT_IP}/24`], pair.server, [`${SERVER_IP}/24`]);
  return pair;
}

/** Two cgroups that no program is attached to, `depth` levels below the root. */
export function makeBareCgroups(undo: Undo, mount: string, depth = 2): Ends<string> {
  const top = join(mount, `postern-test-${process.pid}-bare`);
  const parents = Array.from({ length: depth - 2 }, (_, i) => join(top, ...new Array(i + 1).fill('x')));
  const parent = parents.at(-1) ?? top;
  const folders = { client: join(parent, 'client'), server: join(parent, 'server') };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  undo.push(async () => {
    for (const folder of [...Object.values(folders), ...parents.reverse(), top])
      await until(`${folder} is empty`, () => {
        try {
          rmdirSync(folder);
          return true;
        } catch {
          return false;
        }
      });
  });
  return folders;
}

/** 1000 policies and 10 000 prefixes in the kernel; every event is read and decoded by this process. */
export function loadWorld(undo: Undo, { kernel }: OwnKernel): { decoded(): number; denied(): number } {
  const world = makeTrafficWorld([CLIENT_IP, SERVER_IP]);
  const applier = new PolicyApplier(kernel.maps, new RuleTable());
  const addresses = world.cidrs.map(({ prefix, id }) => ({ prefix, identity: id }));
  applier.apply({ changed: new PolicyCompiler().update(world), addresses });
  console.log(
    `postern: ${world.policies.length} policies, ${world.identities.length} identities, ${addresses.length} prefixes, ${[...kernel.maps.policy_l3.keys()].length} peers`,
  );
  let decoded = 0;
  let denied = 0;
  const none = (): void => {};
  const ring = readEvents(kernel, {
    ...{ exec: none, exit: none, cgroup: none, listen: none, unknown: none, error: console.error },
    flow: ({ verdict }) => {
      decoded++;
      if (verdict === 2) denied++;
    },
  });
  undo.push(() => ring.close());
  return { decoded: () => decoded, denied: () => denied };
}

/** Best value of each figure and configuration. */
export class Best {
  readonly #values = new Map<string, number>();

  take(figure: { readonly name: string; readonly higher: boolean }, config: string, value: number): void {
    const key = `${figure.name} ${config}`;
    const before = this.#values.get(key);
    if (before === undefined || (figure.higher ? value > before : value < before)) this.#values.set(key, value);
  }

  of(figure: { readonly name: string }, config: string): number {
    return this.#values.get(`${figure.name} ${config}`)!;
  }
}
