import { chmodSync, copyFileSync, realpathSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type HostProcess,
  parseArgs,
  parseCgroup,
  parseStat,
  readProcess,
  scanProcesses,
  toFacts,
} from '../../src/agent/process-scan.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import { skip } from '../skip.ts';
import { cgroupRoot, isRoot, RealHost } from './real.ts';

const test = suite('process scan');
const users = createUserNames();
const host = new RealHost();
test.after(() => host.close());

const SLEEP = '/bin/sh';
const script = ['-c', 'echo up; exec sleep 600'];

// A tmpfs with the host's libraries bound into it: as a container looks.
const CHROOT = `
set -e
mount -t tmpfs none "$1"
mkdir "$1/bin"
cp /bin/sleep "$1/bin/"
for library in /lib /lib64 /usr; do
  [ -e $library ] || continue
  mkdir "$1$library"
  mount --rbind $library "$1$library"
done
echo up
exec chroot "$1" /bin/sleep 600
`;

test('a process is read with its file, arguments, user, parent and start', async () => {
  const { pid } = await host.start(SLEEP, ['-c', 'echo up; read line; :', 'zero', ''], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const read = readProcess(pid, users)!;
  assert.is(read.ppid, process.pid);
  assert.equal(read.args, [SLEEP, '-c', 'echo up; read line; :', 'zero', '']);
  assert.match(read.exe!, /^\/(usr\/)?bin\/(dash|bash|busybox)$/);
  assert.is(read.isExeGone, false);
  assert.is(read.isHostPath, true);
  assert.is(read.uid, process.getuid!());
  assert.ok(Math.abs(Date.parse(read.startedAt) - Date.now()) < 60_000);
  assert.is(read.netns, readProcess(process.pid, users)!.netns);
});

test('the scan finds this process, and no kernel thread', () => {
  const pids = scanProcesses(users).map(({ pid }) => pid);
  assert.ok(pids.includes(process.pid));
  assert.not.ok(pids.includes(2));
});

test('a process that is gone, or a pid that never was, is undefined', async () => {
  assert.is(readProcess(4_194_304, users), undefined);
});

test('a file that was replaced after the start is told, under its own path', async () => {
  const program = join(host.folder, 'sleeper');
  copyFileSync('/bin/sleep', program);
  chmodSync(program, 0o755);
  const { pid } = await host.start('/bin/sh', ['-c', `echo up; exec ${program} 600`]);
  await untilRead(pid, (read) => read.exe === program);
  assert.is(readProcess(pid, users)!.isExeGone, false);
  writeFileSync(`${program}.new`, '');
  renameSync(`${program}.new`, program);
  const read = readProcess(pid, users)!;
  assert.is(read.exe, program);
  assert.is(read.isExeGone, true);
});

test('a file whose name ends in " (deleted)" is not taken for a deleted one', async () => {
  const program = join(host.folder, 'odd (deleted)');
  copyFileSync('/bin/sleep', program);
  chmodSync(program, 0o755);
  const { pid } = await host.start('/bin/sh', ['-c', 'echo up; exec "$1" 600', 'sh', program]);
  await untilRead(pid, (read) => read.exe === program);
  assert.is(readProcess(pid, users)!.isExeGone, false);
});

if (isRoot) {
  test('the effective user counts, by name', async () => {
    const { pid } = await host.start(SLEEP, script, { uid: 65534, gid: 65534 });
    const read = readProcess(pid, users)!;
    assert.is(read.uid, 65534);
    assert.is(read.user, 'nobody');
  });

  test('in a user namespace of its own no path is believed', async () => {
    const { pid } = await host.start('unshare', ['--user', '--map-root-user', '--mount', '/bin/sh', ...script], {
      uid: 65534,
      gid: 65534,
    });
    const read = readProcess(pid, users)!;
    assert.is(read.isHostPath, false);
    assert.is(toFacts(read).exe, undefined);
  });

  test('in another root file system no path is believed, in a private mount namespace it is', async () => {
    const own = await host.start('unshare', ['--mount', '/bin/sh', '-c', 'echo up; exec sleep 600']);
    assert.is(readProcess(own.pid, users)!.isHostPath, true);
    const other = await host.start('unshare', ['--mount', '/bin/sh', '-c', CHROOT, 'sh', host.folder]);
    await untilRead(other.pid, (read) => read.args[0] === '/bin/sleep');
    assert.is(readProcess(other.pid, users)!.isHostPath, false);
  });
} else {
  skip(test, 'other users and namespaces', 'root: starts processes of other users');
}

if (isRoot && cgroupRoot() !== undefined) {
  test('the cgroup is told below the cgroup2 root', async () => {
    const name = `postern-test-scan-${process.pid}`;
    const { pid } = await host.start(SLEEP, script, { cgroup: host.cgroup(`${name}/web.service`) });
    assert.is(readProcess(pid, users)!.cgroup, `/${name}/web.service`);
  });
} else {
  skip(test, 'the cgroup is told below the cgroup2 root', 'root: makes a cgroup');
}

test('the script is the resolved file of a #! line or of an interpreter, relative names too', async () => {
  const path = realpathSync(host.file('worker.sh', `#!/bin/sh\necho up\nread line\n`, 0o755));
  const link = join(dirname(path), 'link.sh');
  symlinkSync(path, link);
  for (const [exe, args] of [
    [path, []],
    [SLEEP, [link, 'x']],
    [SLEEP, ['-e', './worker.sh']],
  ] as const) {
    const { pid } = await host.start(exe, [...args], { cwd: dirname(path), stdio: ['pipe', 'pipe', 'inherit'] });
    const read = readProcess(pid, users)!;
    assert.is(read.script, path, `${exe} ${args.join(' ')}`);
    assert.is(toFacts(read).script, path);
  }
  const { pid } = await host.start(SLEEP, ['-c', 'echo up; read line; :', path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  assert.is(readProcess(pid, users)!.script, undefined);
});

test('the environment is read only when asked for, as given to execve', async () => {
  const { pid } = await host.start(SLEEP, ['-c', 'export A=2; echo up; read line; :'], {
    env: { A: '1', EMPTY: '' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  assert.is(readProcess(pid, users)!.env, undefined);
  const read = readProcess(pid, users, '/proc', true)!;
  assert.equal([...read.env!].sort(), ['A=1', 'EMPTY=']);
  assert.equal(toFacts(read).env, read.env);
});

test('names of users go both ways', () => {
  const passwd = host.file(
    'passwd',
    'root:x:0:0::/root:/bin/sh\n# note\nalice:x:4242:1::/:/bin/sh\ntwin:x:4242:1::/:/bin/sh\n+::::::\n',
  );
  const names = createUserNames(passwd);
  assert.is(names.nameOf(4242), 'alice');
  assert.is(names.uidOf('twin'), 4242);
  assert.is(names.nameOf(3_999_999_999), '3999999999');
  assert.is(names.uidOf('nobody-of-that-name'), undefined);
  host.file('passwd', 'bob:x:4242:1::/:/bin/sh\n');
  assert.is(names.nameOf(4242), 'bob');
  assert.is(names.uidOf('twin'), undefined);
});

test('a name with parentheses and spaces does not shift the fields of stat', () => {
  const rest = `S 7 1 1 0 -1 4194560 ${'0 '.repeat(12)}182808 1 2`;
  assert.equal(parseStat(`12 (a) b (c)) ${rest}`), {
    ppid: 7,
    startTicks: 182808,
    isKernelThread: false,
    isZombie: false,
  });
});

test('the cgroup2 line is found among those of cgroup v1', () => {
  assert.is(
    parseCgroup('9:name=systemd:/init.scope\n1:cpu:/\n0::/system.slice/a.service\n'),
    '/system.slice/a.service',
  );
  assert.is(parseCgroup('1:cpu:/x\n'), '/');
});

test('empty arguments are arguments', () => {
  assert.equal(parseArgs('a\0\0b\0'), ['a', '', 'b']);
  assert.equal(parseArgs(''), []);
});

test.run();

/** A shell that has printed is about to exec. */
async function untilRead(pid: number, holds: (read: HostProcess) => boolean): Promise<void> {
  for (;;) {
    const read = readProcess(pid, users);
    assert.ok(read, `pid ${pid} has ended`);
    if (holds(read)) return;
    await new Promise(setImmediate);
  }
}
