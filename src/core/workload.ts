import { parseGlob } from './glob.ts';
import { parseArg, parseUnit, toClause, trimCgroup } from './match-clause.ts';
import { LISTEN_FORMS, parseListen, parsePort } from './match-listen.ts';
import { spoofableBy } from './match-precedence.ts';
import type { Result } from './problem.ts';
import { type Fields, fieldErrors } from './workload-fields.ts';

/** Fields are AND. */
export interface MatchClause {
  /** As systemctl prints it, system manager only; glob. */
  readonly systemdUnit?: string;
  /** Below the cgroup2 root, as /proc/PID/cgroup shows it after `0::`; glob; the cgroup and all below it. */
  readonly cgroup?: string;
  readonly process?: {
    /** Resolved path; glob. */
    readonly exe?: string;
    /** Effective user at the matching exec: name or number. */
    readonly user?: string;
    /** Each equals one whole element of argv, or with `*` at its end begins one. */
    readonly args?: readonly string[];
  };
  readonly listen?: readonly string[];
}

export interface Workload {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** List is OR; never empty. */
  readonly match: readonly MatchClause[];
  /** Name → `8080/TCP`. */
  readonly ports?: Readonly<Record<string, string>>;
  readonly description?: string;
}

export const MATCH_LIMITS = { clauses: 64, args: 8, argBytes: 255, listen: 64, pathBytes: 4095 } as const;

/**
 * The meaning of a registration's body, after or without schema parsing: every unknown field is refused by name (400),
 * every field of the language that is to come as "not supported yet" (422). `meta` and `status` are the server's and
 * mean nothing here. Paths of errors are JSON pointers into the body.
 */
export function validateWorkload(namespace: string, name: string, body: unknown): Result<Workload> {
  const fields = fieldErrors();
  checkName(fields, '/namespace', namespace, 63);
  checkName(fields, '/name', name, 253);
  if (!fields.object('', body, TOP, TOP_LATER)) return fields.failed();
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
  const match = checkMatch(fields, body.match);
  if (fields.errors.length > 0) return fields.failed();
  return {
    ok: true,
    value: {
      namespace,
      name,
      labels,
      match,
      ...(ports === undefined ? {} : { ports }),
      ...(body.description === undefined ? {} : { description: body.description as string }),
    },
    warnings: match.flatMap(warningsOf),
  };
}

const TOP = ['labels', 'match', 'ports', 'description', 'namespace', 'name', 'meta', 'status'] as const;
const TOP_LATER = ['addresses', 'hosts', 'inherit', 'priority', 'labelsFrom', 'mode', 'expect', 'runBy'] as const;
const CLAUSE = ['systemdUnit', 'cgroup', 'process', 'listen'] as const;
const CLAUSE_LATER = ['systemdUserUnit', 'container'] as const;
const PROCESS = ['exe', 'user', 'args'] as const;
const PROCESS_LATER = ['script', 'env', 'argsRegex'] as const;

function checkMatch(fields: Fields, match: unknown): MatchClause[] {
  if (match === undefined)
    fields.bad('/match', 'is required: how a process of this workload is recognised', match, CLAUSE);
  if (!Array.isArray(match)) {
    if (match !== undefined) checkClause(fields, '/match', match);
    return [match as MatchClause];
  }
  if (match.length === 0) fields.bad('/match', 'is empty: no process would ever match', match, CLAUSE);
  if (match.length > MATCH_LIMITS.clauses)
    fields.bad('/match', `has ${match.length} clauses, at most ${MATCH_LIMITS.clauses}`);
  for (const [i, clause] of match.entries()) checkClause(fields, `/match/${i}`, clause);
  return match as MatchClause[];
}

function checkClause(fields: Fields, path: string, clause: unknown): void {
  if (!fields.object(path, clause, CLAUSE, CLAUSE_LATER)) return;
  if (Object.keys(clause).length === 0) fields.bad(path, 'is empty: every process would match', clause, CLAUSE);
  const { systemdUnit, cgroup, process, listen } = clause;
  if (systemdUnit !== undefined && fields.text(`${path}/systemdUnit`, systemdUnit)) {
    const parsed = parseUnit(systemdUnit);
    if (!parsed.ok)
      fields.bad(`${path}/systemdUnit`, parsed.message, systemdUnit, ['nginx.service', 'orders@*.service']);
  }
  if (cgroup !== undefined && fields.text(`${path}/cgroup`, cgroup)) checkCgroup(fields, `${path}/cgroup`, cgroup);
  if (process !== undefined) checkProcess(fields, `${path}/process`, process);
  if (listen === undefined || !fields.texts(`${path}/listen`, listen, MATCH_LIMITS.listen)) return;
  for (const [i, pattern] of listen.entries()) {
    const parsed = parseListen(pattern);
    if (!parsed.ok) fields.bad(`${path}/listen/${i}`, parsed.message, pattern, LISTEN_FORMS);
  }
}

