/** Who did what on a booted machine, as the flows and the endpoints of its Postern tell it. */
import { spawnSync } from 'node:child_process';
import type { Instance } from '../e2e/instance.ts';
import { until } from '../e2e/wait.ts';
import type { Machine } from './machine.ts';

export interface Seen {
  /** Who connected to port 7000 of this address first, or first as `also` wants. */
  connected(ip: string, also?: (source: any) => boolean): Promise<any>;
  /** Who listens there, by a connection to it. */
  listener(port: number): Promise<string | undefined>;
  endpointOf(workload: string): Promise<any>;
  /** Of a user of the machine. */
  uidOf(user: string): Promise<string>;
  /** What the agent calls a user of the machine: by its host's /etc/passwd, where that uid may be another one. */
  nameHere(user: string): Promise<string>;
}

export function seen(postern: Instance, machine: Machine): Seen {
  const uidOf = async (user: string): Promise<string> => (await machine.must(`id -u ${user}`)).trim();
  return {
    uidOf,
    nameHere: async (user) => {
      const uid = await uidOf(user);
      return spawnSync('getent', ['passwd', uid], { encoding: 'utf8' }).stdout.split(':')[0] || uid;
    },
    connected: async (ip, also = () => true) => {
      const wanted = (one: any) => one.destination.ip === ip && also(one.source);
      return (await postern.flow('event=connect&port=7000', wanted)).source;
    },
    listener: async (port) => {
      await until(`${port} answers`, async () => (await machine.sh(`exec 3<>/dev/tcp/127.0.0.1/${port}`)).code === 0);
      return (await postern.flow(`event=connect&port=${port}`, () => true)).destination.workload;
    },
    endpointOf: async (workload) => {
      let found: any;
      await until(`${workload} is an endpoint`, async () => {
        const { items } = (await postern.agent('/v1/endpoints?limit=500')).body;
        found = items.find((one: any) => one.workload === workload);
        return found !== undefined;
      });
      return found;
    },
  };
}

export const usersOf = ({ processes }: any): string[] =>
  [...new Set<string>(processes.map((one: any) => one.user))].sort();
