import { type Affix, type Glob, globAffix, globLiteral, globMatches, globsOverlap, toGlob } from './glob.ts';

/**
 * Socket units whose `Service=` names a unit that is not the one of their own name: `Service=backend.service` in
 * `front.socket`. By socket unit; a template (`front@.socket`) may have `%i` in its value.
 */
export type SocketServices = ReadonlyMap<string, string>;

/** For one unit pattern: socket units that start what it names, and those that do not although their name says so. */
export interface SocketUnits {
  readonly also: readonly string[];
  readonly not: readonly string[];
}

const NONE: SocketUnits = { also: [], not: [] };

/** Patterns of names of socket units, sorted. Undefined = nothing but what names say. */
export function socketUnitsOf(unit: Glob | undefined, services: SocketServices): SocketUnits | undefined {
  if (unit === undefined || services.size === 0) return undefined;
  const also: string[] = [];
  const not: string[] = [];
  for (const [socket, service] of services) {
    const started = socketStarting(unit, socket, service);
    if (started !== undefined) also.push(started);
    const named = socket.includes('@.') ? socket.replace('@.', '@*.') : socket;
    if (started === undefined && ownServices(named).some((own) => globsOverlap(unit, toGlob(own)))) not.push(named);
  }
  return also.length + not.length === 0 ? undefined : { also: also.sort(), not: not.sort() };
}

/** Does a unit pattern with these socket units hold for a cgroup of this name? */
export function isNamedUnit(unit: Glob, name: string, { also, not }: SocketUnits = NONE): boolean {
  if (also.some((pattern) => globMatches(toGlob(pattern), name))) return true;
  const isElsewhere = not.some((pattern) => globMatches(toGlob(pattern), name));
  return (isElsewhere ? [name] : unitNames(name)).some((own) => globMatches(unit, own));
}

/** As the kernel takes them. */
export function socketAffixes({ also }: SocketUnits): Affix[] {
  return also.map((pattern) => globAffix(toGlob(pattern))!);
}

/** Socket units whose names say nothing of what they start. */
export function elsewhereAffixes({ not }: SocketUnits = NONE): Affix[] {
  return not.map((pattern) => globAffix(toGlob(pattern))!);
}

/**
 * Units whose label the cgroup of that name carries: a socket unit's listener is the service's that it starts by its
 * own name, `x.service` or, with Accept=yes, an instance of `x@.service`.
 */
export function unitNames(name: string): readonly string[] {
  return name.endsWith('.socket') ? [name, ...ownServices(name)] : [name];
}

function ownServices(socket: string): string[] {
  const stem = socket.slice(0, -'.socket'.length);
  return [`${stem}.service`, `${stem}@.service`];
}

function socketStarting(unit: Glob, socket: string, service: string): string | undefined {
  const literal = globLiteral(unit);
  if (!socket.includes('@.')) return globMatches(unit, service) ? socket : undefined;
  if (!service.includes('%i')) return globMatches(unit, service) ? socket.replace('@.', '@*.') : undefined;
  const [before = '', after = ''] = service.split('%i');
  if (literal === undefined)
    return globsOverlap(unit, toGlob(`${before}*${after}`)) ? socket.replace('@.', '@*.') : undefined;
  const isInstance =
    literal.startsWith(before) && literal.endsWith(after) && literal.length > before.length + after.length;
  return isInstance
    ? socket.replace('@.', `@${literal.slice(before.length, literal.length - after.length)}.`)
    : undefined;
}
