import { readFileSync } from 'node:fs';
import { formatLabel } from '../core/label.ts';
import { cgroupChain, isUnitCgroup } from '../core/match-clause.ts';
import type { Container } from '../core/match-place.ts';

/** What the host knows of a process besides its registration. */
export interface DerivedSources {
  readonly hostLabels: Readonly<Record<string, string>>;
  readonly tags: () => readonly (readonly [key: string, value: string])[];
  readonly containerOf: (cgroup: string) => Container | undefined;
  readonly packageOf: (path: string) => string | undefined;
}

export interface DerivedFrom {
  /** Of the host's own tree; absent in a container. */
  readonly exe?: string | undefined;
  readonly user?: string | undefined;
  readonly cgroup?: string | undefined;
}

const KEPT = 5_000;

/**
 * Labels that nobody registered: `systemd:unit systemd:slice process:exe process:user process:package container:image
 * container:<label> host:os host:<label> cloud:tag/<key>`. Beside the labels of the identity; in them only what `labelsFrom` of a
 * workload names (derived-identity.ts).
 */
export class DerivedLabels {
  readonly #sources: DerivedSources;
  readonly #host: readonly string[];
  /** Most processes look like another: one list for all of those. */
  readonly #lists = new Map<string, readonly string[]>();

  constructor(sources: DerivedSources, osRelease = '/etc/os-release') {
    this.#sources = sources;
    const os = osOf(osRelease);
    this.#host = [
      ...(os === undefined ? [] : [label('host', 'os', os)]),
      ...Object.entries(sources.hostLabels).map(([key, value]) => label('host', key, value)),
    ];
  }

  /** Those that every process here has. Sorted. */
  ofHost(): readonly string[] {
    return [...this.#host, ...this.#sources.tags().map(([name, value]) => label('cloud', `tag/${name}`, value))].sort();
  }

  /** Sorted. */
  of({ exe, user, cgroup }: DerivedFrom): readonly string[] {
    const container = cgroup === undefined ? undefined : this.#sources.containerOf(cgroup);
    const owner = exe === undefined || container !== undefined ? undefined : this.#sources.packageOf(exe);
    const tags = this.#sources.tags();
    const key = JSON.stringify([exe, user, cgroup, container?.id, container?.image, owner, tags]);
    const known = this.#lists.get(key);
    if (known !== undefined) return known;
    const list = [
      ...(cgroup === undefined ? [] : unitLabels(cgroup)),
      ...(exe === undefined ? [] : [label('process', 'exe', exe)]),
      ...(user === undefined ? [] : [label('process', 'user', user)]),
      ...(owner === undefined ? [] : [label('process', 'package', owner)]),
      ...(container === undefined ? [] : containerLabels(container)),
      ...this.ofHost(),
    ].sort();
    if (this.#lists.size >= KEPT) this.#lists.clear();
    this.#lists.set(key, list);
    return list;
  }
}

function unitLabels(cgroup: string): string[] {
  const chain = cgroupChain(cgroup);
  const nameOf = (path: string | undefined): string | undefined => path?.split('/').at(-1);
  const unit = nameOf(chain.find((path) => isUnitCgroup(path, (name) => /\.(service|scope|socket)$/.test(name))));
  const slice = nameOf(chain.findLast((path) => isUnitCgroup(path, (name) => name.endsWith('.slice'))));
  return [
    ...(unit === undefined ? [] : [label('systemd', 'unit', unit)]),
    ...(slice === undefined ? [] : [label('systemd', 'slice', slice)]),
  ];
}

function containerLabels({ name, image, labels }: Container): string[] {
  return [
    label('container', 'name', name),
    ...(image === '' ? [] : [label('container', 'image', image)]),
    ...Object.entries(labels).map(([key, value]) => label('container', key, value)),
  ];
}

function label(source: string, key: string, value: string): string {
  return formatLabel({ source, key, value });
}

/** `debian-12`, as os-release(5) says it. */
function osOf(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    const read = (name: string) => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(text)?.[1];
    return [read('ID'), read('VERSION_ID')].filter(Boolean).join('-') || undefined;
  } catch {
    return undefined;
  }
}
