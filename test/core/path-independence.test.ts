/**
 * Who a process is follows from what is registered and what runs. The kernel decides at each start by what is there
 * then, a look (registration, start of an agent) decides everybody again: in whatever order, the end is the same.
 * `test/kernel/path-independence.test.ts` is the same on a kernel.
 */
import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_GATEWAYS } from '../../src/core/gateways.ts';
import { decideProcess } from '../../src/core/match-decide.ts';
import { clauseNow, compileMatch, type MatchProgram, type ProgramClause } from '../../src/core/match-program.ts';
import { decideTree, type TreeProcess } from '../../src/core/match-tree.ts';
import type { MatchClause } from '../../src/core/workload.ts';
import { FACTS, registered, UIDS } from './match-world.ts';

const clause: fc.Arbitrary<MatchClause> = fc.oneof(
  fc.constantFrom<MatchClause>({ systemdUnit: 'x.service' }, { systemdUnit: '*.service' }, { cgroup: 'a' }),
  fc.constantFrom<MatchClause>({ cgroup: 'a/*' }, { cgroup: 'a/x.service/b' }, { process: { user: 'app' } }),
  fc.record({
    process: fc.record(
      {
        exe: fc.constantFrom('/bin/a', '/bin/b', '/bin/c'),
        user: fc.constantFrom('app', '0'),
        args: fc.constantFrom(['-v'], ['-v', '--port=*']),
      },
      { requiredKeys: ['exe'] },
    ),
  }),
);
const workloads = fc
  .array(fc.array(clause, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 5 })
  .map((lists) => registered(Object.fromEntries(lists.map((list, i) => [`n/w${i}`, list]))));
/**
 * Each is started by one before it, or by nobody known, and stays where it was placed. A child of root with the same
 * program has the same user: as another one it would be a fork that gave up root.
 */
const processes = fc
  .array(
    fc.record({
      ppid: fc.nat(4),
      exe: fc.constantFrom('/bin/a', '/bin/b', '/bin/c', '/usr/bin/sudo'),
      args: fc.constantFrom([], ['-v'], ['-v', '--port=80']),
      uid: fc.constantFrom(0, UIDS.get('app')!),
      cgroup: fc.constantFrom('/', '/a', '/a/x.service', '/a/x.service/b', '/other/x.service'),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((list) =>
    list.reduce<TreeProcess[]>((before, one, i) => {
      const parent = before[one.ppid];
      const uid = parent?.exe === one.exe && parent.uid === 0 ? 0 : one.uid;
      return [...before, { ...one, uid, pid: 10 + i, ppid: parent === undefined ? 1 : parent.pid }];
    }, []),
  );
const order = fc.array(fc.nat(99), { maxLength: 40 });

test('who a process is does not depend on the order of registrations, starts, stops and looks', () => {
  let named = 0;
  fc.assert(
    fc.property(workloads, processes, order, (all, tree, way) => {
      const final = compileMatch(all, FACTS);
      const expected = names(decideTree(final, tree, DEFAULT_GATEWAYS));
      named += Object.values(expected).filter((name) => name !== undefined).length;

      let there: RunningProcess[] = [];
      const known = new Set<number>();
      let program = compileMatch([], FACTS);
      const look = (): void => {
        program = compileMatch(
          all.filter((_, i) => known.has(i)),
          FACTS,
        );
        there = lookAgain(program, there);
      };
      const start = (process: TreeProcess): void => {
        if (!there.some(({ pid }) => pid === process.pid)) there = [...there, started(program, process, there)];
      };
      const stop = (pid: number): void => {
        for (const child of there.filter(({ ppid }) => ppid === pid)) stop(child.pid);
        there = there.filter((one) => one.pid !== pid);
      };
      for (const n of way) {
        const process = tree[n % tree.length]!;
        const hasParent = process.ppid === 1 || there.some(({ pid }) => pid === process.ppid);
        if (n % 4 === 0) {
          if (!known.delete(n % all.length)) known.add(n % all.length);
          look();
        } else if (n % 7 === 0) stop(process.pid);
        else if (n % 5 === 0) look();
        else if (hasParent) start(process);
      }
      for (const process of tree) start(process);
      for (const i of all.keys()) known.add(i);
      look();
      const found = Object.fromEntries(there.map(({ pid, clause }) => [pid, clause?.workload]));
      assert.equal(found, expected);
    }),
    { numRuns: 3_000 },
  );
  assert.ok(named > 3_000, `${named} names`);
});

test('what the kernel decides at a start is what a look decides at once', () => {
  fc.assert(
    fc.property(workloads, processes, (all, tree) => {
      const program = compileMatch(all, FACTS);
      const there: RunningProcess[] = [];
      for (const process of tree) there.push(started(program, process, there));
      const kernel = Object.fromEntries(there.map(({ pid, clause }) => [pid, clause?.workload]));
      assert.equal(kernel, names(decideTree(program, tree, DEFAULT_GATEWAYS)));
    }),
    { numRuns: 3_000 },
  );
});

interface RunningProcess extends TreeProcess {
  readonly clause: ProgramClause | undefined;
  readonly origin: string;
  readonly gainedIn: string;
}

/** fork, placing and exec as the kernel does it: by what is registered now, and by the label that the parent has now. */
function started(program: MatchProgram, process: TreeProcess, there: readonly RunningProcess[]): RunningProcess {
  const parent = there.find(({ pid }) => pid === process.ppid);
  const isHandedOn =
    parent?.clause !== undefined &&
    (parent.origin === 'inherited' || (parent.origin === 'exec' && !DEFAULT_GATEWAYS.has(parent.exe!)));
  const inherited = isHandedOn
    ? { rank: parent.clause!.rank, gainedIn: parent.gainedIn, origin: 'exec' as const }
    : undefined;
  const decision = decideProcess(program, inherited ? { ...process, inherited } : process);
  const { clause, origin, gainedIn } = decision;
  return { ...process, clause, origin, gainedIn };
}

/** A new program, or a new agent: everybody again, with what the kernel saw at their exec. */
function lookAgain(program: MatchProgram, there: readonly RunningProcess[]): RunningProcess[] {
  const seen = there.map(({ clause, origin, gainedIn: _, ...process }): TreeProcess => {
    const now = origin === 'exec' && clause ? clauseNow(program, clause) : undefined;
    return { ...process, ...(now === undefined ? {} : { metAtExec: now.rank }) };
  });
  const decided = decideTree(program, seen, DEFAULT_GATEWAYS);
  return there.map((process) => {
    const { clause, origin, gainedIn } = decided.get(process.pid)!;
    return { ...process, clause, origin, gainedIn };
  });
}

function names(decided: ReturnType<typeof decideTree>): Record<string, string | undefined> {
  return Object.fromEntries([...decided].map(([pid, { clause }]) => [pid, clause?.workload]));
}

test.run();
