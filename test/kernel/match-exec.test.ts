// @timeout 120
/** The kernel's choice at exec and at mkdir is that of core/match-decide, over random programs and real processes. */
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decideProcess, type InheritedLabel } from '../../src/core/match-decide.ts';
import { compileMatch, type MatchProgram } from '../../src/core/match-program.ts';
import type { MatchClause } from '../../src/core/workload.ts';
import { readCounters } from '../../src/datapath/counters.ts';
import { LabelOrigin, ProcFlag } from '../../src/datapath/postern.skel.ts';
import { program, registered } from '../core/match-world.ts';
import { told } from '../e2e/wait.ts';
import { type Driver, type ExecLab, openExecLab } from './exec-lab.ts';

fc.configureGlobal({ includeErrorInReport: true });
const test = suite('match at exec');
const USERS = [0, 1001, 1002];
const UIDS = new Map([
  ['root', 0],
  ['alice', 1001],
  ['bob', 1002],
]);
const ARGS = [
  '-v',
  '--port',
  '--port=',
  '--port=80',
  '--port=8080',
  '--portable',
  'start',
  'ä=ö',
  '-',
  'a'.repeat(255),
  'a'.repeat(256),
];
const ARG_PATTERNS = [
  ...['-v', '--port', '--port=80', '--port*', '--port=*', '--port=8*', 'start', 'sta*', 'ä=ö', 'ä*'],
  ...[`${'a'.repeat(255)}`, `${'a'.repeat(255)}*`, `${'a'.repeat(9)}*`, '-*'],
];
/** Below the own cgroup. */
const CGROUPS = [
  'erp.slice',
  'erp.slice/billing.service',
  'erp.slice/db@1.service',
  'erp.slice/db@1.service/worker',
  'erp.slice/db@22.service',
  'user@1000.service',
  'user@1000.service/billing.service',
  'x.scope',
  'plain',
  'plain/billing.service',
];
const UNIT_PATTERNS = [
  'billing.service',
  'db@*.service',
  'db@1.service',
  '*.service',
  'x.scope',
  'erp.slice',
  'user@*',
];
const CGROUP_PATTERNS = [
  'erp.slice',
  'erp.slice/*.service',
  'erp.slice/**',
  'plain',
  'plain/**/x',
  '*/billing.service',
  'pl*',
  'x.scope',
];

let lab: ExecLab;
let driver: Driver;
let exes: string[];

test.before(
  told(async () => {
    lab = await openExecLab();
    driver = await lab.driver();
    exes = ['bin/app', 'bin/app2', 'sbin/app'].map((name) => lab.place(join(lab.folder, name)));
  }),
);

test.after(async () => {
  await lab?.destroy();
});

const optional = <T>(item: fc.Arbitrary<T>) => fc.option(item, { nil: undefined, freq: 2 });
/** Numbers into the lists above, so that no path has to be known before the test begins. */
const clause = fc
  .record({
    exe: optional(fc.nat(2)),
    user: optional(fc.constantFrom(...UIDS.keys())),
    args: optional(fc.uniqueArray(fc.constantFrom(...ARG_PATTERNS), { minLength: 1, maxLength: 3 })),
    unit: optional(fc.constantFrom(...UNIT_PATTERNS)),
    cgroup: optional(fc.constantFrom(...CGROUP_PATTERNS)),
  })
  .filter((parts) => Object.values(parts).some((part) => part !== undefined));
type Parts = typeof clause extends fc.Arbitrary<infer T> ? T : never;
const process = fc.record({
  exe: fc.nat(2),
  uid: fc.constantFrom(...USERS),
  args: fc.array(fc.constantFrom(...ARGS), { maxLength: 4 }),
  cgroup: optional(fc.constantFrom(...CGROUPS)),
});
const programs = fc.array(fc.array(clause, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 6 });

