// @timeout 90
/** Scripts decided at exec: the #! file itself, and the file that an interpreter's arguments name. */
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { scriptFileOf } from '../../src/core/interpreter.ts';
import { ProcFlag } from '../../src/datapath/postern.skel.ts';
import { program } from '../core/match-world.ts';
import { told } from '../e2e/wait.ts';
import { type Driver, type Exec, type ExecLab, openExecLab } from './exec-lab.ts';

const test = suite('script at exec');
let lab: ExecLab;
let driver: Driver;

test.before(
  told(async () => {
    lab = await openExecLab();
    driver = await lab.driver();
  }),
);

test.after(async () => {
  await lab?.destroy();
});

/** A script of the program that does nothing. */
function script(name: string, firstLine: string): string {
  const path = join(lab.folder, name);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, `${firstLine}\n`);
  chmodSync(path, 0o755);
  return path;
}

type Seen = 'it' | 'another' | 'unsure';

/** What the kernel takes an exec for when this script is registered. */
async function seenAs(registered: string, exec: Omit<Exec, 'args'> & { args?: readonly string[] }): Promise<Seen> {
  lab.apply(program({ 'a/script': { process: { script: registered } } }));
  const { event, clause } = await driver.exec({ args: ['app'], ...exec });
  if ((event.flags & ProcFlag.PROC_PENDING) !== 0) {
    assert.is(event.identity, 5, 'who is pending is reserved:init');
    return 'unsure';
  }
  assert.is(event.identity !== 0, clause !== undefined);
  return clause?.workload === 'a/script' ? 'it' : 'another';
}

test('a #! file is the script, under whatever name it is started', async () => {
  const quit = lab.place(join(lab.folder, 'bin/interp'));
  const path = script('srv/worker', `#!${quit}`);
  const other = script('srv/other', `#!${quit} -x`);
  symlinkSync(path, join(lab.folder, 'srv/link'));
  symlinkSync(join(lab.folder, 'srv'), join(lab.folder, 'current'));
  assert.is(await seenAs(path, { path }), 'it');
  assert.is(await seenAs(path, { path: join(lab.folder, 'srv/link') }), 'it');
  assert.is(await seenAs(path, { path: join(lab.folder, 'current/worker') }), 'it');
  assert.is(await seenAs(path, { path: './worker', cwd: join(lab.folder, 'srv') }), 'it');
  assert.is(await seenAs(path, { path: '../srv/./link', cwd: join(lab.folder, 'bin') }), 'it');
  assert.is(await seenAs(path, { path: other }), 'another');
  assert.is(await seenAs(other, { path: other }), 'it');
  assert.is(await seenAs(path, { path: quit }), 'another');
});

test('of a script whose interpreter is a script it is the first file', async () => {
  const quit = lab.place(join(lab.folder, 'bin/interp'));
  const inner = script('chain/inner', `#!${quit}`);
  const outer = script('chain/outer', `#!${inner}`);
  assert.is(await seenAs(outer, { path: outer }), 'it');
  assert.is(await seenAs(inner, { path: outer }), 'another');
});

test('a file that a process has open to be closed by the exec is not taken for its script', async () => {
  const quit = lab.place(join(lab.folder, 'bin/interp'));
  const path = script('open/worker', `#!${quit}`);
  const other = script('open/other', `#!${quit}`);
  lab.apply(program({ 'a/script': { process: { script: path } } }));
  const { event } = await driver.exec({ path: other, args: ['app'], how: `open:${path}` });
  assert.is(event.identity, 0);
});

test('a script started by a descriptor is known', async () => {
  const quit = lab.place(join(lab.folder, 'bin/interp'));
  const path = script('fd/worker', `#!${quit}`);
  lab.apply(program({ 'a/script': { process: { script: path } } }));
  const { clause } = await driver.exec({ path, args: ['app'], how: 'descriptor' });
  assert.is(clause?.workload, 'a/script');
});

