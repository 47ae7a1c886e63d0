import { readArgsRegex } from './args-regex.ts';
import { parseGlob } from './glob.ts';
import { parseArg, toClause, trimCgroup } from './match-clause.ts';
import { LISTEN_FORMS, parseListen } from './match-listen.ts';
import { type ContainerMatch, containerProblems, parseUserUnit, USER_UNIT_FORMS } from './match-place.ts';
import { spoofableBy } from './match-precedence.ts';
import { parseUnit } from './match-unit.ts';
import { utf8Bytes } from './utf8.ts';
import type { MatchClause } from './workload.ts';
import type { Fields } from './workload-fields.ts';

export const MATCH_LIMITS = {
  clauses: 64,
  args: 8,
  env: 8,
  regexChars: 512,
  argBytes: 255,
  listen: 64,
  pathBytes: 4095,
  priority: 1000,
} as const;

/** Reports what is wrong with a `match`; what it gives back is one only if nothing was. */
export function checkMatch(fields: Fields, match: unknown): MatchClause[] {
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

const CLAUSE = ['systemdUnit', 'systemdUserUnit', 'cgroup', 'container', 'process', 'listen'] as const;
const PLACES = ['systemdUnit', 'systemdUserUnit', 'cgroup', 'container'] as const;
const PROCESS = ['exe', 'script', 'user', 'args', 'env', 'argsRegex'] as const;

function checkClause(fields: Fields, path: string, clause: unknown): void {
  if (!fields.object(path, clause, CLAUSE, [])) return;
  if (Object.keys(clause).length === 0) fields.bad(path, 'is empty: every process would match', clause, CLAUSE);
  const { systemdUnit, systemdUserUnit, cgroup, container, process, listen } = clause;
  checkPlaces(fields, path, clause);
  if (systemdUnit !== undefined && fields.text(`${path}/systemdUnit`, systemdUnit)) {
    const parsed = parseUnit(systemdUnit);
    if (!parsed.ok)
      fields.bad(`${path}/systemdUnit`, parsed.message, systemdUnit, ['nginx.service', 'orders@*.service']);
  }
  if (systemdUserUnit !== undefined && fields.text(`${path}/systemdUserUnit`, systemdUserUnit)) {
    const parsed = parseUserUnit(systemdUserUnit, isUser);
    if (!parsed.ok) fields.bad(`${path}/systemdUserUnit`, parsed.message, systemdUserUnit, USER_UNIT_FORMS);
  }
  if (container !== undefined) checkContainer(fields, `${path}/container`, container);
  if (cgroup !== undefined && fields.text(`${path}/cgroup`, cgroup)) checkCgroup(fields, `${path}/cgroup`, cgroup);
  if (process !== undefined) checkProcess(fields, `${path}/process`, process);
  if (listen === undefined || !fields.texts(`${path}/listen`, listen, MATCH_LIMITS.listen)) return;
  for (const [i, pattern] of listen.entries()) {
    const parsed = parseListen(pattern);
    if (!parsed.ok) fields.bad(`${path}/listen/${i}`, parsed.message, pattern, LISTEN_FORMS);
  }
}

/** A user's unit and a container have a cgroup of their own: another place beside it could only contradict. */
function checkPlaces(fields: Fields, path: string, clause: Record<string, unknown>): void {
  for (const own of ['systemdUserUnit', 'container'] as const) {
    const other = PLACES.find((name) => name !== own && clause[name] !== undefined);
    if (clause[own] !== undefined && other !== undefined)
      return fields.bad(`${path}/${own}`, `instead of ${other}, not beside it: it says where a process runs by itself`);
  }
}

function checkContainer(fields: Fields, path: string, container: unknown): void {
  if (!fields.object(path, container, CONTAINER, [])) return;
  const { name, image, labels } = container;
  const isText = (field: string, value: unknown) => value === undefined || fields.text(`${path}/${field}`, value);
  if (Object.keys(container).length === 0)
    fields.bad(path, 'is empty: every container would match', container, CONTAINER);
  const fine = [
    isText('name', name),
    isText('image', image),
    labels === undefined || fields.map(`${path}/labels`, labels),
  ];
  if (fine[2] && labels !== undefined && Object.keys(labels as object).length === 0)
    fields.bad(`${path}/labels`, 'is empty: every container would match', labels);
  if (!fine.every(Boolean)) return;
  for (const problem of containerProblems(container as ContainerMatch))
    fields.bad(`${path}/${problem.field}`, problem.message, problem.value);
}

const CONTAINER = ['name', 'image', 'labels'] as const;

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
  if (!fields.object(path, process, PROCESS, [])) return;
  if (Object.keys(process).length === 0) fields.bad(path, 'is empty: every process would match', process, PROCESS);
  const { exe, script, user, args, env, argsRegex } = process;
  checkFile(fields, `${path}/exe`, exe, ['/usr/sbin/nginx', '/usr/lib/jvm/*/bin/java']);
  checkFile(fields, `${path}/script`, script, ['/srv/app/worker.py', '/opt/*/bin/start.sh']);
  if (user !== undefined && fields.text(`${path}/user`, user) && !isUser(user)) {
    fields.bad(`${path}/user`, 'must be the name or the number of a user (no patterns)', user);
  }
  checkArgs(fields, `${path}/args`, args, MATCH_LIMITS.args, ['-Dcatalina.base=/opt/tc1', '--port=*']);
  checkArgs(fields, `${path}/env`, env, MATCH_LIMITS.env, ['ORACLE_SID=PROD', 'APP_HOME=/opt/a*']);
  if (Array.isArray(env))
    for (const [i, variable] of env.entries())
      if (typeof variable === 'string' && !/^[^=*]+=/.test(variable))
        fields.bad(`${path}/env/${i}`, 'must be NAME=value, or NAME=* for whatever value', variable, [
          'ORACLE_SID=PROD',
        ]);
  if (argsRegex === undefined || !fields.text(`${path}/argsRegex`, argsRegex)) return;
  const parsed = readArgsRegex(argsRegex);
  if (argsRegex.length > MATCH_LIMITS.regexChars)
    fields.bad(`${path}/argsRegex`, `is longer than ${MATCH_LIMITS.regexChars} characters`, argsRegex);
  else if (!parsed.ok) fields.bad(`${path}/argsRegex`, parsed.message, argsRegex);
}

