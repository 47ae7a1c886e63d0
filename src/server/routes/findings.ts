/** `/v1/findings`: what workloads hold that is stronger than policy, on every host. Observed, so read only. */
import { FINDING_KINDS, Finding, SEVERITIES } from '../../api/findings.ts';
import { listOf } from '../../api/list.ts';
import { answer, page } from '../answer.ts';
import type { ServerContext } from '../context.ts';
import type { Operation, Request } from '../operation.ts';
import { badParameter, booleanParameter, LIST_QUERY, WATCH_QUERY } from '../query.ts';
import { watchReports } from '../watch-reports.ts';

export function findingOperations(context: ServerContext): Operation[] {
  const { store, reports } = context;
  return [
    {
      method: 'GET',
      path: '/v1/findings',
      tag: 'Findings',
      summary: 'List or watch rights of workloads that are stronger than policy, each with what closes it',
      access: 'read',
      query: {
        host: { description: 'Name of the host' },
        workload: { description: 'namespace/name' },
        kind: { description: FINDING_KINDS.join(', ') },
        severity: { description: `${SEVERITIES.join(', ')}; several with commas` },
        ...LIST_QUERY,
        watch: WATCH_QUERY.watch,
      },
      answers: { 200: { schema: listOf(Finding), description: 'One page, or a stream' } },
      curl: '"$P/v1/findings?severity=high,medium"',
      run(c) {
        const isWanted = findingFilter(c);
        const entriesOf = (findings: readonly Finding[] = []) =>
          findings.filter(isWanted).map((finding): [string, Finding] => [finding.id, finding]);
        if (booleanParameter(c, 'watch')) return watchReports(c, context, ({ report }) => entriesOf(report.findings));
        const entries = [...reports.all.values()].flatMap(({ report }) => entriesOf(report.findings));
        const { revision } = store.state;
        return answer(
          c,
          page(
            c,
            entries,
            () => true,
            (finding) => finding,
            revision,
          ),
        );
      },
    },
  ];
}

function findingFilter(c: Request): (finding: Finding) => boolean {
  const { host, workload } = c.req.query();
  const kinds = wordsOf(c, 'kind', FINDING_KINDS);
  const severities = wordsOf(c, 'severity', SEVERITIES);
  return (finding) =>
    (host === undefined || finding.host === host) &&
    (workload === undefined || finding.workload === workload) &&
    (kinds === undefined || kinds.includes(finding.kind)) &&
    (severities === undefined || severities.includes(finding.severity));
}

/** `high,medium`; undefined = all. */
function wordsOf(c: Request, name: string, known: readonly string[]): string[] | undefined {
  const words = c.req.query(name)?.split(',');
  const wrong = words?.find((word) => !known.includes(word));
  if (wrong !== undefined) throw badParameter(name, wrong, `must be one of ${known.join(', ')}`, known);
  return words;
}