for (const [name, before] of [
  ['python3.11', []],
  ['python3', ['-u', '-W', 'ignore', '-X', 'dev', '--']],
  ['node', ['--require', 'x', '--inspect']],
  ['bash', ['-e', '-o', 'pipefail', '+x']],
  ['java', ['-cp', 'x'.repeat(9_000), '-Dq=1', '@file', '-jar']],
] as const)
  test(`${name}'s first path argument is the script`, async () => {
    const exe = lab.place(join(lab.folder, 'interpreters', name));
    const path = script('args/worker.py', 'nothing');
    const cwd = join(lab.folder, 'args');
    const run = (file: string) => ({ path: exe, args: [name, ...before, file, '--port', '80'], cwd });
    assert.is(await seenAs(path, run(path)), 'it');
    assert.is(await seenAs(path, run('worker.py')), 'it');
    assert.is(await seenAs(path, run('././/worker.py')), 'it');
    assert.is(await seenAs(path, run(`${cwd}//./worker.py`)), 'it');
    assert.is(await seenAs(path, run('../args/worker.py')), 'unsure');
    assert.is(await seenAs(path, run(join(lab.folder, 'args-link/worker.py'))), 'unsure');
    assert.is(await seenAs(path, { path: exe, args: [name] }), 'another');
  });

test('a symbolic link is the script where it is registered as such', async () => {
  const exe = lab.place(join(lab.folder, 'interpreters/python3'));
  const path = script('releases/7/worker.py', 'nothing');
  const link = join(lab.folder, 'releases/current');
  symlinkSync(join(lab.folder, 'releases/7'), link);
  const written = join(link, 'worker.py');
  const facts = { uids: new Map(), paths: new Map([[written, [path]]]) };
  lab.apply(program({ 'a/script': { process: { script: written } } }, facts));
  for (const file of [written, path]) {
    const { clause } = await driver.exec({ path: exe, args: ['python3', file] });
    assert.is(clause?.workload, 'a/script', file);
  }
});

test('in a chroot the script is the file outside', async () => {
  const root = join(lab.folder, 'jail');
  lab.place(join(root, 'usr/bin/python3'));
  const path = script('jail/srv/worker.py', 'nothing');
  const run = { path: '/usr/bin/python3', args: ['python3', '/srv/worker.py'], root };
  assert.is(await seenAs(path, run), 'it');
  assert.is(await seenAs('/srv/worker.py', run), 'unsure');
});

test('who is no interpreter has no script', async () => {
  const path = script('none/worker.py', 'nothing');
  const exe = lab.place(join(lab.folder, 'interpreters/vim'));
  assert.is(await seenAs(path, { path: exe, args: ['vim', path] }), 'another');
  for (const [name, args] of [
    ['python3', ['-m', path]],
    ['bash', ['-c', path]],
    ['bash', ['-ec', path]],
    ['java', [path]],
    ['node', ['-e', path]],
  ] as const) {
    const interpreter = lab.place(join(lab.folder, 'interpreters', name));
    assert.is(await seenAs(path, { path: interpreter, args: [name, ...args] }), 'another', `${name} ${args[0]}`);
  }
});

test('the kernel finds the argument that the reference finds', async () => {
  const files = ['one', 'two'].map((name) => script(`same/${name}`, 'nothing'));
  const names = ['python3', 'bash', 'java', 'perl5.36', 'app'];
  for (const name of names) lab.place(join(lab.folder, 'interpreters', name));
  const words = [...files, '-c', '-m', '-e', '-', '-jar', '-cp', '-W', '-Wx', '--', '-o', '-ec', '+o', '-x', '@x', ''];
  lab.apply(program(Object.fromEntries(files.map((file, i) => [`a/s${i}`, { process: { script: file } }]))));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...names),
      fc.array(fc.constantFrom(...words), { maxLength: 5 }),
      async (name, rest) => {
        const exe = join(lab.folder, 'interpreters', name);
        const args = [name, ...rest];
        const file = scriptFileOf({ exe, args });
        const { event, clause } = await driver.exec({ path: exe, args });
        const isPending = (event.flags & ProcFlag.PROC_PENDING) !== 0;
        const known = file === undefined ? -1 : files.indexOf(file);
        assert.is(clause?.workload, known < 0 ? undefined : `a/s${known}`, args.join(' '));
        assert.is(isPending, file !== undefined && known < 0, args.join(' '));
      },
    ),
    { numRuns: 300, endOnFailure: true },
  );
});

