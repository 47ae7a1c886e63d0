import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { kernelNeeds } from '../../scripts/kernel-needs.mjs';
import { missingPackages } from '../../scripts/npm-packages.mjs';
import { until } from '../e2e/wait.ts';

const root = join(import.meta.dirname, '..', '..');
const locked = { 'node_modules/a': { version: '1.0.0', integrity: 'x' } };

test('a package of the locked version and hash is not missing', () => {
  assert.equal(missingPackages(locked, locked, { dev: true }), []);
});

test('another version or hash is missing', () => {
  const other = (change: object) => ({ 'node_modules/a': { ...locked['node_modules/a'], ...change } });
  assert.equal(missingPackages(locked, other({ version: '1.0.1' }), { dev: true }), ['a']);
  assert.equal(missingPackages(locked, other({ integrity: 'y' }), { dev: true }), ['a']);
  assert.equal(missingPackages(locked, {}, { dev: true }), ['a']);
});

test('development packages are missing only where they are needed', () => {
  const dev = { 'node_modules/a': { version: '1.0.0', dev: true } };
  assert.equal(missingPackages(dev, {}, { dev: false }), []);
  assert.equal(missingPackages(dev, {}, { dev: true }), ['a']);
});

test('what a machine lacks is named with what gives it, and a cgroup2 that only has to be mounted is not lacking', () => {
  const whole = { uid: 0, hasBtf: true, mounts: 'none /sys/fs/cgroup cgroup2 rw 0 0', filesystems: 'nodev\tcgroup2\n' };
  const needs = (change: object) => kernelNeeds({ ...whole, ...change }).join();
  assert.is(needs({}), '');
  assert.is(needs({ mounts: '' }), '');
  assert.match(
    needs({ mounts: '', filesystems: 'nodev\tcgroup\n' }),
    /^no cgroup2: needs a kernel with CONFIG_CGROUP_BPF/,
  );
  assert.match(needs({ hasBtf: false }), /^no BTF: needs a kernel with CONFIG_DEBUG_INFO_BTF/);
  assert.match(needs({ uid: 1000 }), /^not root: only the control plane starts/);
});

test('an optional package of another machine is not missing, one of this machine is', () => {
  const optional = (fields: object) => ({ 'node_modules/a': { version: '1.0.0', optional: true, ...fields } });
  assert.equal(missingPackages(optional({ cpu: ['mips'] }), {}, { dev: true }), []);
  assert.equal(missingPackages(optional({ os: ['aix'] }), {}, { dev: true }), []);
  assert.equal(missingPackages(optional({ libc: ['other'] }), {}, { dev: true }), []);
  assert.equal(missingPackages(optional({ cpu: [process.arch], os: ['linux'] }), {}, { dev: true }), ['a']);
});

test('the launcher works through a symbolic link from any folder, and passes arguments whole', () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-launcher-'));
  try {
    mkdirSync(join(folder, 'bundle only', 'dist'), { recursive: true });
    cpSync(join(root, 'postern'), join(folder, 'bundle only', 'postern'));
    const bin = join(folder, 'bundle only', 'node_modules', `node-linux-${process.arch}`, 'bin');
    mkdirSync(bin, { recursive: true });
    spawnSync('ln', ['-s', process.execPath, join(bin, 'node')]);
    writeFileSync(
      join(folder, 'bundle only', 'dist', 'postern.mjs'),
      'console.log(JSON.stringify(process.argv.slice(2)));',
    );
    spawnSync('ln', ['-s', join(folder, 'bundle only', 'postern'), join(folder, 'postern')]);
    const run = spawnSync(join(folder, 'postern'), ['a b', '*', ''], { cwd: '/', encoding: 'utf8' });
    assert.is(run.stderr, '');
    assert.equal(JSON.parse(run.stdout), ['a b', '*', '']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('the launcher without packages says how to get them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-launcher-'));
  try {
    cpSync(join(root, 'postern'), join(folder, 'postern'));
    const run = spawnSync(join(folder, 'postern'), ['status'], { encoding: 'utf8' });
    assert.is(run.status, 1);
    assert.match(run.stderr, /its packages are not installed in .*: run "npm ci" there/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('who stops npm start stops what it started', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-npm-'));
  const pidFile = join(folder, 'pid');
  const npmSignals = (pid: number) =>
    BigInt(`0x${/SigCgt:\s*(\w+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]}`);
  let pid = '';
  try {
    mkdirSync(join(folder, 'scripts'));
    cpSync(join(root, 'package.json'), join(folder, 'package.json'));
    writeFileSync(
      join(folder, 'scripts/start.sh'),
      `echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 1000`,
    );
    const npm = spawn('npm', ['start'], { cwd: folder, stdio: 'ignore' });
    const term = 1n << 14n;
    await until('npm runs the script', () => existsSync(pidFile) && (npmSignals(npm.pid!) & term) !== 0n);
    pid = readFileSync(pidFile, 'utf8').trim();
    npm.kill('SIGTERM');
    await until('its script has ended', () => !existsSync(`/proc/${pid}`), 5_000);
  } finally {
    if (existsSync(`/proc/${pid || 'none'}`)) process.kill(Number(pid));
    rmSync(folder, { recursive: true });
  }
});

test('what npm makes executable is so in the repository, and a clone stays clean', () => {
  const { bin } = JSON.parse(readFileSync(join(root, 'src/libbpf-ts/package.json'), 'utf8'));
  for (const path of Object.values<string>(bin))
    assert.is(statSync(join(root, 'src/libbpf-ts', path)).mode & 0o111, 0o111, path);
});

test('install.sh refuses what it does not know, and a dry run changes nothing', () => {
  const bad = spawnSync(join(root, 'install.sh'), ['--no-such'], { encoding: 'utf8' });
  assert.is(bad.status, 2);
  assert.match(bad.stderr, /unknown option "--no-such"/);
  const before = existsSync('/usr/lib/postern');
  const dry = spawnSync(join(root, 'install.sh'), ['--dry-run'], { encoding: 'utf8' });
  assert.is(dry.status, 0);
  assert.match(dry.stdout, /would: mv \/usr\/lib\/postern\.new \/usr\/lib\/postern/);
  assert.is(existsSync('/usr/lib/postern'), before);
});

test('the units keep bpffs writable and V8 alive', () => {
  for (const name of ['postern', 'postern-agent', 'postern-server']) {
    const unit = readFileSync(join(root, 'systemd', `${name}.service`), 'utf8');
    assert.not.match(unit, /^MemoryDenyWriteExecute=yes/m);
    if (name !== 'postern-server') assert.match(unit, /^ReadWritePaths=.*\/sys\/fs\/bpf/m);
  }
});

test.run();
