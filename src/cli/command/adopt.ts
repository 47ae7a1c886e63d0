/** `postern workload adopt NS/NAME --pid N`: a process that runs already, until it exits. */
import type { Adopted } from '../../api/run.ts';
import type { Command } from '../command.ts';
import { quote } from '../curl.ts';
import { Failure } from '../failure.ts';
import { type ClauseLike, clauseText } from '../match-text.ts';

export const ADOPT: Command = {
  path: ['workload', 'adopt'],
  summary: 'Put a running process of this host under a workload, until it exits',
  args: [{ name: 'NAMESPACE/NAME', complete: 'workload' }],
  flags: [
    { name: 'pid', value: 'PID', summary: 'the process' },
    { name: 'tree', summary: 'with everything that descends from it' },
  ],
  help: [
    'For what somebody restarted by hand. What the process forks from now on has the name too; its sockets are relabelled,',
    'and connections without a right are ended. Prints the clause that would name it from its next start on. Root only.',
  ].join('\n'),
  examples: [
    ['postern workload adopt erp/billing --pid 31744', 'one process'],
    ['postern workload adopt erp/billing --pid 31744 --tree', 'and its children'],
  ],
  run: async (call) => {
    const ref = call.args[0]!;
    const pid = call.text('pid') ?? '';
    if (!/^[1-9]\d{0,9}$/.test(pid)) throw new Failure(2, `--pid must be the number of a process, not "${pid}"`);
    const adopted = await call.agent.json<Adopted>({
      method: 'POST',
      path: '/v1/adopt',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ workload: ref, pid: Number(pid), tree: call.on('tree') }),
    });
    if (call.out.format === 'table') await call.out.print(adoptedText(ref, adopted));
    else await call.out.value(adopted);
    return 0;
  },
};

export function adoptedText(ref: string, { pids, identity, from, suggested }: Adopted): string {
  const many = pids.length === 1 ? `process ${pids[0]} is` : `${pids.length} processes (${pids.join(', ')}) are`;
  const clause = suggested.match as ClauseLike;
  return [
    `${many} ${ref}, identity ${identity}, until ${pids.length === 1 ? 'it exits' : 'they exit'}`,
    ...(from.length === 0 ? [] : [`no longer ${from.join(', ')}`]),
    `to name it at every start, add this clause to match: ${clauseText(clause)}`,
    ...(suggested.note === undefined ? [] : [`  ${suggested.note}`]),
    `  postern workload get ${ref} -o json | jq ${quote(`.match += [${JSON.stringify(clause)}]`)} | postern workload put ${ref} -f -`,
  ].join('\n');
}
