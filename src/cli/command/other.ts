/** version, help, completion, and the hidden command that completion scripts call. */
import type { Command } from '../command.ts';
import { COMMANDS } from '../commands.ts';
import { complete } from '../complete.ts';
import { completionScript, type Shell } from '../completion-script.ts';
import { Failure } from '../failure.ts';
import { help } from '../help.ts';
import { VERSION } from '../version.ts';

export const OTHER_COMMANDS: readonly Command[] = [
  {
    path: ['version'],
    summary: 'Show the version of this program',
    args: [],
    flags: [],
    examples: [['postern version -o json', 'for a script']],
    run: async (call) => {
      if (call.out.format === 'table') await call.out.print(`postern ${VERSION}`);
      else
        await call.out.value({
          version: VERSION,
          node: process.version,
          platform: `${process.platform}-${process.arch}`,
        });
      return 0;
    },
  },
  {
    path: ['completion'],
    summary: 'Print the completion script of a shell',
    args: [{ name: 'bash|zsh|fish' }],
    flags: [],
    examples: [
      ['source <(postern completion bash)', 'in this shell'],
      ['postern completion bash > /etc/bash_completion.d/postern', 'for everybody'],
      ['postern completion zsh > ~/.zfunc/_postern', 'zsh, where ~/.zfunc is in fpath'],
      ['postern completion fish > ~/.config/fish/completions/postern.fish', 'fish'],
    ],
    run: async (call) => {
      const shell = call.args[0]!;
      if (shell !== 'bash' && shell !== 'zsh' && shell !== 'fish')
        throw new Failure(2, `no completion for "${shell}" (allowed: bash, zsh, fish)`);
      await call.out.print(completionScript(shell as Shell).trimEnd());
      return 0;
    },
  },
  {
    path: ['help'],
    summary: 'Explain Postern, or a command',
    args: [{ name: 'COMMAND', optional: true, many: true, complete: 'command' }],
    flags: [],
    examples: [['postern help workload put', 'the same as postern workload put --help']],
    run: async (call) => {
      const known = COMMANDS.some((row) => call.args.every((word, i) => row.path[i] === word));
      if (!known) throw new Failure(2, `there is no command "${call.args.join(' ')}"`, ['see: postern help']);
      await call.out.print(help(COMMANDS, call.args));
      return 0;
    },
  },
  {
    path: ['__complete'],
    summary: 'Answer a completion script',
    hidden: true,
    args: [{ name: 'WORD', optional: true, many: true }],
    flags: [],
    examples: [],
    run: async (call) => {
      const candidates = await complete(COMMANDS, call.args, call.server);
      if (candidates.length > 0) await call.out.print(candidates.join('\n'));
      return 0;
    },
  },
];
