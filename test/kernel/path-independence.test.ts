// @timeout 500
/**
 * What is in the kernel follows from what is registered and what runs, never from the way to it: 200 random ways through
 * registrations, starts, stops and restarts of the agent, each compared with a fresh start in a canonical order.
 * Left out is what nobody can see afterwards (docs/legacy-workloads.md): a parent that has ended, a program that was
 * replaced by exec, a user that was given up, a process that moved itself.
 */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compileMatch, type MatchProgram, type RegisteredWorkload } from '../../src/core/match-program.ts';
import type { MatchClause } from '../../src/core/workload.ts';
import { told } from '../e2e/wait.ts';
import { cgroupOf, type GroveLab, openGrove, type Sprout } from './grove.ts';

fc.configureGlobal({ includeErrorInReport: true });
const test = suite('path independence');
const ROUNDS = 200;
const SEED = Number(process.env['POSTERN_SEED'] ?? Date.now() % 2 ** 31);
const PROGRAMS = ['a', 'b', 'c'];
const CGROUPS = ['x.service', 'x.service/below', 'y.slice/z@1.service', 'y.slice', 'plain'];
const USER = 1001;
let lab: GroveLab;

test.before(
  told(async () => {
    lab = await openGrove(PROGRAMS);
    console.log(`seed ${SEED}`);
  }),
);
test.after(async () => {
  await lab?.destroy();
});

const fields = {
  exe: fc.constantFrom(...PROGRAMS),
  user: fc.constantFrom('0', String(USER)),
  args: fc.constantFrom(['-v'], ['-v', '--port=*']),
  unit: fc.constantFrom('x.service', 'z@*.service', '*.service'),
  cgroup: fc.constantFrom('x.service/below', 'y.slice', 'y.slice/*', '*'),
};
type Field = keyof typeof fields;
const SHAPES: readonly (readonly Field[])[] = [
  ...([['exe'], ['user'], ['args'], ['unit'], ['cgroup'], ['exe', 'user'], ['exe', 'args']] as const),
  ...([
    ['args', 'user'],
    ['unit', 'exe'],
    ['cgroup', 'user'],
  ] as const),
];
const clause = fc.oneof(...SHAPES.map((shape) => fc.record(fields).map((all) => pick(all, shape))));
const workload = fc.record({
  match: fc.array(clause, { minLength: 1, maxLength: 2 }),
  priority: fc.constantFrom(0, 0, 0, 5),
  inherit: fc.constantFrom('subtree' as const, 'subtree' as const, 'none' as const),
  /** Registered at the end. */
  stays: fc.constantFrom(true, true, true, false),
});
/** Parent: a process before it, or nobody. */
const sprout = fc.record({
  parent: fc.nat(5),
  how: fc.constantFrom('fork' as const, 'start' as const, 'place' as const, 'place' as const),
  program: fc.nat(1),
  uid: fc.constantFrom(0, 0, USER),
  args: fc.constantFrom([], ['-v'], ['-v', '--port=80']),
  cgroup: fc.constantFrom(...CGROUPS),
});
const step = fc.record({
  what: fc.constantFrom('register', 'register', 'start', 'start', 'start', 'stop', 'restart') as fc.Arbitrary<string>,
  which: fc.nat(99),
});
const world = fc.record({
  workloads: fc.array(workload, { minLength: 2, maxLength: 5 }),
  sprouts: fc.array(sprout, { minLength: 2, maxLength: 5 }),
  way: fc.array(step, { maxLength: 6 }),
});
type World = typeof world extends fc.Arbitrary<infer T> ? T : never;

let round = 0;
test(`${ROUNDS} ways to one state end in the same identities`, async () => {
  let labelled = 0;
  await fc.assert(
    fc.asyncProperty(world, async (drawn) => {
      round++;
      const sprouts = grow(drawn);
      const wanted = new Set(drawn.workloads.flatMap(({ stays }, i) => (stays ? [i] : [])));
      await wander(drawn, sprouts, wanted);
      const found = await everybody(sprouts);
      await stopAll(sprouts);

      lab.apply(compile(drawn, wanted));
      for (const one of sprouts) await lab.start(one);
      const expected = await everybody(sprouts);
      if (round % 3 === 0) lab.restart();
      const seen = await everybody(sprouts);
      await stopAll(sprouts);
      lab.removeCgroups();
      assert.equal(seen, expected, 'a new agent sees what the kernel decided');
      assert.equal(found, expected, 'the way made a difference');
      labelled += Object.values(expected).filter((identity) => identity !== 0).length;
    }),
    { numRuns: ROUNDS, seed: SEED, endOnFailure: true },
  );
  assert.ok(labelled > ROUNDS, `${labelled} processes had a name`);
});