function checkCgroup(fields: Fields, path: string, cgroup: string): void {
  const trimmed = trimCgroup(cgroup);
  if (trimmed === '') return void fields.bad(path, 'is the root: every process would match', cgroup);
  const parts = trimmed.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    fields.bad(path, 'must be a plain path: no "//", "." or ".."', cgroup);
  }
  checkGlob(fields, path, cgroup);
}

function checkProcess(fields: Fields, path: string, process: unknown): void {
  if (!fields.object(path, process, PROCESS, PROCESS_LATER)) return;
  if (Object.keys(process).length === 0) fields.bad(path, 'is empty: every process would match', process, PROCESS);
  const { exe, user, args } = process;
  if (exe !== undefined && fields.text(`${path}/exe`, exe)) {
    if (!/^(\/|\*\*)/.test(exe))
      fields.bad(`${path}/exe`, 'must be an absolute path', exe, ['/usr/sbin/nginx', '/usr/lib/jvm/*/bin/java']);
    else if (/\/(\.{0,2})(\/|$)/.test(exe))
      fields.bad(`${path}/exe`, 'must be the plain path of a file: no "//", ".", ".." or "/" at the end', exe);
    else checkGlob(fields, `${path}/exe`, exe);
  }
  if (user !== undefined && fields.text(`${path}/user`, user) && !isUser(user)) {
    fields.bad(`${path}/user`, 'must be the name or the number of a user (no patterns)', user);
  }
  if (args === undefined || !fields.texts(`${path}/args`, args, MATCH_LIMITS.args)) return;
  for (const [i, arg] of args.entries()) {
    const parsed = parseArg(arg);
    if (!parsed.ok) fields.bad(`${path}/args/${i}`, parsed.message, arg, ['-Dcatalina.base=/opt/tc1', '--port=*']);
    else if (utf8Bytes(parsed.value.text) > MATCH_LIMITS.argBytes) {
      fields.bad(`${path}/args/${i}`, `is longer than ${MATCH_LIMITS.argBytes} bytes: give its beginning and "*"`, arg);
    }
  }
}

function checkGlob(fields: Fields, path: string, pattern: string): void {
  const parsed = parseGlob(pattern);
  if (!parsed.ok) fields.bad(path, `${parsed.message} (column ${parsed.column})`, pattern, undefined, parsed.column);
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
    if (text === 'listening') fields.later(at, 'listening');
    else if (!parsed.ok) fields.bad(at, parsed.message, text, ['8080/tcp', '53/udp']);
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

/** A name as NSS may give it (`DOMAIN\\name`, `name@domain`), or a uid; 4294967295 means "no user" to the kernel. */
function isUser(user: string): boolean {
  if (/^\d+$/.test(user)) return Number(user) < 4294967295;
  return /^[A-Za-z_][A-Za-z0-9_.@\\-]{0,254}\$?$/.test(user);
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

function warningsOf(clause: MatchClause, index: number): string[] {
  const spoofable = spoofableBy(toClause(clause));
  const exe = clause.process?.exe ?? '';
  const bare =
    /\/(python[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|java|php[\d.]*|bash|dash|sh|lua[\d.]*)$/.test(exe) &&
    !clause.process?.args;
  return [
    ...(spoofable === null
      ? []
      : [`match[${index}] could be claimed by ${spoofable}: add systemdUnit, cgroup or process.user`]),
    ...(bare && !clause.systemdUnit && !clause.cgroup
      ? [`match[${index}] names an interpreter, so every program that it runs: add args`]
      : []),
  ];
}

function pointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}

function utf8Bytes(text: string): number {
  let bytes = 0;
  for (const char of text) {
    const code = char.codePointAt(0)!;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}
