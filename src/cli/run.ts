/**
 * The command line: argv in, exit code out. Everything but the commands in local.ts is a client of the REST API.
 *
 *   argv ─ parse (table in commands.ts) ─► Call ─ command.run ─► exit code
 *                                                     └ Failure ─► text on stderr, its exit code
 */
import { type Client, createClient } from './client.ts';
import type { Call, Flags, Io } from './command.ts';
import { COMMANDS } from './commands.ts';
import { Failure } from './failure.ts';
import { help } from './help.ts';
import type { Local } from './local.ts';
import { createOut, type Format, ReaderGone } from './out.ts';
import { parse } from './parse.ts';
import { agentTarget, serverTargets } from './target.ts';
import { VERSION } from './version.ts';

/** Never throws for a mistake of the user or the world; 0 done, 1 the answer is no, 2 bad input, 3 cannot reach, 4 not allowed. */
export async function runCli(argv: readonly string[], io: Io, local: Local = {}): Promise<number> {
  try {
    const parsed = parse(COMMANDS, argv, io.env);
    if (parsed.kind === 'help') {
      await createOut(io, 'table').print(help(COMMANDS, parsed.path));
      return 0;
    }
    const { command, args, flags } = parsed;
    const out = createOut(io, flags.text('output') as Format);
    const call: Call = { ...flags, command, args, io, out, local, ...createClients(flags, io) };
    return await command.run(call);
  } catch (error) {
    if (error instanceof ReaderGone) return 0;
    if (!(error instanceof Failure)) throw error;
    io.stderr.write(`${[`error: ${error.message}`, ...error.details].join('\n')}\n`);
    return error.exit;
  }
}

function createClients(flags: Flags, io: Io): { server: Client; agent: Client } {
  const runDir = flags.text('run-dir')!;
  const shared = {
    userAgent: `postern/${VERSION}`,
    showCurl: flags.on('show-curl') ? (text: string) => void io.stderr.write(`${text}\n`) : undefined,
    silenceMs: 60_000,
  };
  // Targets are decided at the first call: a wrong --server must not stop `postern version`.
  const lazy = (make: () => Client): Client => {
    let client: Client | undefined;
    const get = () => {
      client ??= make();
      return client;
    };
    return {
      send: (r) => get().send(r),
      must: (r) => get().must(r),
      json: (r) => get().json(r),
      lines: (r) => get().lines(r),
    };
  };
  return {
    server: lazy(() =>
      createClient({
        ...shared,
        what: 'the Postern server',
        targets: serverTargets({ server: flags.text('server'), runDir, listen: io.env.POSTERN_LISTEN }),
        howToStart: [
          'start one here:    sudo postern standalone     (server and agent on this host)',
          'or name another:   postern --server http://HOST:PORT ..., or POSTERN_SERVER',
        ],
      }),
    ),
    agent: lazy(() =>
      createClient({
        ...shared,
        what: 'the Postern agent of this host',
        targets: [agentTarget(runDir)],
        howToStart: [
          'start it here:     sudo postern agent          (or, with a server: sudo postern standalone)',
          'or say where:      postern --run-dir DIR ..., or POSTERN_RUN_DIR',
        ],
      }),
    ),
  };
}
