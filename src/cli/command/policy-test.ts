/** `postern policy test`: the user's own unit tests of policy. Talks to nobody: the compiler runs here. */
import type { CaseProbe } from '../../core/policy-case.ts';
import {
  type CaseResult,
  compiledEngine,
  type Engine,
  oracleEngine,
  type ProbeResult,
  runCase,
} from '../../core/policy-case-run.ts';
import type { FieldError } from '../../core/problem.ts';
import type { SideVerdict } from '../../core/verdict.ts';
import type { Call, Command } from '../command.ts';
import { Failure } from '../failure.ts';
import { type FoundCase, readCases } from '../policy-cases.ts';

const ENGINES = ['compiled', 'oracle', 'kernel'] as const;

export const POLICY_TEST: Command = {
  path: ['policy', 'test'],
  summary: 'Run unit tests of policy documents: who must be able to reach whom',
  args: [{ name: 'FILE', many: true, complete: 'file' }],
  flags: [
    {
      name: 'engine',
      value: 'ENGINE',
      choices: ENGINES,
      default: 'compiled',
      summary: 'compiled: what agents run; oracle: the rules word by word; kernel: real maps and programs, needs root',
    },
  ],
  help: [
    'FILE is YAML, JSON, JSON lines (.jsonl, .jsonl.gz), a folder of them, or "-". A case has policies (or policyFiles),',
    'endpoints and probes with "expect: allow" or "expect: deny"; docs/policy.md has the format. Nothing is sent anywhere.',
    'Exit 1 when a probe fails. "refused" counts cases with a document that uses what is not supported yet.',
  ].join('\n'),
  examples: [
    ['postern policy test tests/', 'every test file of a folder'],
    ['postern policy test shop.yaml -o json', 'every verdict, with the rule that decided'],
    ['postern policy test shop.yaml --engine kernel', "by the kernel's own tables"],
  ],
  run: async (call) => {
    const found = await readCases(call.args, call.io);
    const opened = await openEngine(call);
    try {
      const results = found.map(({ file, line, row }) => ({
        file,
        line,
        name: row.name,
        ...runCase(row, opened.engine),
      }));
      return await report(call, results);
    } finally {
      opened.close();
    }
  },
};

async function openEngine(call: Call): Promise<{ engine: Engine; close(): void }> {
  const name = call.text('engine');
  if (name !== 'kernel') return { engine: name === 'oracle' ? oracleEngine : compiledEngine(), close: () => {} };
  const open = call.local.policyEngine;
  if (open === undefined) throw new Failure(2, 'this program has no kernel engine');
  try {
    return await open();
  } catch (error) {
    throw new Failure(4, `cannot load the programs: ${(error as Error).message}`, ['--engine kernel needs root']);
  }
}

type Row = Pick<FoundCase, 'file' | 'line'> & { readonly name: string } & CaseResult;

async function report(call: Call, rows: readonly Row[]): Promise<number> {
  const probes = rows.flatMap((row) => (row.result === 'judged' ? row.probes : []));
  const validity = rows.filter((row) => row.result === 'validity');
  const broken = rows.filter((row) => row.result === 'broken');
  const refused = rows.filter((row) => row.result === 'refused');
  const passed = probes.filter((probe) => probe.passed).length + validity.filter((row) => row.passed).length;
  const failed = probes.length + validity.length - passed + broken.length;
  if (call.out.format !== 'table') {
    await call.out.value({ passed, failed, refused: refused.length, cases: rows.map(toValue) });
    return failed > 0 ? 1 : 0;
  }
  for (const row of rows)
    for (const line of failures(row)) await call.out.print(`${call.out.colour('red', 'FAIL')}  ${line}`);
  for (const line of refusals(refused)) await call.out.print(`${call.out.colour('yellow', 'refused')}  ${line}`);
  await call.out.print(`${passed} passed, ${failed} failed, ${refused.length} refused`);
  return failed > 0 ? 1 : 0;
}

function failures(row: Row): string[] {
  const where = `${row.file}:${row.line} ${row.name}`;
  if (row.result === 'broken') return [`${where}: ${errorText(row.errors[0])}`];
  if (row.result === 'validity') {
    if (row.passed) return [];
    return [
      `${where}: expected ${row.validity === 'accept' ? 'reject' : 'accept'}, is ${row.validity}${errorSuffix(row.errors)}`,
    ];
  }
  if (row.result !== 'judged') return [];
  return row.probes.filter(({ passed }) => !passed).map((result) => `${where}: ${failureText(result)}`);
}

/** `front → back 6379/TCP: expected allow, is drop: ingress default deny of cnp/shop/backend` */
function failureText({ probe, verdict, egress, ingress }: ProbeResult): string {
  const expected = probe.expectCilium ?? probe.expect;
  const sides = [
    ...(probe.egress === undefined ? [] : [`egress ${probe.egress}`]),
    ...(probe.ingress === undefined ? [] : [`ingress ${probe.ingress}`]),
  ];
  const wanted = sides.length === 0 ? expected : `${expected} (${sides.join(', ')})`;
  return `${probe.from} → ${probe.to} ${trafficText(probe)}: expected ${wanted}, is ${verdict}: ${whyText(egress, ingress)}`;
}

function trafficText({ icmp, port, protocol }: CaseProbe): string {
  if (icmp) return `ICMP${icmp.family === 'IPv6' ? 'v6' : ''} type ${icmp.type}`;
  return port === undefined ? (protocol ?? 'TCP') : `${port}/${protocol ?? 'TCP'}`;
}

/** The side that dropped, or both sides of what was allowed. */
function whyText(egress: SideVerdict, ingress: SideVerdict): string {
  const sides = [`egress ${reasonText(egress)}`, `ingress ${reasonText(ingress)}`];
  const dropped = sides.filter((_, i) => [egress, ingress][i]!.verdict === 'DROPPED');
  return (dropped.length > 0 ? dropped : sides).join(', ');
}

function reasonText({ reason, rules }: SideVerdict): string {
  return rules.length > 0 ? rules.join(' and ') : reason === 'NOT_ENFORCED' ? 'not enforced' : reason;
}

/** By field: one line for all cases that the same field stopped. */
function refusals(rows: readonly (Row & { readonly result: 'refused' })[]): string[] {
  const byField = Map.groupBy(rows, (row) => errorText(row.errors[0]));
  return [...byField].map(([field, [first, ...more]]) => {
    const others = more.length === 0 ? '' : ` and ${more.length} more`;
    return `${first!.file}:${first!.line} ${first!.name}${others}: ${field}`;
  });
}

function errorText(error: FieldError | undefined): string {
  if (error === undefined) return 'unknown';
  const value = error.value === undefined || error.code !== undefined ? '' : `: ${JSON.stringify(error.value)}`;
  return error.code === undefined && error.path !== '' ? `${error.path} ${error.message}${value}` : error.message;
}

function errorSuffix(errors: readonly FieldError[]): string {
  return errors.length === 0 ? '' : `: ${errorText(errors[0])}`;
}

function toValue(row: Row): object {
  const { file, line, name, result } = row;
  const head = { name, file, line, result };
  if (row.result === 'judged') {
    const probes = row.probes.map(({ probe, ...answer }) => ({
      from: probe.from,
      to: probe.to,
      traffic: trafficText(probe),
      expect: probe.expectCilium ?? probe.expect,
      ...answer,
    }));
    return { ...head, verdicts: row.verdicts, probes };
  }
  if (row.result === 'validity') return { ...head, validity: row.validity, passed: row.passed, errors: row.errors };
  return { ...head, errors: row.errors };
}
