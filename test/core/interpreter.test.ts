/** Which file an interpreter runs, told from its arguments. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isInterpreter, isJava, scriptFileOf, scriptOf } from '../../src/core/interpreter.ts';

const test = suite('interpreter');

const cases: [string, string | undefined, string | undefined][] = [
  // command, the file, what it runs where that is no file
  ['/usr/bin/python3.11 /srv/a.py x.py', '/srv/a.py', undefined],
  ['/usr/bin/python3 -u -W ignore -- a.py', 'a.py', undefined],
  ['/usr/bin/python3 -m http.server 80', undefined, 'http.server'],
  ['/usr/bin/python3 -c print() a.py', undefined, undefined],
  ['/usr/bin/python3', undefined, undefined],
  ['/usr/bin/python3 - a.py', undefined, undefined],
  ['/usr/bin/node --require x --inspect server.js', 'server.js', undefined],
  ['/usr/bin/php8.2 -d a=b run.php', 'run.php', undefined],
  ['/bin/bash -e -o pipefail +x run.sh -c', 'run.sh', undefined],
  ['/bin/sh -ec run.sh', undefined, undefined],
  ['/bin/bash --norc --rcfile x run.sh', 'run.sh', undefined],
  ['/usr/lib/jvm/java-17/bin/java -cp a:b -Dx=y -jar app.jar', 'app.jar', undefined],
  ['/usr/bin/java -cp a:b @args kafka.Kafka server.properties', undefined, 'kafka.Kafka'],
  ['/usr/bin/java -m mod/Main', undefined, 'mod/Main'],
  ['/usr/bin/vim a.py', undefined, undefined],
  ['python3 a.py', undefined, undefined],
];

for (const [command, file, other] of cases)
  test(command, () => {
    const args = command.split(' ');
    const process = { exe: args[0]!, args };
    assert.is(scriptFileOf(process), file);
    assert.is(scriptOf(process), file ?? other);
  });

test('an interpreter is known by the name of its file, java apart', () => {
  for (const exe of ['/usr/bin/python3.12', '/opt/node-20/bin/node', '/bin/dash', '/usr/bin/perl'])
    assert.is(isInterpreter(exe), true, exe);
  for (const exe of ['/usr/bin/pythonic', '/usr/bin/nodes', '/usr/lib/jvm/x/bin/java', 'bash', undefined])
    assert.is(isInterpreter(exe), false, String(exe));
  assert.is(isJava('/usr/lib/jvm/x/bin/java'), true);
  assert.is(isJava('/usr/bin/javac'), false);
});

test.run();
