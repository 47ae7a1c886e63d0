/**
 * The postern command, wired: the only place that knows the server, the agent and the command line.
 *
 *   command line ──REST──► server ──watch stream──► agent ──► kernel
 *                             ▲────────flows───────── agent ◄── kernel
 */
import { flushCompileCache } from 'node:module';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { CallerLabels } from './agent/caller-label.ts';
import type { Local, Settings } from './cli/local.ts';
import { runCli } from './cli/run.ts';
import { VERSION } from './cli/version.ts';
import type { LabelOf } from './server/access.ts';

const ROOT = join(import.meta.dirname, '..');
const OBJECT = process.env.POSTERN_BPF_OBJECT ?? join(ROOT, 'build/postern.bpf.o');

const local: Local = {
  server: async (settings) => {
    const running = await startControlPlane(settings);
    log('info', `control plane: ${running.url} and ${running.socketPath}`);
    await untilStopped();
    await running.close();
    return 0;
  },
  agent: async (settings) => {
    const agent = await startHostAgent(settings, settings.server ?? `unix:${join(settings.runDir, 'server.sock')}`, '');
    if (agent === undefined) return 1;
    flushCompileCache();
    await untilStopped();
    await agent.close();
    return 0;
  },
  standalone: async (settings) => {
    let callers: CallerLabels | undefined;
    const server = await startControlPlane(settings, (peer, accepted) =>
      callers?.(peer.kind === 'unix' ? { pid: peer.pid } : { cookie: peer.cookie, accepted }),
    );
    log('info', `control plane: ${server.url} and ${server.socketPath}`);
    const agent = await startHostAgent(settings, `unix:${server.socketPath}`, server.url);
    callers = agent?.callers;
    const { nextSteps } = await import('./next-steps.ts');
    process.stdout.write(nextSteps(server.url, agent !== undefined));
    flushCompileCache(); // a start after a kill -9 finds it too, and is 30 MB smaller
    await untilStopped();
    log('info', 'stopping; what is enforced stays enforced (postern agent detach --yes opens everything)');
    await agent?.close();
    await server.close();
    return 0;
  },
  policyEngine: async () => (await import('./datapath/policy-engine.ts')).openPolicyEngine(OBJECT),
  'agent detach': async ({ pinDir, stateDir }) => {
    const [{ detachKernel }, { releaseReservedPorts }, { releasePacketGuards }] = await Promise.all([
      import('./datapath/kernel.ts'),
      import('./agent/reserved-ports.ts'),
      import('./agent/packet-guard.ts'),
    ]);
    const unguarded = releasePacketGuards(pinDir);
    const removed = detachKernel(pinDir);
    process.stdout.write(
      removed.length === 0
        ? `Nothing is pinned in ${pinDir}: nothing was enforced from there.\n`
        : `Removed ${removed.length} pins from ${pinDir}: nothing is enforced and nothing is observed any more.\n`,
    );
    if (unguarded > 0)
      process.stdout.write(
        `Removed the guard of packet sockets from ${unguarded} interface${unguarded === 1 ? '' : 's'}.\n`,
      );
    const released = releaseReservedPorts(stateDir);
    if (released > 0)
      process.stdout.write(`net.ipv4.ip_local_reserved_ports is as it was, in ${released} network namespaces.\n`);
    return 0;
  },
};

try {
  const io = { stdout: process.stdout, stderr: process.stderr, stdin: process.stdin, env: process.env };
  process.exitCode = await runCli(process.argv.slice(2), io, local);
} catch (error) {
  // what the world refused (a port in use, a database that is away) in words; our own bugs with their place
  const text = error instanceof TypeError || error instanceof RangeError ? error.stack : (error as Error).message;
  process.stderr.write(`postern: ${text}\n`);
  process.exit(1);
}

async function startControlPlane(
  { listen, stateDir, runDir, databaseUrl, flowRetention, requireIfMatch }: Settings,
  labelOf?: LabelOf,
) {
  const { startServer } = await import('./server/server.ts');
  return startServer({
    listen,
    stateDir,
    runDir,
    log,
    version: VERSION,
    flowRetention,
    requireIfMatch,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(labelOf === undefined ? {} : { labelOf }),
  });
}

/** Undefined when this host cannot enforce: said, with what is missing, and the control plane goes on without. */
async function startHostAgent(settings: Settings, server: string, baseUrl: string) {
  const [{ preflight }, { startAgent }] = await Promise.all([
    import('./agent/preflight.ts'),
    import('./agent/agent.ts'),
  ]);
  const { missing, cgroupMount } = preflight(OBJECT);
  if (missing.length > 0 || cgroupMount === undefined) {
    for (const line of missing) log('error', `agent: cannot enforce on this host: ${line}`);
    return undefined;
  }
  try {
    return await startAgent({
      server,
      stateDir: settings.stateDir,
      runDir: settings.runDir,
      pinDir: settings.pinDir,
      cgroupRoot: settings.cgroupRoot ?? cgroupMount,
      cgroupMount,
      hostName: settings.hostName ?? hostname(),
      hostLabels: settings.hostLabels,
      workloadsDir: settings.workloadsDir,
      gateways: settings.gateways,
      containerSockets: settings.containerSockets,
      cloudTags: settings.cloudTags,
      enablePolicy: settings.enablePolicy,
      pending: settings.pending,
      mode: settings.mode,
      deny: settings.deny,
      reservePorts: settings.reservePorts,
      object: OBJECT,
      version: VERSION,
      baseUrl: baseUrl === '' ? 'http://127.0.0.1:7460' : baseUrl,
      log: (message) => log('info', `agent: ${message}`),
    });
  } catch (error) {
    log('error', `agent: cannot enforce on this host: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

function log(level: 'info' | 'warn' | 'error', message: string): void {
  process.stderr.write(`${new Date().toISOString()} ${level.padEnd(5)} ${message}\n`);
}

/** Until SIGINT or SIGTERM. One that comes again (npm hands on what the whole group gets) must not end what is stopping. */
function untilStopped(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const alive = setInterval(() => {}, 1 << 30);
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      clearInterval(alive);
      resolve();
    });
  return promise;
}
