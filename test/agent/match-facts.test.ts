import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { expandPath, loadMatchFacts } from '../../src/agent/match-facts.ts';
import { createSocketUnitFiles } from '../../src/agent/socket-units.ts';
import { createUserNames } from '../../src/agent/user-names.ts';
import { toGlob } from '../../src/core/glob.ts';
import { compileMatch } from '../../src/core/match-program.ts';
import { RealHost } from './real.ts';

const NO_SOCKETS = createSocketUnitFiles([]);

const test = suite('match facts');
const host = new RealHost();
test.after(() => host.close());
const root = host.folder;

test.before(() => {
  for (const folder of ['jvm/17/bin', 'jvm/21/bin', 'jvm/doc', 'deep/a/b/c'])
    mkdirSync(join(root, folder), { recursive: true });
  for (const file of [
    'jvm/17/bin/java',
    'jvm/21/bin/java',
    'jvm/21/bin/javac',
    'deep/a/b/c/tool',
    'deep/tool',
    'odd*name',
  ])
    host.file(file, '', 0o755);
  symlinkSync(join(root, 'jvm/21'), join(root, 'jvm/default'));
  symlinkSync(join(root, 'jvm/21/bin/java'), join(root, 'java'));
});

const rows: [pattern: string, files: string[]][] = [
  ['jvm/*/bin/java', ['jvm/17/bin/java', 'jvm/21/bin/java']],
  ['jvm/[0-9]*/bin/java?', ['jvm/21/bin/javac']],
  ['java', ['jvm/21/bin/java']],
  ['deep/**/tool', ['deep/a/b/c/tool']],
  ['deep/**', ['deep/a/b/c/tool', 'deep/tool']],
  ['odd\\*name', ['odd*name']],
  ['jvm/*', []],
  ['nothing/*', []],
];
for (const [pattern, files] of rows) {
  test(`"${pattern}" names ${files.length} files, links resolved, each once`, () => {
    assert.equal(
      expandPath(toGlob(`${root}/${pattern}`)),
      files.map((file) => join(root, file)),
    );
  });
}

test('facts hold what the program asks of this host', () => {
  const exe = `${root}/java`;
  const match = [
    { process: { exe, user: 'root' } },
    { process: { exe: `${root}/jvm/*/bin/java`, user: 'nobody-of-that-name' } },
  ];
  const facts = loadMatchFacts([{ match }], createUserNames(), NO_SOCKETS);
  assert.equal([...facts.uids], [['root', 0]]);
  assert.equal(facts.paths.get(exe), [`${root}/jvm/21/bin/java`]);
  const workload = { namespace: 'n', name: 'a', labels: {}, match, identity: 65792, createdRevision: 1 };
  const program = compileMatch([workload], facts);
  assert.equal(program.clauses[0]?.exes, [`${root}/jvm/21/bin/java`]);
  assert.equal(program.waiting, [
    { workload: 'n/a', clause: 1, reason: 'user "nobody-of-that-name" does not exist on this host' },
  ]);
});

test('an executable that anybody can write, or in a folder that anybody can, is not trusted', () => {
  const untrusted = (exe: string) =>
    loadMatchFacts([{ match: [{ process: { exe } }] }], createUserNames(), NO_SOCKETS).untrusted?.has(exe);
  const exe = join(root, 'deep/tool');
  assert.is(untrusted(exe), false);
  chmodSync(exe, 0o777);
  assert.is(untrusted(exe), true);
  chmodSync(exe, 0o755);
  chmodSync(join(root, 'deep'), 0o777);
  assert.is(untrusted(exe), true);
  chmodSync(join(root, 'deep'), 0o755);
  assert.is(untrusted('/tmp/no-such-file-yet'), true);
});

test.run();
