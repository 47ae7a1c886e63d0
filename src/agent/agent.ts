import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Snapshot, WireWorkload } from '../api/agent-stream.ts';
import type { Flow } from '../api/flow.ts';
import type { AgentAnswer } from '../api/preview.ts';
import { readCounters } from '../datapath/counters.ts';
import { readEvents } from '../datapath/events.ts';
import { Kernel } from '../datapath/kernel.ts';
import { type CallerLabels, callerLabels } from './caller-label.ts';
import { CgroupTree } from './cgroup-tree.ts';
import { connectionLog } from './connection-log.ts';
import { Containers } from './containers.ts';
import { startDerived } from './derived.ts';
import { type DesiredState, EMPTY_STATE, fromSnapshot, toSnapshot } from './desired-state.ts';
import { DriftWatch } from './drift-watch.ts';
import { Enforcement } from './enforcement.ts';
import { Findings } from './findings.ts';
import { toFlow } from './flow.ts';
import { FlowLog } from './flow-log.ts';
import type { FlowNames } from './flow-names.ts';
import { FlowQueue } from './flow-queue.ts';
import { HostReports } from './host-report.ts';
import { reservedOrWire } from './identity-labels.ts';
import { createKernelClock } from './kernel-clock.ts';
import { isBehind, readKernelNote, writeKernelNote } from './kernel-note.ts';
import { Labels, scopeOf } from './labels.ts';
import { LateClauses } from './late-clauses.ts';
import { LateRevoke } from './late-revoke.ts';
import { startLocalApi } from './local-api.ts';
import { NetworkNamespaces } from './network-namespaces.ts';
import type { AgentOptions } from './options.ts';
import { Packages } from './packages.ts';
import { PacketGuard } from './packet-guard.ts';
import { PageRelease } from './page-release.ts';
import { preview } from './preview.ts';
import { ProcessTable } from './process-table.ts';
import { RecentCounts } from './recent-counts.ts';
import { Reporter } from './reporter.ts';
import { ReservedPorts } from './reserved-ports.ts';
import { deciders } from './revision-log.ts';
import { runCgroups } from './run-cgroup.ts';
import { ServerClient } from './server-client.ts';
import { watchServer } from './server-watch.ts';
import { readJson } from './state-file.ts';
import { StateSaver } from './state-saver.ts';
import { Surroundings } from './surroundings.ts';
import { Talkers } from './talkers.ts';
import { createUserNames } from './user-names.ts';
import { WorkloadFiles } from './workload-files.ts';
import { workloadsByIdentity } from './workload-names.ts';

const STATE_FILE = 'agent-state.json';
const LOOK_MS = 2_000;
/** Every so many looks, users and files behind the match clauses are read again: with many clauses that takes time. */
const MATCH_LOOKS = 5;

export interface RunningAgent {
  readonly enforcement: Enforcement;
  readonly callers: CallerLabels;
  close(): Promise<void>;
}

