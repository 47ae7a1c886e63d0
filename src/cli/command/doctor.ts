/** `postern doctor`: what workloads hold that is stronger than policy, and what closes it. */
import { type Finding, type HostFindings, SEVERITIES } from '../../api/findings.ts';
import type { Call, Command } from '../command.ts';
import { findingsText } from '../doctor-text.ts';
import { Failure } from '../failure.ts';
import { listAll } from '../watch.ts';

export const DOCTOR: Command = {
  path: ['doctor'],
  summary: 'Show which workloads could get around their policy by their rights, and what closes it',
  args: [],
  flags: [
    { name: 'workload', value: 'NS/NAME', summary: 'only of this workload', complete: 'workload' },
    { name: 'severity', value: 'LEAST', choices: SEVERITIES, default: 'low', summary: 'only from this severity on' },
    { name: 'host', value: 'NAME', summary: 'ask the server what that host last reported', complete: 'host' },
    { name: 'drop-in', value: 'UNIT', summary: 'print only the settings that close what is found of this unit' },
  ],
  help: [
    'Asks the agent of this host, which looks anew, over its socket: needs root. Looks at capabilities, shared users, sockets of',
    'programs that start others (Docker, containerd, Podman …), executables that somebody else may replace, no_new_privs, and',
    'cgroups that belong to their workload. Nothing is changed. Exit code: 0 nothing found, 1 something, 3 no agent.',
    'Settings take rights away from a service: read them, and see that it does without.',
  ].join('\n'),
  examples: [
    ['sudo postern doctor', 'this host, now'],
    [
      'sudo postern doctor --drop-in redis.service',
      'what goes into /etc/systemd/system/redis.service.d/50-postern.conf',
    ],
    ['postern doctor --host web-1 --severity medium', 'another host, without what is of little weight'],
    ["postern doctor -o json | jq -r '.items[].id'", 'names that stay the same, to compare with yesterday'],
  ],
  run: async (call) => {
    const unit = call.text('drop-in');
    const { items, lookedAt } = await load(call);
    if (unit !== undefined) return printDropIn(call, unit, items);
    if (call.out.format !== 'table') await call.out.value({ ok: items.length === 0, items, lookedAt });
    else if (items.length === 0) call.out.note('nothing found: no right of a workload is stronger than its policy');
    else await call.out.print(findingsText(items, call.out.colour));
    return items.length === 0 ? 0 : 1;
  },
};

async function load(call: Call): Promise<HostFindings> {
  const host = call.text('host');
  const workload = call.text('workload');
  const shown = SEVERITIES.slice(0, SEVERITIES.indexOf(call.text('severity') as Finding['severity']) + 1);
  const { items, ...rest } = host === undefined ? await askAgent(call) : await askServer(call, host);
  const isWanted = (one: Finding): boolean =>
    shown.includes(one.severity) && (workload === undefined || one.workload === workload);
  return { ...rest, items: items.filter(isWanted) };
}

async function askAgent(call: Call): Promise<HostFindings> {
  try {
    return await call.agent.json<HostFindings>({ method: 'GET', path: '/v1/findings', query: [['fresh', 'true']] });
  } catch (error) {
    if (!(error instanceof Failure) || error.exit !== 3) throw error;
    const details = [
      ...error.details,
      'nothing was looked at. The server may know what a host last reported: postern doctor --host NAME',
      'one unit by hand:  systemd-analyze security UNIT; systemctl show -p User,CapabilityBoundingSet,NoNewPrivileges UNIT',
    ];
    throw new Failure(error.exit, error.message, details, error.status);
  }
}

async function askServer(call: Call, host: string): Promise<HostFindings> {
  // an unknown host is no host without findings
  const { status } = await call.server.json<{ status: { findings?: object; lastSeen: string } }>({
    method: 'GET',
    path: `/v1/hosts/${encodeURIComponent(host)}`,
  });
  if (status.findings === undefined) throw new Failure(3, `${host} has not reported what it found yet`);
  const { items } = await listAll<Finding>(call.server, '/v1/findings', [['host', host]]);
  return { items: [...items].sort((a, b) => weight(a) - weight(b)), lookedAt: status.lastSeen };
}

function weight({ severity }: Finding): number {
  return SEVERITIES.indexOf(severity);
}

async function printDropIn(call: Call, unit: string, items: readonly Finding[]): Promise<number> {
  const dropIns = items.flatMap(({ fix }) => fix.dropIn ?? []);
  const dropIn = dropIns.find((one) => one.unit === unit || one.unit === `${unit}.service`);
  if (dropIn === undefined) {
    const units = [...new Set(dropIns.map((one) => one.unit))].sort();
    throw new Failure(1, `nothing was found of ${unit} that settings close`, [
      units.length === 0
        ? 'there is no such unit on this host'
        : `units of which something was found: ${units.join(', ')}`,
    ]);
  }
  if (call.out.format !== 'table') await call.out.value(dropIn);
  else await call.out.print(dropIn.content.trimEnd());
  return 0;
}
