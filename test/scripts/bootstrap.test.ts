import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { missingPackages } from '../../scripts/npm-packages.mjs';

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
