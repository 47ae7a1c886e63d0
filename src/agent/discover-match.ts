import { isInterpreter, isJava, scriptOf } from '../core/interpreter.ts';
import { MATCH_LIMITS, type MatchClause } from '../core/workload.ts';
import { toName } from './discover-name.ts';
import type { HostProcess } from './process-scan.ts';
import { isFailsafe, isSystemd, type Service } from './service-groups.ts';

export interface Suggestion {
  readonly match: MatchClause;
  readonly name: string;
  /** 0..1; 1 = a unit or container that runs one program. */
  readonly confidence: number;
  readonly notes: readonly string[];
  readonly isFailsafe: boolean;
}

/** What would name this service and none of the others, as far as one look at the host tells. */
export function suggestMatch(service: Service, all: readonly Service[]): Suggestion {
  const { main, unit } = service;
  const draft =
    main.pid === 1
      ? heldBySystemd(service)
      : service.container !== undefined || unit?.kind === 'container'
        ? byContainer(service)
        : byProcess(service, all);
  const notes = [...draft.notes];
  let confidence = draft.confidence;
  if (isInterpreter(main.exe) && draft.match.systemdUnit === undefined) confidence -= 0.2;
  const others = service.members.filter((member) => member.exe !== main.exe && !isSystemd(member));
  if (others.length > 0) {
    confidence -= 0.3;
    notes.push(`shares its listener with ${others[0]!.exe ?? `pid ${others[0]!.pid}`}`);
  }
  if (main.isExeGone) notes.push('its file was replaced since it was started: the match holds from the next start on');
  if (isFailsafe(main.exe)) notes.push('ahead of policy: a name is for its flows, no rule cuts it off');
  return {
    match: draft.match,
    name: toName(draft.name),
    confidence: Math.max(0.1, Math.round(confidence * 100) / 100),
    notes,
    isFailsafe: isFailsafe(main.exe),
  };
}

interface Draft {
  readonly match: MatchClause;
  readonly name: string;
  readonly confidence: number;
  readonly notes: readonly string[];
}

function heldBySystemd({ sockets }: Service): Draft {
  const listen = sockets.map(({ protocol, port }) => `${port}/${protocol === 6 ? 'tcp' : 'udp'}`);
  return {
    match: { listen: [...new Set(listen)].slice(0, MATCH_LIMITS.listen) },
    name: `port-${sockets[0]?.port ?? 0}`,
    confidence: 0.3,
    notes: ['systemd holds the socket for a unit that is not running: better name that unit'],
  };
}

function byContainer({ main, unit, container }: Service): Draft {
  if (container !== undefined)
    return {
      match: { container: { name: escapeGlob(container.name) } },
      name: container.name,
      confidence: 1,
      notes: ['a container, known by its name when its runtime says that it has started'],
    };
  return {
    match: { cgroup: unit!.path },
    name: `${baseName(main)}-${/[0-9a-f]{6}/.exec(unit!.name)?.[0] ?? 'container'}`,
    confidence: 1,
    notes: ['a container: its cgroup changes when it is made again'],
  };
}

function byProcess(service: Service, all: readonly Service[]): Draft {
  const { main, unit } = service;
  const isUnit = unit?.kind === 'service' || unit?.kind === 'scope';
  const isAlone = isUnit && all.every((other) => other === service || other.unit?.path !== unit.path);
  if (isAlone) return { match: { systemdUnit: unit.name }, name: unitName(unit.name), confidence: 1, notes: [] };
  const args = tellingArgs(service, all);
  const process = describe(main, args);
  const name = nameOf(main, args);
  if (isUnit)
    return {
      match: { systemdUnit: unit.name, process },
      name,
      confidence: 0.9,
      notes: [`one of several programs in ${unit.name}`],
    };
  if (!main.isHostPath) {
    return {
      match: { cgroup: main.cgroup },
      name,
      confidence: 0.5,
      notes: ['its executable is not of this host: a container or a namespace of its own'],
    };
  }
  if (unit?.kind === 'session') {
    return { match: { process }, name, confidence: 0.7, notes: [`started by hand in ${unit.name}`] };
  }
  return { match: { process }, name, confidence: 0.8, notes: ['runs in no unit'] };
}

function describe(main: HostProcess, args: readonly string[]): NonNullable<MatchClause['process']> {
  return {
    ...(main.exe === undefined || !main.isHostPath ? {} : { exe: escapeGlob(main.exe) }),
    user: main.user,
    ...(args.length === 0 ? {} : { args: args.map(escapeArg) }),
  };
}

/** The script of an interpreter, and what no like process has: at most three, never what looks like a secret. */
function tellingArgs(service: Service, all: readonly Service[]): string[] {
  const { main } = service;
  const script = scriptOf(main);
  const like = all.filter((other) => other !== service && other.main.exe === main.exe && other.main.uid === main.uid);
  const same = new Set(like.flatMap((other) => other.main.args.slice(1)));
  const own = main.args.slice(1).filter((arg) => !same.has(arg) && arg !== script && isTelling(arg));
  const needed = script !== undefined && !like.some((other) => other.main.args.includes(script));
  const differ = like.length > 0 && !needed ? own.sort(byWeight).slice(0, 2) : [];
  const isScripted = isInterpreter(main.exe) || isJava(main.exe);
  return [...differ, ...(isScripted && script !== undefined && isTelling(script) ? [script] : [])];
}

function isTelling(arg: string): boolean {
  return (
    arg !== '' &&
    Buffer.byteLength(arg) <= MATCH_LIMITS.argBytes &&
    !/[\n]/.test(arg) &&
    !/pass|secret|token|credential|api.?key/i.test(arg)
  );
}

/** A path or a setting says more than a flag. */
function byWeight(a: string, b: string): number {
  return weight(b) - weight(a);
}

function weight(arg: string): number {
  return (arg.includes('=') ? 2 : 0) + (arg.includes('/') ? 1 : 0);
}

/** The program, and what tells this instance from its like: `worker`, `java-tc1`, `orders` of orders.jar. */
function nameOf(main: HostProcess, args: readonly string[]): string {
  const script = scriptOf(main);
  const differing = args.find((arg) => arg !== script);
  const mainClass = isJava(main.exe) && !script?.endsWith('.jar') ? script?.split('.').at(-1) : undefined;
  const suffix = differing === undefined ? mainClass : tail(differing);
  return suffix === undefined ? baseName(main) : `${baseName(main)}-${suffix}`;
}

function baseName(main: HostProcess): string {
  const script = scriptOf(main);
  const isNamedByScript = script !== undefined && (isInterpreter(main.exe) || script.endsWith('.jar'));
  const base = isNamedByScript ? tail(script) : tail(main.exe ?? main.args[0] ?? '');
  return base.replace(/\.(py|js|mjs|cjs|ts|pl|rb|sh|php|jar)$/, '') || 'service';
}

function tail(arg: string): string {
  const value = arg.split('=').at(-1)!;
  return (
    value
      .split('/')
      .filter((part) => part !== '')
      .at(-1) ?? value
  );
}

function unitName(unit: string): string {
  return unit.replace(/\.(service|scope)$/, '');
}

function escapeGlob(path: string): string {
  return path.replace(/[\\*?[]/g, '\\$&');
}

function escapeArg(arg: string): string {
  return arg.replace(/[\\*]/g, '\\$&');
}
