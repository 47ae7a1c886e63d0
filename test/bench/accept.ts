import type { ChildProcess } from 'node:child_process';
import { type RunOptions, serve } from '../e2e/run-in.ts';
import { until } from '../e2e/wait.ts';

export const ACCEPT_PORT = 7100;
/** Counts are told in these steps. */
const STEP = 1000;

const ACCEPT = `
use IO::Socket::INET; $| = 1;
my $l = IO::Socket::INET->new(LocalPort => ${ACCEPT_PORT}, Listen => 4096, ReuseAddr => 1) or die $!;
print "ready\\n";
while (my $c = $l->accept) { push @held, $c; print "held ", scalar(@held), "\\n" if @held % ${STEP} == 0; }
`;

/** Accepts up to 20 000 connections and never reads: an end that is told costs nobody anything. */
export interface Acceptor {
  readonly child: ChildProcess;
  /** Until so many, a multiple of 1000, are accepted: connect() returns before that, and the rest would take a CPU. */
  accepted(count: number): Promise<void>;
}

export async function startAcceptor(where: RunOptions): Promise<Acceptor> {
  const child = await serve(['bash', '-c', `ulimit -n 20000; exec perl -e '${ACCEPT}'`], /ready/, where);
  let output = '';
  child.stdout!.on('data', (text) => {
    output += text;
  });
  return {
    child,
    accepted: (count) => until(`${count} connections are accepted`, () => output.includes(`held ${count}\n`)),
  };
}
