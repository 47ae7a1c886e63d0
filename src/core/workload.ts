import { checkLabelsFrom, checkPrograms } from './derived-identity.ts';
import { checkHosts, type HostSelector } from './host-selector.ts';
import { parsePort } from './match-listen.ts';
import type { ContainerMatch } from './match-place.ts';
import { LISTENING } from './named-port.ts';
import { checkOpens, type Opening, opensWarnings } from './opens.ts';
import type { Result } from './problem.ts';
import { checkAddresses } from './workload-addresses.ts';
import { type Fields, fieldErrors } from './workload-fields.ts';
import { checkMatch, MATCH_LIMITS, matchWarnings } from './workload-match.ts';
import { checkOperation, type Operation } from './workload-operation.ts';

export { MATCH_LIMITS };

/** Fields are AND. */
export interface MatchClause {
  /** As systemctl prints it, system manager only; glob. */
  readonly systemdUnit?: string;
  /** `USER/UNIT`: a unit of that user's own manager; glob. */
  readonly systemdUserUnit?: string;
  /** As its runtime (Docker, Podman) calls it; globs. */
  readonly container?: ContainerMatch;
  /** Below the cgroup2 root, as /proc/PID/cgroup shows it after `0::`; glob; the cgroup and all below it. */
  readonly cgroup?: string;
  readonly process?: {
    /** Resolved path; glob. */
    readonly exe?: string;
    /** Effective user at the matching exec: name or number. */
    readonly user?: string;
    /** Each equals one whole element of argv, or with `*` at its end begins one. */
    readonly args?: readonly string[];
    /** Resolved path of the `#!` file, or of the first path argument of an interpreter; glob. */
    readonly script?: string;
    /** Each equals one `NAME=value`, or with `*` at its end begins one. */
    readonly env?: readonly string[];
    /** Found in the elements of argv joined by spaces; core/args-regex.ts. */
    readonly argsRegex?: string;
  };
  readonly listen?: readonly string[];
}

export interface Workload extends Operation {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** List is OR; empty only with `addresses`. */
  readonly match: readonly MatchClause[];
  /** A peer without an agent, instead of `match`: canonical prefixes, sorted. */
  readonly addresses?: readonly string[];
  /** Name → `8080/TCP`, or `listening`: what it listens on now. */
  readonly ports?: Readonly<Record<string, string>>;
  readonly description?: string;
  /** Absent = every host. */
  readonly hosts?: HostSelector;
  /** Before all but spoofability in the order of clauses; 0 unless said. */
  readonly priority?: number;
  /** `none`: not for the children of a process that matches. `subtree` unless said. */
  readonly inherit?: 'subtree' | 'none';
  /** Labels of the host, or of the process, that are part of the identity: `host:site`, `cloud:tag/env`, `process:user`. */
  readonly labelsFrom?: readonly string[];
  /** What it may open besides TCP and UDP sockets. */
  readonly opens?: readonly Opening[];
}

/**
 * The meaning of a registration's body, after or without schema parsing: every unknown field is refused by name (400),
 * what is to come as "not supported yet" (422). `meta` and `status` are the server's and
 * mean nothing here. Paths of errors are JSON pointers into the body.
 */
export function validateWorkload(namespace: string, name: string, body: unknown): Result<Workload> {
  const fields = fieldErrors();
  checkName(fields, '/namespace', namespace, 63);
  checkName(fields, '/name', name, 253);
  if (!fields.object('', body, TOP, [])) return fields.failed();
  for (const [key, wanted] of [
    ['namespace', namespace],
    ['name', name],
  ] as const) {
    if (body[key] !== undefined && body[key] !== wanted)
      fields.bad(`/${key}`, `is not "${wanted}", the ${key} in the path`, body[key]);
  }
  const labels = checkLabels(fields, body.labels);
  const ports = checkPorts(fields, body.ports);
  if (body.description !== undefined && typeof body.description !== 'string')
    fields.bad('/description', 'must be a string', body.description);
  const order = checkOrder(fields, body);
  const operation = checkOperation(fields, body);
  const addresses = body.addresses === undefined ? undefined : checkAddresses(fields, body.addresses);
  const isMatched = addresses === undefined || (body.match !== undefined && !isEmptyList(body.match));
  if (addresses !== undefined && isMatched)
    fields.bad(
      '/addresses',
      'instead of match, not beside it: an agent names processes, addresses name a peer without one',
    );
  if (body.hosts !== undefined) checkHosts(fields, body.hosts);
  const labelsFrom = body.labelsFrom === undefined ? undefined : checkLabelsFrom(fields, body);
  const opens = body.opens === undefined ? undefined : checkOpens(fields, body);
  if (body.hosts !== undefined && addresses !== undefined)
    fields.bad('/hosts', 'has no meaning beside addresses: they are the same for every host');
  const match = isMatched ? checkMatch(fields, body.match) : [];
  const blind = checkPrograms(fields, fields.errors.length > 0 ? [] : (labelsFrom ?? []), match);
  if (fields.errors.length > 0) return fields.failed();
  return {
    ok: true,
    value: {
      namespace,
      name,
      labels,
      match,
      ...(addresses === undefined ? {} : { addresses }),
      ...(body.hosts === undefined ? {} : { hosts: body.hosts as HostSelector }),
      ...(ports === undefined ? {} : { ports }),
      ...(body.description === undefined ? {} : { description: body.description as string }),
      ...order,
      ...operation,
      ...(labelsFrom === undefined ? {} : { labelsFrom }),
      ...(opens === undefined ? {} : { opens }),
    },
    warnings: [...match.flatMap(matchWarnings), ...opensWarnings(opens), ...blind],
  };
}