test('of random clauses the kernel chooses for a random process as the reference does', async () => {
  let execs = 0;
  await fc.assert(
    fc.asyncProperty(programs, fc.array(process, { minLength: 12, maxLength: 12 }), async (lists, processes) => {
      const compiled = compile(lists);
      lab.apply(compiled);
      await withCgroups(async () => {
        for (const { exe, uid, args, cgroup } of processes) {
          execs++;
          const where = cgroup === undefined ? lab.cgroupPath : `${lab.cgroupPath}/${cgroup}`;
          const facts = { exe: exes[exe]!, args: ['app', ...args], uid, cgroup: where };
          const expected = decideProcess(compiled, facts).clause;
          const found = await driver.exec({
            ...{ path: facts.exe, args: facts.args, uid },
            ...(cgroup === undefined ? {} : { cgroup: join(lab.cgroupDir, cgroup) }),
          });
          assert.is(nameOf(found.clause), nameOf(expected), JSON.stringify(facts));
          assert.is(found.event.identity, expected?.identity ?? 0);
        }
      });
    }),
    { numRuns: 60, endOnFailure: true },
  );
  assert.ok(execs >= 720, `${execs} execs`);
});

test('an inherited label gives way to an own exec match as the reference says', async () => {
  const parent = join(lab.folder, 'parent');
  await fc.assert(
    fc.asyncProperty(
      programs,
      fc.option(fc.constantFrom('root', undefined), { nil: undefined }),
      fc.array(process, { minLength: 8, maxLength: 8 }),
      async (lists, user, processes) => {
        const own: MatchClause = { process: { exe: parent, ...(user === undefined ? {} : { user }) } };
        const compiled = compile(lists, own);
        lab.apply(compiled);
        const labelled = await lab.driver(parent);
        const { clause: gained } = decideProcess(compiled, {
          exe: parent,
          args: [parent],
          uid: 0,
          cgroup: lab.cgroupPath,
        });
        assert.is(lab.applier.clauseOf(lab.kernel.maps.proc.get(labelled.pid)!.clause)?.workload, gained!.workload);
        const inherited: InheritedLabel = {
          rank: gained!.rank,
          gainedIn: lab.cgroupPath,
          origin: gained!.kind === 'cgroup' ? 'cgroup' : 'exec',
        };
        for (const { exe, uid, args } of processes) {
          const facts = { exe: exes[exe]!, args: ['app', ...args], uid, cgroup: lab.cgroupPath, inherited };
          const expected = decideProcess(compiled, facts).clause;
          const found = await labelled.exec({ path: facts.exe, args: facts.args, uid });
          assert.is(nameOf(found.clause), nameOf(expected), JSON.stringify(facts));
        }
        await labelled.end();
      },
    ),
    { numRuns: 25, endOnFailure: true },
  );
});

test('every new cgroup has the label that the reference gives to what is in it', async () => {
  const segment = fc.constantFrom(
    'erp.slice',
    'billing.service',
    'db@1.service',
    'a',
    'b.scope',
    'user@1000.service',
    'memory.slice',
  );
  const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const lists = fc.array(
    fc.array(
      fc
        .record({
          unit: optional(fc.constantFrom(...UNIT_PATTERNS)),
          cgroup: optional(fc.constantFrom(...CGROUP_PATTERNS)),
        })
        .filter(({ unit, cgroup }) => unit !== undefined || cgroup !== undefined),
      { minLength: 1, maxLength: 2 },
    ),
    { minLength: 1, maxLength: 5 },
  );
  await fc.assert(
    fc.asyncProperty(lists, fc.uniqueArray(path, { minLength: 4, maxLength: 8 }), async (parts, paths) => {
      const compiled = compile(parts as Parts[][]);
      lab.apply(compiled);
      await withCgroups(async () => {
        for (const name of every(paths)) {
          const expected = decideProcess(compiled, { args: [], uid: -1, cgroup: `${lab.cgroupPath}/${name}` });
          const found = lab.kernel.maps.cgroup_label.get(statSync(join(lab.cgroupDir, name)).ino);
          assert.is(found?.identity ?? 0, expected.clause?.identity ?? 0, name);
          if (found !== undefined && found.identity !== 0) {
            assert.is(nameOf(lab.applier.clauseOf(found.clause)), nameOf(expected.clause), name);
            assert.is(found.level, expected.gainedIn.split('/').length, name);
          }
        }
      }, paths);
    }),
    { numRuns: 60, endOnFailure: true },
  );
});

