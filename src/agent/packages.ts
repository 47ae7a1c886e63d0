import { execFile } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Paths that are asked for within this time go into one question. */
const GATHER_MS = 500;
const AT_ONCE = 64;
const KEPT = 10_000;
const ASK_MS = 10_000;

/** A database of installed packages: what asks it, and the files of which one changes when something is installed. */
interface Database {
  readonly changed: readonly string[];
  owners(paths: readonly string[]): Promise<ReadonlyMap<string, string>>;
}

/**
 * Which Debian or RPM package a file is of. Asked in the background and remembered until the database changes: the first
 * answer about a path is undefined, a later one has the name.
 */
export class Packages {
  readonly #database = findDatabase();
  readonly #onAnswer: () => void;
  readonly #known = new Map<string, string | undefined>();
  readonly #wanted = new Set<string>();
  #version = '';
  #timer: NodeJS.Timeout | undefined;
  #asking: Promise<void> | undefined;

  /** @param onAnswer some name is known now */
  constructor(onAnswer: () => void) {
    this.#onAnswer = onAnswer;
  }

  /** Whether `of` says all there is to say of a path. */
  knows(path: string): boolean {
    if (this.#database !== undefined && !this.#known.has(path)) this.of(path);
    return this.#database === undefined || this.#known.has(path);
  }

  of(path: string): string | undefined {
    if (this.#database === undefined) return undefined;
    if (this.#known.has(path)) return this.#known.get(path);
    this.#wanted.add(path);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#asking ??= this.#ask(this.#database!).finally(() => {
        this.#asking = undefined;
      });
    }, GATHER_MS).unref();
    return undefined;
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #ask(database: Database): Promise<void> {
    const version = versionOf(database.changed);
    if (version !== this.#version || this.#known.size > KEPT) this.#known.clear();
    this.#version = version;
    while (this.#wanted.size > 0) {
      const paths = [...this.#wanted].slice(0, AT_ONCE);
      const owners = await database.owners(paths).catch(() => new Map<string, string>());
      for (const path of paths) {
        this.#known.set(path, owners.get(path));
        this.#wanted.delete(path);
      }
      if (owners.size > 0) this.#onAnswer();
    }
  }
}

/** Of its SQLite, ndb and Berkeley formats. The folder does not change, and SQLite's `-shm` does whenever it is asked. */
const RPM_FILES = ['rpmdb.sqlite', 'rpmdb.sqlite-wal', 'Packages.db', 'Packages'];

function findDatabase(): Database | undefined {
  if (existsSync('/var/lib/dpkg/status') && existsSync('/usr/bin/dpkg-query'))
    return { changed: ['/var/lib/dpkg/status'], owners: debianOwners };
  const folder = ['/var/lib/rpm', '/usr/lib/sysimage/rpm'].find((path) => existsSync(path));
  if (folder === undefined || !existsSync('/usr/bin/rpm')) return undefined;
  return { changed: RPM_FILES.map((name) => `${folder}/${name}`), owners: rpmOwners };
}

/** `libc6:amd64, x: /path`; exits 1 when one of several is nobody's. A package may have the file's name without /usr. */
async function debianOwners(paths: readonly string[]): Promise<Map<string, string>> {
  const asked = new Map(paths.flatMap((path) => spellings(path).map((spelling) => [spelling, path] as const)));
  const { stdout } = await answer('/usr/bin/dpkg-query', ['--search', '--', ...asked.keys()].map(escapePattern));
  const owners = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const [, names, file] = /^([^ :]+(?::\w+)?(?:, [^ :]+(?::\w+)?)*): (\/.*)$/.exec(line) ?? [];
    const path = file === undefined ? undefined : asked.get(file);
    if (path !== undefined) owners.set(path, names!.split(', ')[0]!.split(':')[0]!);
  }
  return owners;
}

/**
 * A line for each package of each path, without the path: a file of two packages has two lines, one that is gone has none (but says
 * so). Then each is asked for alone.
 */
async function rpmOwners(paths: readonly string[]): Promise<Map<string, string>> {
  const { stdout, stderr } = await answer('/usr/bin/rpm', ['-q', '--qf', '%{NAME}\\n', '-f', '--', ...paths]);
  const lines = stdout.split('\n').slice(0, -1);
  const owners = new Map<string, string>();
  if (lines.length === paths.length && stderr === '') {
    for (const [i, line] of lines.entries()) if (!line.includes(' ')) owners.set(paths[i]!, line);
  } else if (paths.length > 1) {
    for (const path of paths) for (const [own, name] of await rpmOwners([path])) owners.set(own, name);
  } else if (lines.length > 0 && !lines[0]!.includes(' ')) {
    owners.set(paths[0]!, lines[0]!);
  }
  return owners;
}

/** Some answers are there although the program says that not all are. */
async function answer(program: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const options = { timeout: ASK_MS, maxBuffer: 4 * 1024 * 1024, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } };
  try {
    return await run(program, [...args], options);
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return { stdout, stderr };
  }
}

function spellings(path: string): string[] {
  return /^\/usr\/(bin|sbin|lib\w*)\//.test(path) ? [path, path.slice('/usr'.length)] : [path];
}

/** dpkg-query takes patterns. */
function escapePattern(path: string): string {
  return path.replace(/[\\*?[]/g, '\\$&');
}

function versionOf(paths: readonly string[]): string {
  const stats = paths.map((path) => statSync(path, { throwIfNoEntry: false }));
  return stats.map((stat) => (stat === undefined ? '' : `${stat.ino} ${stat.mtimeMs}`)).join();
}
