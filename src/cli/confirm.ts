/** A question before something that cannot be taken back: on a terminal it is asked, elsewhere --yes is needed. */
import { createInterface, type Interface } from 'node:readline/promises';
import type { Call } from './command.ts';
import { Failure } from './failure.ts';

/** Returns when the answer is yes (or --yes is given); Failure 1 for no, Failure 2 where nobody can be asked. */
export async function confirm(call: Call, question: string): Promise<void> {
  if (call.on('yes')) return;
  const { stdin, stderr } = call.io;
  if (!stdin.isTTY || !stderr.isTTY) throw new Failure(2, `${question} Nobody to ask here: say --yes`);
  const lines = createInterface({ input: stdin, output: stderr });
  const answer = await Promise.race([lines.question(`${question} [y/N] `), untilClosed(lines)]);
  lines.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new Failure(1, 'nothing was changed');
}

/** Ctrl-C and Ctrl-D are a no. */
function untilClosed(lines: Interface): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  lines.once('SIGINT', () => lines.close());
  lines.once('close', () => resolve('no'));
  return promise;
}