test('arguments are read whole, however many and long', async () => {
  const table = { 'a/far': { process: { args: ['--far=*', '--end'] } }, 'a/near': { process: { args: ['--near'] } } };
  lab.apply(program(table));
  const long = 'x'.repeat(120_000);
  const many = Array.from({ length: 3_000 }, (_, i) => `-Dproperty.${i}=${'y'.repeat(i % 300)}`);
  const before = readCounters(lab.kernel.maps).argsCut;
  for (const [args, workload] of [
    [['app', long, '--far=1', '--end'], 'a/far'],
    [['app', '--far=1', ...many, '--end'], 'a/far'],
    [['app', `--far=${long}`, '--end'], 'a/far'],
    [['app', '--far=1', ...many], undefined],
    [['app', `${long}--end`, '--far=1'], undefined],
    [['app', '', '', '--near', ''], 'a/near'],
    [['app', `--near${'z'.repeat(249)}`, `${'z'.repeat(255)}--near`], undefined],
    [['--near'], 'a/near'],
  ] as const) {
    const { clause: found } = await driver.exec({ path: exes[0]!, args });
    assert.is(
      found?.workload,
      workload,
      args
        .map((arg) => arg.slice(0, 20))
        .join(' ')
        .slice(0, 100),
    );
  }
  assert.is(readCounters(lab.kernel.maps).argsCut, before);
});

test('what the kernel cannot see whole is counted, and waits for user space', async () => {
  const patterns = Array.from({ length: 10 }, (_, i) => Array.from({ length: 8 }, (_, n) => `-p${i}${n}`));
  lab.apply(program(Object.fromEntries(patterns.map((args, i) => [`a/w${i}`, { process: { args } }]))));
  const met = patterns.flat();
  for (const [args, isCut] of [
    [['app', ...Array.from({ length: 65_000 }, () => 'x')], false],
    [['app', ...Array.from({ length: 66_000 }, () => 'x')], true],
    [['app', ...met.slice(0, 64)], false],
    [['app', ...met.slice(0, 65)], true],
  ] as const) {
    const before = readCounters(lab.kernel.maps).argsCut;
    const { event } = await driver.exec({ path: exes[0]!, args });
    const flags = ProcFlag.PROC_ARGS_CUT | ProcFlag.PROC_PENDING;
    assert.is(event.flags & flags, isCut ? flags : 0, `${args.length} arguments`);
    assert.is(readCounters(lab.kernel.maps).argsCut - before, isCut ? 1 : 0);
  }
});

test('a prefix as long as the kernel compares is compared whole', async () => {
  const pattern = 'p'.repeat(255);
  lab.apply(program({ 'a/long': { process: { args: [`${pattern}*`] } } }));
  for (const [arg, workload] of [
    [pattern, 'a/long'],
    [`${pattern}q`, 'a/long'],
    [pattern.slice(1), undefined],
    [`${pattern.slice(1)}q`, undefined],
  ] as const)
    assert.is((await driver.exec({ path: exes[0]!, args: ['app', arg, 'end'] })).clause?.workload, workload);
});

test('cgroup patterns that the kernel cannot compare are left to user space', () => {
  const long = { cgroup: `erp.slice/${'x'.repeat(300)}` };
  const tail = { cgroup: `erp.slice/*${'x'.repeat(64)}` };
  const compiled = program({ 'a/long': long, 'a/tail': tail });
  assert.equal(compiled.clauses, []);
  assert.is(compiled.late.length, 2);
  lab.apply(compiled);
});

