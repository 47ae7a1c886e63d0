import { spawnSync } from 'node:child_process';
import { Unmet } from './step.mjs';

/** Runs a command to its end and returns its stdout. A failure throws `Unmet` with the last lines of what it printed. */
export function runCommand(command, args, options = {}) {
  const done = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  if (done.error) throw new Unmet(`Cannot run "${command}": ${done.error.code ?? done.error.message}`);
  if (done.status !== 0) {
    const tail = `${done.stdout}\n${done.stderr}`.trim().split('\n').slice(-40).join('\n  ');
    throw new Unmet(`"${command} ${args.join(' ')}" ended with ${done.signal ?? done.status}:\n  ${tail}`);
  }
  return done.stdout;
}
