/** Judges a policy test case: every probe against what it expects, or why the case could not be judged. */
import { PolicyCompiler } from './compile.ts';
import { lookupVerdict } from './compile-lookup.ts';
import { type CaseProbe, isMalformed, type PolicyCase, readCase } from './policy-case.ts';
import type { FieldError } from './problem.ts';
import { type Connection, type SideVerdict, type Verdict, verdict } from './verdict.ts';
import type { World } from './world.ts';

/** Answers about connections in one world. */
export type Judge = (connection: Connection) => Verdict;
/** @param world as it is from now on; a second world ends the first */
export type Engine = (world: World) => Judge;

/** A case of documents alone: whether they are accepted. */
export interface ValidityCase {
  readonly name: string;
  readonly policies: readonly unknown[];
  /** `reject`: malformed. `accept`: not malformed, also where it uses what is not supported. */
  readonly expect: 'accept' | 'reject';
}

export interface ProbeResult {
  readonly probe: CaseProbe;
  readonly passed: boolean;
  readonly verdict: 'allow' | 'drop';
  readonly egress: SideVerdict;
  readonly ingress: SideVerdict;
}

export type CaseResult =
  | {
      readonly result: 'judged';
      readonly probes: readonly ProbeResult[];
      /** Of every probe in its place; null: one that talks to itself, which is not judged. */
      readonly verdicts: readonly (ProbeResult['verdict'] | null)[];
    }
  /** A document uses something that is not supported. */
  | { readonly result: 'refused'; readonly errors: readonly FieldError[] }
  /** A document is malformed, or a probe names what there is not. */
  | { readonly result: 'broken'; readonly errors: readonly FieldError[] }
  | {
      readonly result: 'validity';
      readonly passed: boolean;
      readonly validity: 'accept' | 'reject';
      readonly errors: readonly FieldError[];
    };

export const oracleEngine: Engine = (world) => (connection) => verdict(world, connection);

/** One compiler walks from world to world, as an agent's does from revision to revision. */
export function compiledEngine(): Engine {
  const compiler = new PolicyCompiler();
  return (world) => {
    compiler.update(world);
    return (connection) => lookupVerdict(compiler.all(), connection);
  };
}

export function runCase(row: PolicyCase | ValidityCase, engine: Engine): CaseResult {
  try {
    if (!('probes' in row)) return runValidity(row);
    const read = readCase(row);
    if ('refused' in read) return { result: isMalformed(read.refused) ? 'broken' : 'refused', errors: read.refused };
    const judge = engine(read.world);
    const all = row.probes.map((probe, i) => (probe.loopback ? undefined : judgeProbe(probe, i, read, judge)));
    const probes = all.filter((result) => result !== undefined);
    return { result: 'judged', probes, verdicts: all.map((result) => result?.verdict ?? null) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { result: 'broken', errors: [{ path: '', message: error.message }] };
  }
}

function judgeProbe(
  probe: CaseProbe,
  i: number,
  { connection }: { connection(probe: CaseProbe): Connection },
  judge: Judge,
): ProbeResult {
  try {
    return toResult(probe, judge(connection(probe)));
  } catch (error) {
    throw error instanceof RangeError ? new RangeError(`probes[${i}] ${error.message}`) : error;
  }
}

function runValidity({ policies, expect }: ValidityCase): CaseResult {
  const read = readCase({ name: '', policies, endpoints: [], probes: [] });
  const errors = 'refused' in read ? read.refused : [];
  const validity = isMalformed(errors) ? 'reject' : 'accept';
  return { result: 'validity', passed: validity === expect, validity, errors };
}

function toResult(probe: CaseProbe, { verdict, egress, ingress }: Verdict): ProbeResult {
  const forwarded = verdict !== 'DROPPED';
  const sides = { egress, ingress };
  // Where Cilium differs from Kubernetes' text, what is said of the single sides is Kubernetes'.
  const wanted = probe.expectCilium === undefined ? (['egress', 'ingress'] as const) : [];
  const passed =
    forwarded === isAllow(probe.expectCilium ?? probe.expect) &&
    wanted.every((side) => probe[side] === undefined || isAllow(probe[side]) === (sides[side].verdict !== 'DROPPED'));
  return { probe, passed, verdict: forwarded ? 'allow' : 'drop', egress, ingress };
}

function isAllow(expected: string): boolean {
  if (expected === 'allow') return true;
  if (expected === 'deny' || expected === 'drop') return false;
  throw new RangeError(`expects "${expected}": it must be allow, deny or drop`);
}
