/** Four workloads that serve and ask in one network namespace, a workload with addresses and unknown addresses in another. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { countOwn, ownAddresses } from './ask.ts';
import { APPS, PORTS } from './atomic-policy.ts';
import { type Instance, startInstance } from './instance.ts';
import { createNetns, joinNetns, type Netns } from './netns.ts';
import { type RunOptions, serve, start } from './run-in.ts';

export const HOME = { 4: '192.0.2.1', 6: '2001:db8:7::1' } as const;
/** FAR is the workload with addresses; NEAR are addresses that only prefixes name. */
export const FAR = { 4: '192.0.2.2', 6: '2001:db8:7::2' } as const;
export const NEAR = { 4: '192.0.2.3', 6: '2001:db8:7::3' } as const;
/** What CIDR rules may name. */
export const PREFIXES = [
  ...['192.0.2.3/32', '192.0.2.0/24', '192.0.0.0/16'],
  ...['2001:db8:7::3/128', '2001:db8:7::/64', '2001:db8::/32'],
];

export interface AtomicLab {
  readonly postern: Instance;
  /** Where a workload of this host runs, by its app. */
  home(app: string): RunOptions;
  readonly outside: RunOptions;
  /** Starts the client, see atomic-client.c. */
  client(words: readonly (string | number)[], where: RunOptions): ChildProcess;
  /** Connections of one process, and how many of them are open. */
  hold(count: number, address: string, port: number, where: RunOptions, from?: string): Promise<() => Promise<number>>;
  destroy(): Promise<void>;
}

export async function openAtomicLab(): Promise<AtomicLab> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'));
  const children: ChildProcess[] = [];
  const spaces: Netns[] = [];
  const postern = await startInstance();
  const destroy = async (): Promise<void> => {
    for (const child of children) child.kill('SIGKILL');
    await postern.destroy();
    for (const space of spaces) space.delete();
    rmSync(folder, { recursive: true, force: true });
  };
  const open = (name: string): Netns => {
    const space = createNetns(`pt-${postern.name}-${name}`);
    spaces.push(space);
    return space;
  };
  const keep = (child: ChildProcess): ChildProcess => {
    children.push(child);
    return child;
  };
  try {
    build(folder, 'client', 'atomic-client.c');
    build(folder, 'hold', '../kernel/attacks/hold.c');
    const inside = open('in');
    const beyond = open('out');
    const addresses = [FAR, NEAR].flatMap((ends) => [`${ends[4]}/24`, `${ends[6]}/64`]);
    joinNetns(inside, [`${HOME[4]}/24`, `${HOME[6]}/64`], beyond, addresses);
    const home = (app: string) => ({ netns: inside.path, cgroup: postern.makeCgroup(`${app}.service`) });
    const outside = { netns: beyond.path };
    for (const app of APPS) {
      const labels = { app, tier: 'ab'.includes(app) ? 'client' : 'server' };
      await postern.workload(`shop/${app}`, { labels, match: { systemdUnit: `${app}.service` } });
    }
    await postern.workload('shop/far', { labels: { app: 'far' }, addresses: [FAR[4], FAR[6]] });
    const before = await countOwn(postern);
    const echo = async (list: readonly string[], ports: readonly number[], where: RunOptions) => {
      const words = list.flatMap((address) => ports.map((port) => `${address},${port}`));
      keep(await serve([join(folder, 'client'), 'serve', ...words], /ready/, where));
    };
    await echo(['::'], [PORTS[0]], home('s'));
    await echo(['127.0.0.1', '::1', HOME[4], HOME[6]], [PORTS[1]], home('t'));
    await echo([FAR[4], FAR[6], NEAR[4], NEAR[6]], PORTS, outside);
    await ownAddresses(postern, before + 2);
    return {
      ...{ postern, home, outside, destroy },
      client: (words, where) => keep(start([join(folder, 'client'), ...words.map(String)], where)),
      hold: async (count, address, port, where, from = '-') => {
        const words = [join(folder, 'hold'), String(count), address, String(port), from, ''];
        const child = keep(await serve(words, /READY/, where));
        const lines = createInterface({ input: child.stdout! });
        return async () => {
          const answer = once(lines, 'line');
          child.stdin!.write('?\n');
          return Number(/ALIVE (\d+)/.exec((await answer)[0])![1]);
        };
      },
    };
  } catch (error) {
    await destroy();
    throw error;
  }
}

function build(folder: string, name: string, file: string): void {
  const words = ['-O1', '-Wall', '-Werror', '-D_GNU_SOURCE', '-o', join(folder, name), join(import.meta.dirname, file)];
  execFileSync('cc', words);
}