function checkFile(fields: Fields, path: string, file: unknown, examples: readonly string[]): void {
  if (file === undefined || !fields.text(path, file)) return;
  if (!/^(\/|\*\*)/.test(file)) fields.bad(path, 'must be an absolute path', file, examples);
  else if (/\/(\.{0,2})(\/|$)/.test(file))
    fields.bad(path, 'must be the plain path of a file: no "//", ".", ".." or "/" at the end', file);
  else checkGlob(fields, path, file);
}

function checkArgs(fields: Fields, path: string, args: unknown, max: number, examples: readonly string[]): void {
  if (args === undefined || !fields.texts(path, args, max)) return;
  for (const [i, arg] of args.entries()) {
    const parsed = parseArg(arg);
    if (!parsed.ok) fields.bad(`${path}/${i}`, parsed.message, arg, examples);
    else if (utf8Bytes(parsed.value.text) > MATCH_LIMITS.argBytes) {
      fields.bad(`${path}/${i}`, `is longer than ${MATCH_LIMITS.argBytes} bytes: give its beginning and "*"`, arg);
    }
  }
}

function checkGlob(fields: Fields, path: string, pattern: string): void {
  const parsed = parseGlob(pattern);
  if (!parsed.ok) fields.bad(path, `${parsed.message} (column ${parsed.column})`, pattern, undefined, parsed.column);
}

/** A name as NSS may give it (`DOMAIN\\name`, `name@domain`), or a uid; 4294967295 means "no user" to the kernel. */
export function isUser(user: string): boolean {
  if (/^\d+$/.test(user)) return Number(user) < 4294967295;
  return /^[A-Za-z_][A-Za-z0-9_.@\\-]{0,254}\$?$/.test(user);
}

/** What is legal and yet surprising in one clause. */
export function matchWarnings(clause: MatchClause, index: number): string[] {
  const spoofable = spoofableBy(toClause(clause));
  const exe = clause.process?.exe ?? '';
  const bare =
    /\/(python[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|java|php[\d.]*|bash|dash|sh|lua[\d.]*)$/.test(exe) &&
    !(clause.process?.args || clause.process?.script || clause.process?.env || clause.process?.argsRegex);
  return [
    ...(spoofable === null
      ? []
      : [`match[${index}] could be claimed by ${spoofable}: add systemdUnit, cgroup or process.user`]),
    ...(bare && !PLACES.some((place) => clause[place] !== undefined)
      ? [`match[${index}] names an interpreter, so every program that it runs: add script or args`]
      : []),
  ];
}
