import { type FSWatcher, readdirSync, readFileSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { SocketServices } from '../core/match-sockets.ts';

/** Where systemd looks for units of the system manager, the first wins (systemd.unit(5)). */
export const UNIT_FOLDERS: readonly string[] = [
  '/etc/systemd/system.control',
  '/run/systemd/system.control',
  '/run/systemd/transient',
  '/run/systemd/generator.early',
  '/etc/systemd/system',
  '/run/systemd/system',
  '/run/systemd/generator',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
  '/run/systemd/generator.late',
];

/** Socket units of this host that by `Service=` start another unit than the one of their own name. */
export interface SocketUnitFiles {
  /** Reads again what changed: a dozen stat calls when nothing did. */
  read(): SocketServices;
  /** Calls back soon after a unit file has changed, until the returned function is called. */
  watch(onChange: () => void): () => void;
}

/** Files are written in bursts, and read before systemd is told to. */
const SOON_MS = 10;

export function createSocketUnitFiles(folders: readonly string[] = UNIT_FOLDERS): SocketUnitFiles {
  let version = '';
  let services: SocketServices = new Map();
  let dropIns: readonly string[] = [];
  return {
    read: () => {
      const now = [...folders, ...dropIns].map(versionOf).join();
      if (now === version) return services;
      const names = folders.map((folder) => ({ folder, names: list(folder) }));
      dropIns = names.flatMap(({ folder, names }) =>
        names.filter((name) => name.endsWith('.socket.d')).map((name) => join(folder, name)),
      );
      services = readServices(names, dropIns);
      version = [...folders, ...dropIns].map(versionOf).join();
      return services;
    },
    watch: (onChange) => {
      let timer: NodeJS.Timeout | undefined;
      const changed = (_: string, name: string | null): void => {
        if (name !== null && !/\.socket(\.d)?$/.test(name)) return;
        version = '';
        timer ??= setTimeout(() => {
          timer = undefined;
          onChange();
        }, SOON_MS);
      };
      const watchers = folders.flatMap((folder) => watchFolder(folder, changed));
      return () => {
        clearTimeout(timer);
        for (const watcher of watchers) watcher.close();
      };
    },
  };
}

/** None for a folder that is not there: what comes into it later is seen by the next look. */
function watchFolder(folder: string, changed: (event: string, name: string | null) => void): FSWatcher[] {
  try {
    return [watch(folder, { persistent: false }, changed).on('error', () => {})];
  } catch {
    return [];
  }
}

function readServices(
  folders: readonly { readonly folder: string; readonly names: readonly string[] }[],
  dropIns: readonly string[],
): SocketServices {
  const files = new Map<string, string>();
  for (const { folder, names } of folders)
    for (const name of names) if (name.endsWith('.socket') && !files.has(name)) files.set(name, join(folder, name));
  const services = new Map<string, string>();
  for (const [name, file] of files) {
    const more = dropIns
      .filter((folder) => folder.endsWith(`/${name}.d`))
      .flatMap((folder) =>
        list(folder)
          .filter((drop) => drop.endsWith('.conf'))
          .map((drop) => join(folder, drop)),
      );
    const service = serviceOf([file, ...more.sort(byName)].map(readText));
    if (service !== undefined) services.set(name, service);
  }
  return services;
}

/** The last `Service=` of the [Socket] section; undefined = none, or emptied. */
function serviceOf(texts: readonly string[]): string | undefined {
  let service: string | undefined;
  for (const text of texts) {
    let section = '';
    for (const line of text.split('\n')) {
      section = /^\s*\[(\w+)\]\s*$/.exec(line)?.[1] ?? section;
      const value = section === 'Socket' ? /^\s*Service\s*=\s*(.*?)\s*$/.exec(line)?.[1] : undefined;
      if (value !== undefined) service = value === '' ? undefined : value;
    }
  }
  return service;
}

/** Drop-ins apply in the order of their names, whatever their folder. */
function byName(a: string, b: string): number {
  const [x, y] = [a, b].map((path) => path.slice(path.lastIndexOf('/')));
  return x! < y! ? -1 : 1;
}

function versionOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.ino} ${stat.mtimeMs}`;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