test('a program that does not fit is refused, and the one before stays', async () => {
  lab.apply(program({ 'a/app': { process: { exe: exes[0]! } } }));
  const before = lab.kernel.maps.config.get(0);
  const args = (i: number) => Array.from({ length: 8 }, (_, n) => `--${i}-${n}`);
  const workloads = Array.from({ length: 1_025 }, (_, i) => [`a/w${i}`, { process: { args: args(i) } }] as const);
  assert.throws(() => lab.apply(program(Object.fromEntries(workloads))), /8200 argument patterns, 8191 fit/);
  const ports = { 'a/ports': { listen: ['1-65535/tcp'] } };
  assert.throws(() => lab.apply(program(ports)), /65535 listening ports, 8192 fit/);
  assert.equal(lab.kernel.maps.config.get(0), before);
  assert.is((await driver.exec({ path: exes[0]!, args: ['app'] })).clause?.workload, 'a/app');
});

test('a label that a gateway gained itself is not handed on; one that it inherited passes', async () => {
  const gateway = join(lab.folder, 'gate');
  const parent = join(lab.folder, 'service');
  lab.apply(
    program({
      'a/gate': { process: { exe: gateway, user: 'root' } },
      'a/service': { process: { exe: parent, user: 'root' } },
    }),
    {
      gateways: [{ path: gateway, startsJobs: false }],
    },
  );
  const plain = await lab.driver(parent);
  assert.is((await plain.exec({ path: exes[0]!, args: ['app'] })).clause?.workload, 'a/service');
  assert.is((await plain.exec({ path: exes[0]!, args: ['app'] })).event.origin, LabelOrigin.ORIGIN_INHERITED);
  const gate = await lab.driver(gateway);
  assert.is((await gate.exec({ path: exes[0]!, args: ['app'] })).clause, undefined);
});

/** Clauses of workloads a/w0, a/w1 …; only what the kernel decides. */
function compile(lists: readonly Parts[][], own?: MatchClause): MatchProgram {
  const table = Object.fromEntries(lists.map((list, i) => [`a/w${i}`, list.map(toClause)]));
  if (own !== undefined) table['a/own'] = [own];
  const { clauses } = compileMatch(registered(table), { uids: UIDS, paths: new Map() });
  return { clauses, late: [], waiting: [] };
}

function toClause({ exe, user, args, unit, cgroup }: Parts): MatchClause {
  const parts = {
    ...(exe === undefined ? {} : { exe: exes[exe]! }),
    ...(user === undefined ? {} : { user }),
    ...(args === undefined ? {} : { args }),
  };
  return {
    ...(Object.keys(parts).length > 0 ? { process: parts } : {}),
    ...(unit === undefined ? {} : { systemdUnit: unit }),
    ...(cgroup === undefined ? {} : { cgroup: `${lab.cgroupPath}/${cgroup}` }),
  };
}

function nameOf(clause: { workload: string; clause: number } | undefined): string {
  return clause === undefined ? 'none' : `${clause.workload}[${clause.clause}]`;
}

/** Makes the cgroups anew, so that each is labelled by the program of now. */
async function withCgroups(run: () => Promise<void>, paths: readonly string[] = CGROUPS): Promise<void> {
  const folders = every(paths).map((path) => join(lab.cgroupDir, path));
  for (const folder of folders) mkdirSync(folder);
  try {
    await run();
  } finally {
    for (const folder of folders.reverse()) rmdirSync(folder);
  }
}

/** With all above them, topmost first. */
function every(paths: readonly string[]): string[] {
  const all = paths.flatMap((path) => path.split('/').map((_, i, parts) => parts.slice(0, i + 1).join('/')));
  return [...new Set(all)].sort();
}

test.run();
