// A real server on an embedded database, in folders of its own.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningServer, startServer } from '../../src/server/server.ts';

export interface TestServer {
  readonly server: RunningServer;
  readonly env: { readonly POSTERN_RUN_DIR: string };
  close(): Promise<void>;
}

export async function startTestServer(): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-cli-'));
  // PostgreSQL runs as another user and has to pass.
  chmodSync(folder, 0o711);
  const runDir = join(folder, 'run');
  const server = await startServer({
    listen: '127.0.0.1:0',
    stateDir: join(folder, 'state'),
    runDir,
    log: () => undefined,
  });
  return {
    server,
    env: { POSTERN_RUN_DIR: runDir },
    async close() {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A call of the agent's part of the API. */
export async function callAgentApi(
  server: RunningServer,
  method: string,
  path: string,
  type: string,
  body: string,
): Promise<void> {
  const answer = await fetch(`${server.url}${path}`, { method, headers: { 'content-type': type }, body });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
}

export const REPORT = {
  state: 'ready',
  appliedRevision: 1_000_000,
  degraded: [] as string[],
  agentVersion: '0.1.0',
  kernel: '6.1.0',
  features: { ringbuf: true },
  addresses: ['10.0.0.7'],
  maps: [{ name: 'policy', type: 'hash', entries: 4, maxEntries: 100 }],
  counters: {},
  endpoints: [
    {
      id: 'web-1/812-44120',
      workload: 'shop/backend',
      host: 'web-1',
      identity: 65792,
      labels: ['user:app=backend'],
      why: { clause: 0, origin: 'exec', grade: 'firstPacket' },
      state: 'ok',
      processes: [{ pid: 812, exe: '/usr/bin/redis-server', user: 'redis' }],
      cgroup: 'system.slice/redis.service',
      listening: [{ port: 6379, protocol: 'TCP', address: '0.0.0.0' }],
      policy: { ingress: 'enforced', egress: 'none', revision: 3 },
    },
  ],
  discover: [
    {
      host: 'web-1',
      process: { pid: 900, exe: '/usr/sbin/nginx', user: 'root' },
      unit: 'nginx.service',
      listening: [{ port: 80, protocol: 'TCP', address: '::' }],
      suggested: {
        namespace: 'default',
        name: 'nginx',
        labels: { app: 'nginx' },
        match: [{ systemdUnit: 'nginx.service' }],
      },
      confidence: 1,
      curl: 'curl -X PUT …',
    },
  ],
};

/** A denial and the close of an allowed connection, as an agent sends them, with 3 events lost before. */
export function flowBatch(nowMs: number): string {
  const time = (agoMs: number) => new Date(nowMs - agoMs).toISOString();
  const destination = {
    workload: 'shop/backend',
    identity: 65792,
    labels: ['user:app=backend'],
    ip: '10.0.0.7',
    port: 6379,
  };
  const shared = { protocol: 'TCP', direction: 'INGRESS', host: 'web-1', destination };
  const lines = [
    { host: 'web-1', lost: 3 },
    {
      ...shared,
      time: time(2000),
      event: 'deny',
      verdict: 'DROPPED',
      dropReason: 'POLICY_DENIED',
      rule: 'default deny of cnp/shop/backend',
      source: {
        workload: 'shop/stranger',
        identity: 65800,
        ip: '10.0.0.5',
        port: 41234,
        process: { pid: 900, exe: '/usr/bin/curl' },
      },
    },
    {
      ...shared,
      time: time(1000),
      event: 'close',
      verdict: 'FORWARDED',
      rule: 'cnp/shop/backend ingress[0]',
      source: { workload: 'shop/frontend', identity: 65793, ip: '10.0.0.5', port: 41235 },
      bytes: { sent: 10, received: 20 },
      durationMs: 7,
    },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}
