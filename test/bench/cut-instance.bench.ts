/**
 * The same as `cut`, as a user meets it: from the PUT of a policy to the last of 10 000 connections destroyed, both ends on
 * this host, beside 2000 that keep their right. Each figure is the first cut of a standalone instance that just started,
 * and took in the events of these connections. Looked at every millisecond, in the kernel's own counters.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BpfMap } from 'libbpf-ts';
import { mapCodecs } from '../../src/datapath/maps.ts';
import { Counter } from '../../src/datapath/postern.skel.ts';
import { startInstance } from '../e2e/instance.ts';
import { app, cnp, port } from '../e2e/policies.ts';
import { serve } from '../e2e/run-in.ts';
import { until } from '../e2e/wait.ts';
import { ACCEPT_PORT, startAcceptor } from './accept.ts';
import { report } from './row.ts';

const LOST = 10_000;
const KEPT = 2_000;
const INSTANCES = 3;

interface Cut {
  /** From the PUT, ms. */
  readonly flipped: number;
  readonly ended: number;
  /** Events that the ring had no room for. */
  readonly lost: number;
}

const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
try {
  const hold = join(folder, 'hold');
  const source = join(import.meta.dirname, '../kernel/attacks/hold.c');
  execFileSync('cc', ['-O1', '-D_GNU_SOURCE', '-o', hold, source], { stdio: 'inherit' });
  const cuts: Cut[] = [];
  for (let i = 0; i < INSTANCES; i++) cuts.push(await firstCut(hold));
  const list = (figure: (cut: Cut) => number): string => cuts.map((cut) => figure(cut).toFixed(0)).join(', ');
  report({
    what: 'PUT of a policy to the last of 10000 connections cut',
    measured: `${list(({ ended }) => ended)} ms (of these after the flip ${list(({ ended, flipped }) => ended - flipped)} ms; ${list(({ lost }) => lost)} events lost)`,
    target: '< 150 ms',
    met: cuts.every(({ ended }) => ended < 150),
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function firstCut(hold: string): Promise<Cut> {
  const postern = await startInstance();
  const children: ChildProcess[] = [];
  try {
    const cgroup = (name: string): string => join(postern.cgroupDir, name);
    for (const name of ['server', 'friend', 'client']) {
      postern.makeCgroup(name);
      const match = [{ cgroup: join(postern.cgroupPath, name) }];
      await postern.workload(`shop/${name}`, { labels: { app: name }, match });
    }
    const allow = (...names: string[]) =>
      cnp('server', { ingress: [{ fromEndpoints: names.map(app), toPorts: [port(ACCEPT_PORT)] }] });
    await postern.apply(allow('client', 'friend'));
    const server = await startAcceptor({ cgroup: cgroup('server') });
    children.push(server.child);
    for (const [name, count] of Object.entries({ friend: KEPT, client: LOST })) {
      const words = [hold, String(count), '127.0.0.1', String(ACCEPT_PORT), '-', ''];
      children.push(await serve(words, /READY/, { cgroup: cgroup(name) }));
    }
    await server.accepted(KEPT + LOST);
    await calm(postern.pid());
    const { body } = await postern.api('GET', '/v1/workloads/shop/server');
    const words = BpfMap.openPinned(join(postern.pinDir, 'maps/ident_cfg'), mapCodecs.ident_cfg);
    const counters = BpfMap.openPinned(join(postern.pinDir, 'maps/counters'), mapCodecs.counters);
    const generation = (): number => words.get(body.status.identity & 0xffff)?.cfg.gen ?? 0;
    const counted = (which: number): number => (counters.getPerCpu(which) ?? []).reduce((sum, n) => sum + n, 0);
    const { COUNT_REVOKED, COUNT_EVENT_LOST } = Counter;
    const before = { generation: generation(), lost: counted(COUNT_EVENT_LOST) };
    const start = performance.now();
    const answer = postern.api('PUT', '/v1/policies/cnp/shop/server', allow('friend'));
    let flipped: number | undefined;
    let ended: number | undefined;
    while (ended === undefined) {
      const now = performance.now() - start;
      if (now > 10_000) throw new Error(`${counted(COUNT_REVOKED)} of ${LOST} ended in 10 s`);
      if (generation() !== before.generation) flipped ??= now;
      if (counted(COUNT_REVOKED) >= LOST) ended = now;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const { status, body: problem } = await answer;
    if (status !== 200) throw new Error(JSON.stringify(problem));
    if (counted(COUNT_REVOKED) !== LOST) throw new Error(`${counted(COUNT_REVOKED)} ended instead of ${LOST}`);
    const lost = counted(COUNT_EVENT_LOST) - before.lost;
    words.close();
    counters.close();
    return { flipped: flipped ?? ended, ended, lost };
  } finally {
    for (const child of children) {
      const over = once(child, 'close');
      child.kill('SIGKILL');
      await over;
    }
    await postern.destroy();
  }
}

/** Until a process has used no more than a tick of CPU time (10 ms) for half a second. */
async function calm(pid: number): Promise<void> {
  let used = ticks(pid);
  let since = performance.now();
  await until('postern has taken in what came so far', () => {
    const now = ticks(pid);
    if (now > used + 1) {
      used = now;
      since = performance.now();
    }
    return performance.now() - since > 500;
  });
}

/** User and system time, proc_pid_stat(5). */
function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
