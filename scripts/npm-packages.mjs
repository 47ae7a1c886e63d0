import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './run-command.mjs';

/**
 * Makes node_modules what package-lock.json says, by `npm ci`, and touches nothing when it is so already.
 * What is installed is read from npm's own record (node_modules/.package-lock.json, written last), so an
 * interrupted install is seen as missing. Install scripts stay off (.npmrc): none is needed.
 * `need: 'runtime'` is content without the development packages; `install: 'runtime'` leaves them out. A checkout
 * installs all at once, so that `npm test` does not replace the packages below a running `npm start`.
 */
export function ensureNpmPackages(root, { need, install }) {
  const dev = need === 'all';
  const wanted = lockedPackages(join(root, 'package-lock.json'));
  const installed = lockedPackages(join(root, 'node_modules', '.package-lock.json'));
  const missing = missingPackages(wanted, installed, { dev });
  if (missing.length === 0) return `all ${Object.keys(installed).length} present`;
  const npm = process.env.npm_execpath;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', ...(install === 'runtime' ? ['--omit=dev'] : [])];
  const env = { ...process.env, PATH: withoutOurBin(root) };
  if (npm?.endsWith('.js'))
    runCommand(process.env.npm_node_execpath ?? process.execPath, [npm, ...args], { cwd: root, env });
  else runCommand('npm', args, { cwd: root, env });
  const still = missingPackages(wanted, lockedPackages(join(root, 'node_modules', '.package-lock.json')), { dev });
  if (still.length > 0) throw new Error(`"npm ci" left out ${still.slice(0, 5).join(', ')}`);
  return `installed (${missing.length} were missing or of another version)`;
}

/** Names of the locked packages that this machine should have and has not, or has in another version. */
export function missingPackages(wanted, installed, { dev }) {
  return Object.entries(wanted)
    .filter(([path, entry]) => {
      const have = installed[path];
      if (have) return have.version !== entry.version || have.integrity !== entry.integrity;
      if (entry.dev && !dev) return false;
      return !(entry.optional && !fitsMachine(entry)) && !entry.peer;
    })
    .map(([path]) => path.replace(/^node_modules\//, ''));
}

function lockedPackages(path) {
  try {
    const { packages } = JSON.parse(readFileSync(path, 'utf8'));
    return Object.fromEntries(
      Object.entries(packages).filter(([key, entry]) => key.includes('node_modules/') && !entry.link),
    );
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw error;
  }
}

function fitsMachine(entry) {
  const listed = (names, mine) => !names || names.includes(mine);
  return listed(entry.os, process.platform) && listed(entry.cpu, process.arch) && listed(entry.libc, libc());
}

function libc() {
  return process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
}

/** node_modules/.bin holds the pinned Node, and `npm ci` deletes that folder first: npm must run on another. */
function withoutOurBin(root) {
  const own = join(root, 'node_modules', '.bin');
  return (process.env.PATH ?? '')
    .split(':')
    .filter((folder) => folder !== own)
    .join(':');
}
