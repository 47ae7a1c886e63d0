/** `postern run --workload NS/NAME -- COMMAND`: a command in a cgroup of its own, under that workload. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Pinned } from '../../api/run.ts';
import type { Command } from '../command.ts';
import { Failure } from '../failure.ts';

export const RUN: Command = {
  path: ['run'],
  summary: 'Run a command under a workload, in a cgroup of its own',
  args: [{ name: 'COMMAND', many: true }],
  flags: [
    {
      name: 'workload',
      value: 'NS/NAME',
      summary: 'whose name, labels and policy the command has',
      complete: 'workload',
    },
    { name: 'user', value: 'USER', summary: 'become this user before the command (root only)' },
  ],
  help: [
    'The agent of this host confirms the label before the command starts, so its first packet is judged as the workload.',
    'pid, exit code, standard streams, descriptors, folder, environment and signals are those of a command without',
    'postern run before it. The name beats every match, goes to all that the command starts, and ends with the last of it.',
    'For root, and for the users in runBy of the workload. Put -- before the command.',
  ].join('\n'),
  examples: [
    ['postern run --workload erp/billing -- /srv/erp/bin/start.sh --all', 'instead of starting it by hand'],
    ['postern run --workload shop/batch --user app -- ./nightly.sh', 'as another user'],
  ],
  run: async (call) => {
    const workload = call.text('workload');
    if (workload === undefined)
      throw new Failure(2, '"postern run" needs --workload NS/NAME', ['see: postern run --help']);
    // Set by the launcher, the shell that becomes the command.
    const shell = call.io.env.POSTERN_RUN_PID;
    if (shell === undefined)
      throw new Failure(2, '"postern run" needs -- before the command, and the launcher "postern" to become it', [
        `postern run --workload ${workload} -- ${call.args.join(' ')}`,
      ]);
    const change = userChange(call.text('user'));
    await call.agent.json<Pinned>({
      method: 'POST',
      path: '/v1/run',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ workload, pid: Number(shell) }),
    });
    await call.out.print(['exec', ...change].join(' '));
    return 0;
  },
};

/** What stands before the command to change the user; nothing without one. */
function userChange(user: string | undefined): string[] {
  if (user === undefined) return [];
  if (process.geteuid?.() !== 0) throw new Failure(4, '--user needs root', ['hint: sudo postern run …']);
  const [name = '', , uid, gid] = passwdLine(user)?.split(':') ?? [];
  if (uid === undefined || gid === undefined) throw new Failure(2, `--user "${user}": there is no such user`);
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, name === '' ? '--clear-groups' : '--init-groups', '--'];
}

function passwdLine(user: string): string | undefined {
  const isIt = (line: string) => line.split(':')[0] === user || line.split(':')[2] === user;
  const local = readFileSync('/etc/passwd', 'utf8').split('\n').find(isIt);
  if (local !== undefined) return local;
  try {
    return execFileSync('getent', ['passwd', user], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}
