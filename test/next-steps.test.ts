import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { nextSteps } from '../src/next-steps.ts';

test('each printed command goes to the instance that printed it', () => {
  const url = 'http://127.0.0.1:7999';
  const commands = nextSteps(url, true)
    .replaceAll('\\\n', '')
    .split('\n')
    .filter((line) => /^ {2}(curl|\.\/postern) /.test(line));
  assert.ok(commands.length >= 7);
  for (const command of commands) assert.ok(command.includes(url), command);
  assert.match(nextSteps('http://127.0.0.1:7460', true), /^ {2}\.\/postern observe -f$/m);
});

test('who may write is said: root, and the own user of a server that is not root', () => {
  assert.match(nextSteps('http://127.0.0.1:7999', true, true), /as root in another shell/);
  assert.match(nextSteps('http://127.0.0.1:7999', false, false), /as this user or root in another shell/);
});

test('each printed command is one that the shell takes', () => {
  const run = spawnSync('sh', ['-n'], { input: nextSteps('http://127.0.0.1:7999', true).replace(/^[^# ].*$/gm, '') });
  assert.is(run.status, 0, String(run.stderr));
});

test.run();