/**
 * The agent, wired in the order of the pipeline:
 *
 *   state on disk → kernel (policy, match tables) → tracing hooks → labels of what runs → socket hooks → older sockets
 *   control plane → desired state → Enforcement → kernel             (down)
 *   kernel → events → flows → log, queue → control plane             (up)
 */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { log } = options;
  const users = createUserNames();
  const kernel = new Kernel({ object: options.object, pinDir: options.pinDir, cgroupRoot: options.cgroupRoot });
  const tree = new CgroupTree(options.cgroupMount);
  const scope = scopeOf(options.cgroupMount, options.cgroupRoot);
  const labels = new Labels(kernel, tree, users, scope, options.gateways);
  const netns = new NetworkNamespaces(kernel);
  const enforcement = new Enforcement(kernel, labels, netns, users, options);
  const guard = new PacketGuard(kernel, netns, options.cgroupMount, (id) => enforcement.enforced(id).egress, log);
  const ports = new ReservedPorts(options, netns, kernel, () => enforcement.applied);
  const problems = new Map<string, string>();
  const client = new ServerClient(options.server);
  const hostPath = `/v1/agent/hosts/${encodeURIComponent(options.hostName)}`;
  const files = new WorkloadFiles({
    dir: options.workloadsDir,
    stateDir: options.stateDir,
    send: async (workloads) =>
      JSON.parse(await client.send('PUT', `${hostPath}/workloads`, 'application/json', JSON.stringify({ workloads }))),
    onChange: () => apply(wanted),
    log,
  });

  const derived = startDerived(options, {
    ...{ users, labels, later: () => ({ containers, packages, processes }) },
    onChange: () => apply(wanted),
    onRelabel: () => enforcement.revokeSoon(),
  });
  const forThisHost = (state: DesiredState): DesiredState => derived.into(files.mergedInto(state));

  // what was wanted last, before anything new is heard
  const held = loadState(options, log);
  netns.refresh();
  kernel.setScope(scope === '' ? undefined : { cgroup: tree.id(scope)!, level: scope.split('/').length });
  // What the kernel has stays until the control plane says what that is, where the disk does not know it.
  const note = kernel.resumed ? readKernelNote(options.runDir) : undefined;
  let isWaiting = isBehind(held, note);
  if (isWaiting) {
    const has = `the kernel has revision ${note!.revision}, the disk ${held.revision}`;
    problems.set('policy', `${has}: keeping the kernel's until the control plane answers`);
    log(problems.get('policy')!);
  }
  try {
    if (!isWaiting) enforcement.prepare(forThisHost(held));
  } catch (error) {
    isWaiting = kernel.resumed;
    problems.set('policy', `revision ${held.revision} on disk cannot be applied: ${(error as Error).message}`);
    log(`${problems.get('policy')}; keeping what the kernel has`);
  }
  labels.exemptSelf(process.pid);
  try {
    labels.pins.load(options.stateDir, (workload) => enforcement.applied.workloads.get(workload)?.identity);
  } catch (error) {
    log(`${(error as Error).message}: what postern run started is judged like any process`);
  }
  kernel.attachTracing();
  if (!isWaiting) labels.relabel();
  labels.exemptSelf(process.pid);
  kernel.attachSockets();
  if (!isWaiting) labels.labelSockets();
  if (!isWaiting) enforcement.revoke();
  log(
    `kernel: ${kernel.attached().length} hooks at ${options.cgroupRoot}, ${kernel.resumed ? 'taken over from an earlier run' : 'attached'}, revision ${held.revision}`,
  );

  const containers = new Containers(
    options.containerSockets,
    () => {
      try {
        enforcement.refreshContainers();
      } catch (error) {
        log(`containers: ${(error as Error).message}`);
      }
      reporter.soon();
    },
    log,
  );
  enforcement.containers = () => containers.list();
  const packages = new Packages(() => reporter.soon());
  const processes = new ProcessTable(users, (id) => tree.path(id));
  const flowLog = new FlowLog();
  const queue = new FlowQueue(client, options.hostName);
  const talkers = new Talkers();
  const recent = new RecentCounts();
  const surroundings = new Surroundings(users, (cgroup) => containers.of(cgroup), log);
  const tell = (flow: Flow): void => {
    flowLog.push(flow);
    queue.push(flow);
    if (talkers.push(flow)) reporter.soon();
    recent.push(flow);
  };
  const drift = new DriftWatch(options.stateDir, options.gateways, tell, log);
  const reports = new HostReports({
    options,
    kernel,
    labels,
    enforcement,
    netns,
    users,
    files: () => files.report(wanted),
    ...{ talkers, recent, surroundings },
    drift,
    ...{ derived: derived.labels, values: derived.values },
    containerOf: (cgroup) => containers.of(cgroup),
    degraded: () => [...problems.values()],
  });
  const { hostName: host, cgroupMount } = options;
  const rights = () => ({ host, cgroupMount, labelled: labels.labelled(), noGuard: guard.problem });
  const findings = new Findings({ input: rights, onChange: () => reporter.soon(), log });
  const reporter = new Reporter(client, options.hostName, reports, findings, log);
  const late = new LateClauses(labels, new LateRevoke(kernel, netns, log));

  let byIdentity = workloadsByIdentity(enforcement.applied);
  /** Of the control plane, without what files register. */
  let wanted = held;
  let applied = held;
  const names: FlowNames = {
    host: options.hostName,
    labels: (identity) => reservedOrWire(enforcement.applied, identity),
    workload: (identity, pid) => {
      const candidates = byIdentity.get(identity) ?? [];
      return candidates.length > 1 ? (labels.workloadOf(pid) ?? candidates[0]) : candidates[0];
    },
    process: (pid) => processes.get(pid),
    derived: (pid) => derived.labels.of({ ...processes.get(pid), cgroup: processes.cgroupOf(pid) }),
    rules: (rule) => enforcement.rules.names(rule),
    revision: (event, atUs) => enforcement.revisions.of(event.gen, deciders(event), atUs),
    wasPending: (pid, wallUs) => late.wasPending(pid, wallUs),
    wallUs: createKernelClock(),
  };
  let isSomeoneGone = true;
  const ring = readEvents(kernel, {
    flow: (event) => tell(toFlow(event, names)),
    exec: (event) => {
      processes.exec(event);
      guard.exec(event.tgid, event.identity);
      const { exe = '' } = processes.get(event.tgid)!;
      drift.exec(event, exe, processes.cgroupOf(event.tgid) ?? '', labels.workloadOfClause(event.clause));
      late.exec(event);
      if (event.identity !== 0) reporter.soon();
    },
    exit: () => {
      reporter.soon();
      isSomeoneGone = true;
    },
    cgroup: (event) => {
      tree.event(event);
      late.cgroup(event);
      if (event.identity !== 0) reporter.soon();
    },
    listen: (event) => {
      if (event.port === 0)
        labels.labelSockets(); // listen() without bind()
      else late.listen(event);
      enforcement.refreshListening();
      reporter.soon();
    },
    unknown: (type, length) => log(`event of unknown type ${type}, ${length} bytes: passed over`),
    error: (error) => log(`event: ${(error as Error).stack ?? error}`),
  });

  const saver = new StateSaver(
    join(options.stateDir, STATE_FILE),
    () => toSnapshot(applied),
    (problem) => {
      if (problem === undefined) problems.delete('state');
      else problems.set('state', `state on disk is old: ${problem}`);
      if (problem !== undefined) log(problems.get('state')!);
    },
  );
  const noteDown = (state: DesiredState): void => {
    try {
      writeKernelNote(options.runDir, state);
    } catch (error) {
      log(`which revision the kernel has is not noted: ${(error as Error).message}`);
    }
  };
  const release = new PageRelease();
  const apply = (state: DesiredState): void => {
    if (isWaiting && state === held) return;
    release.later();
    wanted = state;
    try {
      const merged = forThisHost(state);
      noteDown(state);
      enforcement.apply(merged);
      isWaiting = false;
      applied = state;
      problems.delete('policy');
      byIdentity = workloadsByIdentity(merged);
    } catch (error) {
      problems.set(
        'policy',
        `revision ${state.revision} not applied: ${(error as Error).message}, keeping revision ${enforcement.applied.revision}`,
      );
      log(problems.get('policy')!);
      if (!isWaiting) noteDown(applied);
    }
    saver.soon();
    reporter.soon();
  };
  const cgroups = runCgroups(options.cgroupMount, scope);
  const runs = {
    pins: labels.pins,
    ...{ cgroups, tree, enforcement, users, hostLabels: options.hostLabels },
    workloadOf: (pid: number) => labels.workloadOf(pid),
    onRelabel: () => {
      labels.labelSockets();
      enforcement.revoke();
      reporter.soon();
    },
  };
  const callers = callerLabels(kernel.maps, tree, names);
  const api = await startLocalApi(join(options.runDir, 'agent.sock'), {
    reports,
    callers,
    enforcement,
    findings,
    flows: flowLog,
    runs,
    gateways: options.gateways,
  });
  const answerPreview = async (workload: WireWorkload): Promise<AgentAnswer> => {
    const foresee = labels.foresee.bind(labels);
    const sources = { users, foresee, programWith: enforcement.programWith.bind(enforcement) };
    const workloadOf = (pid: number) => labels.workloadOf(pid);
    try {
      return { host: options.hostName, preview: await preview(workload, { ...sources, workloadOf }) };
    } catch (error) {
      return { host: options.hostName, problem: (error as Error).message };
    }
  };
  const stopWatch = watchServer(client, options.hostName, {
    state: () => wanted,
    onState: (state) => {
      if (wanted.uid !== '' && state.uid !== wanted.uid)
        log(`another control plane (${state.uid}): its revision ${state.revision} replaces ${wanted.revision}`);
      apply(state);
    },
    onAsk: ({ id, preview: workload }) => {
      void answerPreview(workload).then((answer) =>
        client
          .send('POST', `/v1/agent/answers/${id}`, 'application/json', JSON.stringify(answer))
          .catch((error: Error) => log(`answer: ${error.message}`)),
      );
    },
    onConnection: connectionLog(log, options.server, (connected) => {
      reporter.soon();
      if (connected) files.sendAgain();
      if (connected) findings.tellAgain();
    }),
  });

  const forgetRuns = (): void => {
    labels.pins.prune().then(
      (over) => {
        for (const { kind, cgroup } of over) if (kind === 'run') cgroups.remove(cgroup);
      },
      (error: Error) => log(`runs on disk are old: ${error.message}`),
    );
  };
  let lostBefore = readCounters(kernel.maps).eventLost;
  let looks = 0;
  enforcement.watchUnits((error) => log(`match clauses: ${error.message}`));
  const look = setInterval(() => {
    try {
      late.look();
      netns.refresh();
      guard.look();
      ports.look();
      enforcement.refreshListening();
      files.look();
      if (++looks % MATCH_LOOKS === 0)
        enforcement.refreshMatches().catch((error: Error) => log(`match clauses: ${error.message}`));
      const { eventLost } = readCounters(kernel.maps);
      queue.lost(eventLost - lostBefore);
      if (isSomeoneGone) forgetRuns();
      isSomeoneGone = false;
      lostBefore = eventLost;
    } catch (error) {
      log(`look around: ${(error as Error).message}`);
    }
  }, LOOK_MS);
  reporter.soon();

  return {
    enforcement,
    callers,
    close: async () => {
      clearInterval(look);
      release.stop();
      surroundings.stop();
      findings.stop();
      stopWatch();
      containers.stop();
      packages.stop();
      await drift.stop();
      reporter.stop();
      queue.stop();
      late.stop();
      enforcement.stop();
      await saver.flush();
      await files.flush();
      await derived.stop();
      ring.close();
      await api.close();
      kernel.close();
    },
  };
}

function loadState(options: AgentOptions, log: (message: string) => void): DesiredState {
  if (!existsSync(join(options.stateDir, STATE_FILE))) return EMPTY_STATE;
  try {
    const snapshot = readJson<Snapshot>(options.stateDir, STATE_FILE);
    return snapshot === undefined ? EMPTY_STATE : fromSnapshot(snapshot);
  } catch (error) {
    log(`${(error as Error).message}: starting from the control plane's state`);
    return EMPTY_STATE;
  }
}
