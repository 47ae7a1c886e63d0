/** Flags that every command takes, before or after its name. */
import type { Flag } from './command.ts';

export const GLOBAL_FLAGS: readonly Flag[] = [
  {
    name: 'output',
    short: 'o',
    value: 'FORMAT',
    choices: ['table', 'json', 'yaml'],
    default: 'table',
    summary: 'how to print',
  },
  { name: 'show-curl', summary: 'print the equivalent curl on stderr before each call' },
  {
    name: 'server',
    value: 'URL',
    env: 'POSTERN_SERVER',
    summary: 'http://HOST:PORT or unix:/PATH (default: RUN_DIR/server.sock, else http://127.0.0.1:7460)',
  },
  {
    name: 'run-dir',
    value: 'DIR',
    env: 'POSTERN_RUN_DIR',
    default: '/run/postern',
    complete: 'file',
    summary: 'where server.sock and agent.sock are',
  },
  { name: 'help', short: 'h', summary: 'explain the command' },
];

/** Of the commands that have something to watch. */
export const WATCH: Flag = { name: 'watch', short: 'w', summary: 'go on with each change as it happens' };