/** Whose parent is whose, with names; the program of an exec is never that of the parent (an exec of the same shows as a fork). */
function grow({ sprouts }: World): Sprout[] {
  const grown: (Sprout & { runs: number })[] = [];
  for (const [i, { parent, how, program, args, ...rest }] of sprouts.entries()) {
    const above = parent < i ? grown[parent] : undefined;
    const name = `p${i}`;
    // A user that is not root starts and forks, but cannot become another one.
    const isUser = above !== undefined && uidOf(grown, above) !== 0;
    const runs = how === 'fork' && above ? above.runs : (program + (above?.runs ?? 0) + 1) % PROGRAMS.length;
    grown.push({
      ...rest,
      ...(isUser ? { uid: USER } : {}),
      ...(above === undefined ? {} : { parent: above.name }),
      ...{ name, runs, args, how: above === undefined ? 'place' : how, program: PROGRAMS[runs]! },
    });
  }
  return grown;
}

function uidOf(grown: readonly Sprout[], { how, parent, uid }: Sprout): number {
  const above = grown.find(({ name }) => name === parent);
  return how === 'fork' && above ? uidOf(grown, above) : (uid ?? 0);
}

function pick<T extends object>(all: T, names: readonly (keyof T)[]): Partial<T> {
  return Object.fromEntries(names.map((name) => [name, all[name]])) as Partial<T>;
}

/** Some way to the state in which all of `wanted` are registered and all sprouts run. */
async function wander(drawn: World, sprouts: readonly Sprout[], wanted: ReadonlySet<number>): Promise<void> {
  const registered = new Set<number>();
  const toggle = (i: number): void => {
    if (!registered.delete(i)) registered.add(i);
    lab.apply(compile(drawn, registered));
  };
  lab.apply(compile(drawn, registered));
  for (const { what, which } of drawn.way) {
    const one = sprouts[which % sprouts.length]!;
    if (what === 'register') toggle(which % drawn.workloads.length);
    else if (what === 'restart') lab.restart({ loads: round % 20 === 0 });
    else if (what === 'stop') await stopTree(one, sprouts);
    else if (!lab.isUp(one.name) && (one.parent === undefined || lab.isUp(one.parent))) await lab.start(one);
  }
  const isEarly = drawn.way.length % 2 === 0;
  const finish = (): void => lab.apply(compile(drawn, wanted));
  if (isEarly) finish();
  for (const one of sprouts) if (!lab.isUp(one.name)) await lab.start(one);
  if (!isEarly) finish();
}

/** A child outlives no parent here. */
async function stopTree(top: Sprout, sprouts: readonly Sprout[]): Promise<void> {
  const below = (one: Sprout): Sprout[] => [one, ...sprouts.filter(({ parent }) => parent === one.name).flatMap(below)];
  const names = below(top).map(({ name }) => name);
  await lab.stop(...names.filter((name) => lab.isUp(name)));
}

async function stopAll(sprouts: readonly Sprout[]): Promise<void> {
  await lab.stop(...sprouts.map(({ name }) => name).reverse());
}

async function everybody(sprouts: readonly Sprout[]): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const { name } of sprouts) {
    const { process, socket } = lab.who(name);
    assert.is(socket, process, `socket of ${name}`);
    found[name] = process;
  }
  return found;
}

function compile({ workloads }: World, registered: ReadonlySet<number>): MatchProgram {
  const list = workloads.map(
    ({ match, priority, inherit }, i): RegisteredWorkload => ({
      ...{ namespace: 'n', name: `w${i}`, labels: { app: `w${i}` }, priority, inherit },
      ...{ identity: 65792 + i, createdRevision: i + 1, match: match.map(toClause) },
    }),
  );
  return compileMatch(
    list.filter((_, i) => registered.has(i)),
    { uids: new Map(), paths: new Map() },
  );
}

function toClause({ exe, user, args, unit, cgroup }: World['workloads'][number]['match'][number]): MatchClause {
  const process = {
    ...(exe === undefined ? {} : { exe: lab.path(exe) }),
    ...(user === undefined ? {} : { user }),
    ...(args === undefined ? {} : { args }),
  };
  return {
    ...(Object.keys(process).length === 0 ? {} : { process }),
    ...(unit === undefined ? {} : { systemdUnit: unit }),
    ...(cgroup === undefined ? {} : { cgroup: cgroupOf(lab, cgroup) }),
  };
}

test.run();