test('executable, script, user and arguments of one clause must all hold', async () => {
  const python = lab.place(join(lab.folder, 'interpreters/python3'));
  const bash = lab.place(join(lab.folder, 'interpreters/bash'));
  const path = script('all/worker.py', 'nothing');
  lab.apply(
    program(
      {
        'a/exact': { process: { exe: python, script: path, user: 'app', args: ['--one'] } },
        'a/any': { process: { script: path, user: 'app' } },
      },
      { uids: new Map([['app', 1001]]), paths: new Map() },
    ),
  );
  for (const [exe, uid, args, workload] of [
    [python, 1001, ['--one'], 'a/exact'],
    [python, 1001, ['--two'], 'a/any'],
    [bash, 1001, ['--one'], 'a/any'],
    [python, 1002, ['--one'], undefined],
  ] as const) {
    const { clause } = await driver.exec({ path: exe, args: ['x', path, ...args], uid });
    assert.is(clause?.workload, workload);
  }
});

test('a process of another user or with another argument does not wait', async () => {
  const python = lab.place(join(lab.folder, 'interpreters/python3'));
  const path = script('wait/worker.py', 'nothing');
  const facts = { uids: new Map([['app', 1001]]), paths: new Map() };
  lab.apply(
    program(
      {
        'a/user': { process: { script: path, user: 'app' } },
        'a/regex': { process: { exe: python, args: ['--regex'], argsRegex: 'x' } },
        'a/glob': { process: { exe: join(lab.folder, 'versions/*/java'), user: 'app' } },
      },
      facts,
    ),
  );
  const java = lab.place(join(lab.folder, 'versions/17/java'));
  const other = join(lab.folder, 'elsewhere.py');
  for (const [exe, uid, args, waits] of [
    [python, 1001, [other], true],
    [python, 1002, [other], false],
    [python, 1002, [other, '--regex'], true],
    [java, 1001, ['-version'], true],
    [java, 1002, ['-version'], false],
    [lab.place(join(lab.folder, 'versions/17/javac')), 1001, [], false],
  ] as const) {
    const { event } = await driver.exec({ path: exe, args: ['x', ...args], uid });
    assert.is((event.flags & ProcFlag.PROC_PENDING) !== 0, waits, `${exe} ${uid} ${args.join(' ')}`);
  }
});

test('a script that is a gateway does not hand on the label that it gained itself', async () => {
  const python = join(lab.folder, 'gateway/python3');
  const path = script('gateway/supervisord', 'nothing');
  lab.apply(program({ 'a/gate': { process: { script: path, user: 'root' } } }), {
    gateways: [{ path, startsJobs: true }],
  });
  const gate = await lab.driver(python, lab.cgroupDir, [path]);
  const entry = lab.kernel.maps.proc.get(gate.pid)!;
  assert.is(lab.applier.clauseOf(entry.clause)?.workload, 'a/gate');
  assert.ok(entry.flags & ProcFlag.PROC_GATEWAY);
  const { clause } = await gate.exec({ path: lab.place(join(lab.folder, 'bin/app')), args: ['app'] });
  assert.is(clause, undefined);
});

test('a script that env runs keeps its name through the exec of the interpreter', async () => {
  const path = script('real/worker', '#!/usr/bin/env sh\ntrue');
  lab.apply(program({ 'a/script': { process: { script: path, user: 'root' } } }));
  const { event } = await driver.exec({ path, args: [path] });
  assert.is(lab.applier.clauseOf(event.clause)?.workload, 'a/script');
});

test.run();
