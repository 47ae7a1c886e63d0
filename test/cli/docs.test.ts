import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { COMMANDS } from '../../src/cli/commands.ts';
import { parse } from '../../src/cli/parse.ts';

const doc = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');

/** Lines of ```sh blocks that begin with postern, without comment and pipe. */
const lines = [...doc.matchAll(/```sh\n([\s\S]*?)```/g)]
  .flatMap((match) => match[1]!.split('\n'))
  .flatMap((line) => /^(?:sudo )?(?:\.\/)?postern (.*)$/.exec(line)?.[1] ?? [])
  .map((line) => line.replace(/\s+#.*$| \| .*$/g, ''));

test('docs/cli.md shows command lines that parse', () => {
  assert.ok(lines.length > 10);
  for (const line of lines) {
    const argv = [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]!);
    assert.is(parse(COMMANDS, argv, {}).kind, 'run', line);
  }
});

test('docs/cli.md names every flag of observe', () => {
  const observe = COMMANDS.find((command) => command.path.join(' ') === 'observe')!;
  for (const flag of observe.flags)
    assert.ok(doc.includes(`--${flag.name}`) || doc.includes(`\`-${flag.short}\``), flag.name);
});

test.run();
