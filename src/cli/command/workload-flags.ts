/** The flags of `postern workload put`, and the body that they describe. */

import { parseDocuments } from '../../api/document.ts';
import type { FieldError } from '../../core/problem.ts';
import type { Flag, Flags } from '../command.ts';
import { Failure } from '../failure.ts';
import type { ClauseLike } from '../match-text.ts';

export const WORKLOAD_FLAGS: readonly Flag[] = [
  { name: 'label', short: 'l', value: 'KEY=VALUE', many: true, summary: 'a label of the workload' },
  { name: 'systemd-unit', value: 'GLOB', summary: 'unit, as systemctl prints it' },
  { name: 'systemd-user-unit', value: 'USER/GLOB', summary: "unit of a user's own manager: alice/backup.service" },
  { name: 'container', value: 'GLOB', summary: 'name of a container, as Docker or Podman calls it; decided late' },
  { name: 'container-image', value: 'GLOB', summary: 'image of the container' },
  { name: 'container-label', value: 'KEY=GLOB', many: true, summary: 'label of the container' },
  { name: 'cgroup', value: 'GLOB', summary: 'cgroup below the cgroup2 root, and all below it' },
  { name: 'exe', value: 'GLOB', summary: 'resolved path of the executable', complete: 'file' },
  { name: 'script', value: 'GLOB', summary: 'resolved path of the script that an interpreter runs', complete: 'file' },
  { name: 'user', value: 'NAME', summary: 'effective user when the program is started' },
  {
    name: 'arg',
    value: 'ARG',
    many: true,
    summary: 'an argument that must be there: whole, or a prefix with * at its end',
  },
  { name: 'env', value: 'NAME=VALUE', many: true, summary: 'a variable that must be set: whole, or a prefix with *' },
  { name: 'args-regex', value: 'REGEX', summary: 'found in the arguments joined by spaces; decided late' },
  { name: 'listen', value: 'PORT', many: true, summary: '8080/tcp, 10.0.0.5:1521/tcp or 40000-40100/tcp' },
  { name: 'match', value: 'CLAUSE', many: true, summary: 'a further clause, in JSON or YAML, that also identifies it' },
  { name: 'address', value: 'CIDR', many: true, summary: 'instead of a match: a peer without an agent' },
  {
    name: 'port',
    value: 'NAME=PORT',
    many: true,
    summary: 'a name for policies to use: http=8080/tcp, or jmx=listening',
  },
  { name: 'priority', value: 'NUMBER', summary: 'larger wins where several workloads match; 0 unless said' },
  { name: 'inherit', value: 'subtree|none', summary: 'none: its children are somebody else' },
  {
    name: 'per-host',
    value: 'NUMBER',
    summary: 'endpoints that each host should have; another number is shown',
  },
  { name: 'run-by', value: 'USER', many: true, summary: 'a user who may start it with postern run, besides root' },
  {
    name: 'labels-from',
    value: 'NAME',
    many: true,
    summary: 'a label of the host or process that becomes part of who it is: host:site, cloud:tag/env, process:user',
  },
  {
    name: 'opens',
    value: 'WHAT',
    many: true,
    summary: 'besides TCP and UDP: icmp, mptcp, udplite, tun, packet, raw:vrrp or raw:112',
  },
  { name: 'mode', value: 'observe|audit|enforce', summary: 'what policy does to it: nothing, only record, enforce' },
  { name: 'description', value: 'TEXT', summary: 'for people' },
];

/** Which of the flags are given: with -f none may be. */
export function givenWorkloadFlags(flags: Flags): string[] {
  return WORKLOAD_FLAGS.filter((flag) => flags.on(flag.name)).map((flag) => `--${flag.name}`);
}

/** The server checks what the values mean. */
export function toWorkloadBody(flags: Flags): Record<string, unknown> {
  const clauses = [toClause(flags), ...flags.list('match').map(parseClause)].filter((clause) => clause !== undefined);
  const description = flags.text('description');
  const priority = flags.text('priority');
  const inherit = flags.text('inherit');
  const perHost = flags.text('per-host');
  const mode = flags.text('mode');
  return {
    labels: toPairs(flags.list('label'), '--label'),
    ...(clauses.length > 0 && { match: clauses }),
    ...(flags.on('address') && { addresses: flags.list('address') }),
    ...(flags.on('port') && { ports: toPairs(flags.list('port'), '--port') }),
    ...(description !== undefined && { description }),
    ...(priority !== undefined && { priority: toNumber(priority) }),
    ...(inherit !== undefined && { inherit }),
    ...(perHost !== undefined && { expect: { perHost: toNumber(perHost) } }),
    ...(flags.on('run-by') && { runBy: flags.list('run-by') }),
    ...(flags.on('labels-from') && { labelsFrom: flags.list('labels-from') }),
    ...(flags.on('opens') && { opens: toOpens(flags.list('opens')) }),
    ...(mode !== undefined && { mode }),
  };
}

