/** A process in a cgroup and a network namespace that opens sockets as a test tells it (puppet.pl). */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type RunOptions, start } from './run-in.ts';

export interface Puppet {
  /** One command, one answer; see puppet.pl. */
  tell(command: string): Promise<string>;
  end(): void;
}

export function startPuppet(options: RunOptions): Puppet {
  const child = start(['perl', join(import.meta.dirname, 'puppet.pl')], options);
  const waiting: ((line: string) => void)[] = [];
  let said = '';
  child.stderr!.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  createInterface({ input: child.stdout! }).on('line', (line) => waiting.shift()?.(line));
  child.on('close', (code) => {
    for (const answer of waiting.splice(0)) answer(`ended with ${code}: ${said}`);
  });
  return {
    tell: (command) => {
      const { promise, resolve } = Promise.withResolvers<string>();
      waiting.push(resolve);
      child.stdin!.write(`${command}\n`);
      return promise;
    },
    end: () => void child.kill('SIGKILL'),
  };
}