const TOP = [
  'labels',
  'match',
  'addresses',
  'hosts',
  'ports',
  'description',
  'priority',
  'inherit',
  'mode',
  'expect',
  'runBy',
  'labelsFrom',
  'opens',
  'namespace',
  'name',
  'meta',
  'status',
] as const;

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function checkOrder(
  fields: Fields,
  { priority, inherit }: Record<string, unknown>,
): Pick<Workload, 'priority' | 'inherit'> {
  const max = MATCH_LIMITS.priority;
  if (priority !== undefined && !(Number.isInteger(priority) && Math.abs(priority as number) <= max))
    fields.bad('/priority', `must be an integer from -${max} to ${max}`, priority);
  if (inherit !== undefined && inherit !== 'subtree' && inherit !== 'none')
    fields.bad('/inherit', 'must be subtree or none', inherit, ['subtree', 'none']);
  return {
    ...(priority === undefined ? {} : { priority: priority as number }),
    ...(inherit === undefined ? {} : { inherit: inherit as 'subtree' | 'none' }),
  };
}

function checkLabels(fields: Fields, labels: unknown): Record<string, string> {
  const path = '/labels';
  if (labels === undefined) fields.bad(path, 'is required: what policy calls this workload', labels);
  else if (fields.map(path, labels)) {
    for (const [key, value] of Object.entries(labels)) {
      const at = `${path}/${pointer(key)}`;
      if (!isLabelKey(key))
        fields.bad(at, `label key "${key}" must be [dns.prefix/]name, name of at most 63 of A-Z a-z 0-9 - _ .`, key);
      if (value.length > 63 || !/^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/.test(value)) {
        fields.bad(
          at,
          'label values are at most 63 of A-Z a-z 0-9 - _ . and begin and end with a letter or digit',
          value,
        );
      }
    }
    return labels;
  }
  return {};
}

function checkPorts(fields: Fields, ports: unknown): Record<string, string> | undefined {
  if (ports === undefined || !fields.map('/ports', ports)) return undefined;
  const canonical: Record<string, string> = {};
  for (const [name, text] of Object.entries(ports)) {
    const at = `/ports/${pointer(name)}`;
    if (name.length > 15 || !/^(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) {
      fields.bad(at, `port name "${name}" must be at most 15 of a-z 0-9 - with a letter`, name);
    }
    const parsed = parsePort(text);
    if (text === LISTENING) canonical[name] = LISTENING;
    else if (!parsed.ok) fields.bad(at, parsed.message, text, ['8080/tcp', '53/udp', LISTENING]);
    else canonical[name] = parsed.value;
  }
  return canonical;
}

function checkName(fields: Fields, path: string, name: string, max: number): void {
  const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
  const valid = max === 63 ? new RegExp(`^${label}$`) : new RegExp(`^${label}(\\.${label})*$`);
  if (name.length > max || !valid.test(name)) {
    fields.bad(
      path,
      `must be at most ${max} of a-z 0-9 -${max > 63 ? ' .' : ''}, beginning and ending with a letter or digit`,
      name,
    );
  }
}

function isLabelKey(key: string): boolean {
  const parts = key.split('/');
  const name = parts.pop()!;
  const prefix = parts[0];
  if (parts.length > 1 || name.length > 63 || !/^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name)) return false;
  return (
    prefix === undefined ||
    (prefix.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(prefix))
  );
}

function pointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