/** `raw:` words are one list of protocols. */
function toOpens(words: readonly string[]): (string | { raw: (string | number)[] })[] {
  const raw = words.filter((word) => word.startsWith('raw:')).map((word) => toNumber(word.slice('raw:'.length)));
  return [...words.filter((word) => !word.startsWith('raw:')), ...(raw.length > 0 ? [{ raw }] : [])];
}

/** What is no number goes as it is: the server says what is wrong with it. */
function toNumber(text: string): number | string {
  return /^-?\d+$/.test(text) ? Number(text) : text;
}

/** The flag that an error of the server is about: the body was made from flags, its lines mean nothing to the user. */
export function placeInFlags(flags: Flags): (error: FieldError) => string {
  const hasClause = toClause(flags) !== undefined;
  return ({ path }) => {
    const [, top, index, ...rest] = path.split('/').map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    if (top === 'labels') return `--label${index === undefined ? '' : ` ${index}`}`;
    if (top === 'ports') return `--port${index === undefined ? '' : ` ${index}`}`;
    if (top === 'addresses') return '--address';
    if (top === 'expect') return '--per-host';
    if (top === 'runBy') return '--run-by';
    if (top === 'labelsFrom')
      return `--labels-from${index === undefined ? '' : ` ${flags.list('labels-from')[Number(index)]}`}`;
    if (top === 'opens') return '--opens';
    if (top !== 'match') return path === '' ? '(all flags together)' : `--${top}`;
    if (index === undefined)
      return '--systemd-unit, --systemd-user-unit, --cgroup, --container, --exe, --script, --user, --arg, --env, --args-regex, --listen, --match or --address';
    if (index !== '0' || !hasClause) return `--match ${path}`;
    if (rest[0] === 'container' && rest[1] === 'labels') return `--container-label ${rest[2] ?? ''}`.trimEnd();
    const isInner = rest.length > 1 && (rest[0] === 'process' || rest[0] === 'container');
    const field = isInner && rest[1] !== 'name' ? rest[1] : rest[0];
    return field === undefined ? path : `--${FLAG_OF_FIELD[field] ?? field}`;
  };
}

const FLAG_OF_FIELD: Readonly<Record<string, string>> = {
  systemdUnit: 'systemd-unit',
  systemdUserUnit: 'systemd-user-unit',
  image: 'container-image',
  args: 'arg',
  argsRegex: 'args-regex',
};

/** `["app=web"]` → `{app: "web"}`; Failure 2 for what has no "=" or comes twice. */
export function toPairs(words: readonly string[], flag: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals < 1) throw new Failure(2, `${flag} "${word}": expected KEY=VALUE`);
    const key = word.slice(0, equals);
    if (Object.hasOwn(pairs, key)) throw new Failure(2, `${flag} "${word}": "${key}" is given twice`);
    pairs[key] = word.slice(equals + 1);
  }
  return pairs;
}

function toClause(flags: Flags): ClauseLike | undefined {
  const exe = flags.text('exe');
  const user = flags.text('user');
  const args = flags.list('arg');
  const env = flags.list('env');
  const script = flags.text('script');
  const argsRegex = flags.text('args-regex');
  const listen = flags.list('listen');
  const systemdUnit = flags.text('systemd-unit');
  const cgroup = flags.text('cgroup');
  const systemdUserUnit = flags.text('systemd-user-unit');
  const container = toContainer(flags);
  const process = {
    ...(exe !== undefined && { exe }),
    ...(script !== undefined && { script }),
    ...(user !== undefined && { user }),
    ...(args.length > 0 && { args }),
    ...(env.length > 0 && { env }),
    ...(argsRegex !== undefined && { argsRegex }),
  };
  const clause = {
    ...(systemdUnit !== undefined && { systemdUnit }),
    ...(systemdUserUnit !== undefined && { systemdUserUnit }),
    ...(container !== undefined && { container }),
    ...(cgroup !== undefined && { cgroup }),
    ...(Object.keys(process).length > 0 && { process }),
    ...(listen.length > 0 && { listen }),
  };
  return Object.keys(clause).length > 0 ? clause : undefined;
}

function toContainer(flags: Flags): ClauseLike['container'] | undefined {
  const name = flags.text('container');
  const image = flags.text('container-image');
  const labels = flags.list('container-label');
  const container = {
    ...(name !== undefined && { name }),
    ...(image !== undefined && { image }),
    ...(labels.length > 0 && { labels: toPairs(labels, '--container-label') }),
  };
  return Object.keys(container).length > 0 ? container : undefined;
}

function parseClause(text: string): unknown {
  const parsed = parseDocuments(text, 'yaml');
  if (!parsed.ok) throw new Failure(2, `--match "${text}": ${parsed.errors[0]!.message}`);
  const [document] = parsed.value;
  const value = document?.value;
  if (parsed.value.length !== 1 || typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Failure(2, `--match "${text}": expected one clause, such as {systemdUnit: nginx.service}`);
  }
  return value;
}
