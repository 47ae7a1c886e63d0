import { type Glob, globMatches, globsOverlap, parseGlob, toGlob } from './glob.ts';
import type { Parsed } from './match-listen.ts';
import { parseUnit } from './match-unit.ts';

/**
 * Parts of a clause that say where a process runs and that only the host can turn into a cgroup: a unit of a user's own
 * manager (the user has a number there), a container (it has a cgroup while it runs).
 */
export interface UserUnit {
  /** Name or number. */
  readonly user: string;
  readonly unit: Glob;
}

export interface ContainerPattern {
  readonly name?: Glob;
  /** As the runtime prints it. */
  readonly image?: Glob;
  readonly labels: readonly (readonly [key: string, value: Glob])[];
}

/** As written in a registration. */
export interface ContainerMatch {
  readonly name?: string;
  readonly image?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** One running container, as its runtime tells. */
export interface Container {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Without leading slash; the container and all below it. */
  readonly cgroup: string;
}

export const USER_UNIT_FORMS = ['alice/backup.service', '1000/worker@*.service'] as const;

/** `alice/backup.service`; throws on what validation refuses. */
export function toUserUnit(text: string): UserUnit {
  const slash = text.indexOf('/');
  return { user: text.slice(0, slash), unit: toGlob(text.slice(slash + 1)) };
}

/** @param isUser whether it can be the name or the number of one */
export function parseUserUnit(text: string, isUser: (user: string) => boolean): Parsed<UserUnit> {
  const slash = text.indexOf('/');
  const user = text.slice(0, Math.max(0, slash));
  if (!isUser(user)) return { ok: false, message: 'must be USER/UNIT, with the name or the number of a user' };
  const unit = parseUnit(text.slice(slash + 1));
  return unit.ok ? { ok: true, value: { user, unit: unit.value } } : unit;
}

/**
 * The cgroups of a user's unit: at any depth below that user's manager, as its own slices say.
 *
 * @param root cgroup of the system's manager, `/` unless the agent was given another one
 */
export function userUnitCgroup(uid: number | string, { unit }: UserUnit, root = '/'): Glob {
  const top = [...root.split('/').filter(Boolean), 'user.slice'].join('/');
  return toGlob(`${top}/user-${uid}.slice/user@${uid}.service**/${unit.source}`);
}

export function toContainerPattern({ name, image, labels = {} }: ContainerMatch): ContainerPattern {
  return {
    ...(name === undefined ? {} : { name: toGlob(name) }),
    ...(image === undefined ? {} : { image: toGlob(image) }),
    labels: Object.entries(labels).map(([key, value]) => [key, toGlob(value)] as const),
  };
}

export function containerMatches(pattern: ContainerPattern, { name, image, labels }: Container): boolean {
  if (pattern.name !== undefined && !globMatches(pattern.name, name)) return false;
  if (pattern.image !== undefined && !globMatches(pattern.image, image)) return false;
  return pattern.labels.every(([key, value]) => Object.hasOwn(labels, key) && globMatches(value, labels[key]!));
}

/** Its cgroup as a pattern that means only itself. */
export function containerCgroup({ cgroup }: Container): Glob {
  return toGlob(cgroup.replace(/[\\*?[]/g, '\\$&'));
}

export function userUnitsOverlap(a: UserUnit, b: UserUnit): boolean {
  const sameUser = a.user === b.user || /^\d+$/.test(a.user) !== /^\d+$/.test(b.user);
  return sameUser && globsOverlap(a.unit, b.unit);
}

export function containersOverlap(a: ContainerPattern, b: ContainerPattern): boolean {
  const apart = (x: Glob | undefined, y: Glob | undefined) => x !== undefined && y !== undefined && !globsOverlap(x, y);
  const others = new Map(b.labels);
  return (
    !apart(a.name, b.name) &&
    !apart(a.image, b.image) &&
    a.labels.every(([key, value]) => !apart(value, others.get(key)))
  );
}

/** What of a `container` is no pattern: field and message. */
export function containerProblems(container: ContainerMatch): { field: string; value: string; message: string }[] {
  const { name, image, labels = {} } = container;
  const fields = Object.entries({
    name,
    image,
    ...Object.fromEntries(Object.entries(labels).map(([k, v]) => [`labels/${k}`, v])),
  });
  return fields.flatMap(([field, value]) => {
    const parsed = value === undefined ? undefined : parseGlob(value);
    return parsed === undefined || parsed.ok
      ? []
      : [{ field, value: value!, message: `${parsed.message} (column ${parsed.column})` }];
  });
}
