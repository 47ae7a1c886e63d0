import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { COMMANDS } from '../../src/cli/commands.ts';
import type { Settings } from '../../src/cli/local.ts';
import { cli } from './cli-run.ts';

const NOWHERE = { POSTERN_RUN_DIR: '/nowhere' };

test('without words: the overview, exit 0', async () => {
  const { exit, stdout } = await cli([]);
  assert.is(exit, 0);
  assert.match(stdout, /Usage: postern COMMAND/);
});

test('every command explains itself, with its flags and examples', async () => {
  for (const command of COMMANDS.filter((row) => !row.hidden)) {
    const { exit, stdout } = await cli([...command.path, '--help']);
    assert.is(exit, 0);
    assert.ok(stdout.startsWith(`Usage: postern ${command.path.join(' ')}`), command.path.join(' '));
    for (const flag of command.flags)
      assert.ok(stdout.includes(`--${flag.name}`), `${command.path.join(' ')} --${flag.name}`);
    for (const [line] of command.examples) assert.ok(stdout.includes(line), line);
  }
});

test('the overview names every command', async () => {
  const { stdout } = await cli(['help']);
  for (const command of COMMANDS.filter((row) => !row.hidden))
    assert.match(stdout, new RegExp(`^  ${command.path[0]} .*${command.path[1] ?? ''}`, 'm'));
});

test('help of a noun lists its verbs, help of nonsense is refused', async () => {
  assert.match((await cli(['help', 'workload'])).stdout, /postern workload put NAMESPACE\/NAME/);
  assert.is((await cli(['help', 'nonsense'])).exit, 2);
});

test('version', async () => {
  assert.match((await cli(['version'])).stdout, /^postern \d+\.\d+\.\d+\n$/);
  assert.type(JSON.parse((await cli(['version', '-o', 'json'])).stdout).node, 'string');
});

test('a server that is not there: exit 3, what was tried, how to start one', async () => {
  const { exit, stdout, stderr } = await cli(['workload', 'list'], { env: NOWHERE });
  assert.equal([exit, stdout], [3, '']);
  assert.match(
    stderr,
    /^error: cannot reach the Postern server\n {2}tried unix:\/nowhere\/server\.sock: no such socket\nstart one here: +sudo postern standalone/,
  );
});

test('an agent that is not there: exit 3', async () => {
  const { exit, stderr } = await cli(['agent', 'status'], { env: NOWHERE });
  assert.is(exit, 3);
  assert.match(
    stderr,
    /cannot reach the Postern agent of this host\n {2}tried unix:\/nowhere\/agent\.sock: no such socket/,
  );
});

test('--show-curl prints the call also when nobody answers', async () => {
  const { stderr } = await cli(['workload', 'get', 'shop/a', '--show-curl'], { env: NOWHERE });
  assert.match(stderr, /^curl --unix-socket \/nowhere\/server\.sock http:\/\/localhost\/v1\/workloads\/shop\/a\n/);
});

test('names are checked before a call', async () => {
  const refusals: [string[], RegExp][] = [
    [
      ['workload', 'get', 'shop'],
      /"shop" is not the name of one workload: it is written NAMESPACE\/NAME, such as shop\/frontend/,
    ],
    [['policy', 'get', 'shop/a'], /written cnp\/NAMESPACE\/NAME, ccnp\/NAME, netpol\/NAMESPACE\/NAME or ccg\/NAME/],
    [['policy', 'get', 'ccnp/shop/a'], /is not the name of one policy/],
    [['get', 'wrkloads'], /there is no "wrkloads" to get; did you mean workloads\?/],
    [['delete', 'endpoints', 'x'], /endpoints cannot be deleted: they are what the agents report/],
    [['get', 'hosts', '--selector', 'a=b'], /hosts are not chosen by --selector/],
    [['workload', 'put', 'shop/a', '--label', 'app'], /--label "app": expected KEY=VALUE/],
    [['workload', 'put', 'shop/a', '--label', 'app=a', '--label', 'app=b'], /"app" is given twice/],
    [['workload', 'put', 'shop/a', '--match', '[1]'], /--match "\[1\]": expected one clause/],
    [['policy', 'put'], /a policy is put from a file: postern policy put -f FILE/],
    [['apply'], /needs a file or folder: postern apply -f PATH/],
    [['delete'], /needs a noun and a name, or -f/],
  ];
  for (const [argv, expected] of refusals) {
    const { exit, stderr } = await cli(argv, { env: NOWHERE });
    assert.is(exit, 2, argv.join(' '));
    assert.match(stderr, expected);
  }
});

test('server, agent and standalone run in this process with decided settings', async () => {
  const seen: Settings[] = [];
  const local = {
    standalone: async (settings: Settings) => seen.push(settings),
    server: async (settings: Settings) => seen.push(settings),
  };
  await cli(['standalone', '--listen', '127.0.0.1:1'], {
    local,
    env: { POSTERN_STATE_DIR: '/s', POSTERN_LISTEN: '127.0.0.1:2' },
  });
  await cli(['server'], { local, env: { DATABASE_URL: 'postgres://x' } });
  assert.equal(
    [seen[0]!.listen, seen[0]!.stateDir, seen[0]!.runDir, seen[0]!.pinDir],
    ['127.0.0.1:1', '/s', '/run/postern', '/sys/fs/bpf/postern'],
  );
  assert.equal(
    [seen[0]!.cgroupRoot, seen[0]!.databaseUrl, seen[1]!.databaseUrl],
    [undefined, undefined, 'postgres://x'],
  );
  assert.equal(
    seen.map(({ requireIfMatch }) => requireIfMatch),
    [false, false],
  );
});

test('an address that the server would not take is bad input', async () => {
  for (const listen of ['0.0.0.0:7460', '99999', 'localhost', '127.0.0.1:99999'])
    for (const command of ['standalone', 'server']) {
      const { exit, stderr } = await cli([command, '--listen', listen], { local: { [command]: async () => 0 } });
      assert.is(exit, 2);
      assert.match(stderr, /^error: --listen ".*" must be loopback and a port, such as 127\.0\.0\.1:7460/);
    }
});

test('a database that is no PostgreSQL is bad input, and its password is not repeated', async () => {
  const { exit, stderr } = await cli(['server'], {
    local: { server: async () => 0 },
    env: { DATABASE_URL: 'mysql://u:secret@db/x' },
  });
  assert.is(exit, 2);
  assert.match(stderr, /^error: --database-url "mysql:\.\.\." must be postgres:\/\//);
  assert.not.match(stderr, /secret/);
});

test('the exit code of a local command is the exit code', async () => {
  assert.is((await cli(['agent'], { local: { agent: async () => 4 } })).exit, 4);
});

test('a local command that is not wired is refused', async () => {
  assert.match((await cli(['agent'])).stderr, /"postern agent" is not part of this build/);
});

test('detach asks: without a terminal only --yes will do', async () => {
  let detached = 0;
  const local = {
    'agent detach': async () => {
      detached++;
      return 0;
    },
  };
  const refused = await cli(['agent', 'detach'], { local });
  if (process.geteuid?.() !== 0) return assert.is(refused.exit, 4);
  assert.equal([refused.exit, detached], [2, 0]);
  assert.match(refused.stderr, /Nobody to ask here: say --yes/);
  assert.is((await cli(['agent', 'detach', '--yes'], { local })).exit, 0);
  assert.is(detached, 1);
});

test.run();
