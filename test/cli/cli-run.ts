// Runs the command line in this process with streams in memory.
import { PassThrough, Readable } from 'node:stream';
import type { Io } from '../../src/cli/command.ts';
import type { Local } from '../../src/cli/local.ts';
import { runCli } from '../../src/cli/run.ts';

export interface Ran {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface With {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly local?: Local;
}

export async function cli(argv: readonly string[], { env = {}, stdin = '', local }: With = {}): Promise<Ran> {
  const { io, ran } = memoryIo(env, stdin);
  const exit = await runCli(argv, io, local);
  return { exit, ...ran() };
}

export function memoryIo(env: Readonly<Record<string, string>>, stdin: string) {
  const texts = { stdout: '', stderr: '' };
  const sink = (name: keyof typeof texts) => {
    const stream = new PassThrough();
    stream.on('data', (chunk) => {
      texts[name] += chunk;
    });
    return stream;
  };
  const io: Io = { stdout: sink('stdout'), stderr: sink('stderr'), stdin: Readable.from([Buffer.from(stdin)]), env };
  return { io, ran: () => ({ ...texts }) };
}
