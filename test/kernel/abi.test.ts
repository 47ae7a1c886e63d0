/** The TypeScript side of bpf/abi.h is the one that the built object says. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Btf } from 'libbpf-ts';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ABI_VERSION } from '../../src/datapath/kernel.ts';
import { sizes } from '../../src/datapath/postern.skel.ts';

const ROOT = join(import.meta.dirname, '../..');
const OBJECT = join(ROOT, 'build/postern.bpf.o');
const build = readFileSync(join(ROOT, 'scripts/build-bpf.mjs'), 'utf8');
const header = readFileSync(join(ROOT, 'bpf/abi.h'), 'utf8');

test('the committed skeleton is what the generator makes of the object', () => {
  const [types, bigint] = ['TYPES', 'BIGINT'].map(
    (name) => new RegExp(`const ${name} =\\s*'([^']+)'`).exec(build)![1]!,
  );
  const generator = join(ROOT, 'src/libbpf-ts/src/cli.ts');
  const args = [generator, 'gen', 'build/postern.bpf.o', '--types', types!, '--bigint', bigint!];
  const text = execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 24 });
  assert.is(readFileSync(join(ROOT, 'src/datapath/postern.skel.ts'), 'utf8'), text);
});

test('every size in the skeleton is the size in the BTF of the object', () => {
  const btf = Btf.fromObject(OBJECT);
  for (const [name, size] of Object.entries(sizes)) {
    const type = btf.find(name) as { size?: number } | undefined;
    assert.is(type?.size, size, name);
  }
});

test('sizes that maps pinned by an earlier version rely on', () => {
  const expected = {
    ident_cfg: 8,
    ident_place: 16,
    l3_key: 12,
    l3_val: 24,
    l4_key: 8,
    cidr_key: 24,
    local_key: 32,
    conv_key: 32,
    proc: 32,
    sk_info: 88,
    connection: 48,
    connection_slot: 64,
  };
  for (const [name, size] of Object.entries(expected)) assert.is((sizes as Record<string, number>)[name], size, name);
});

test('the layout version of the header is the one that the agent refuses others for', () => {
  assert.is(Number(/POSTERN_ABI_VERSION (\d+)/.exec(header)![1]), ABI_VERSION);
});

for (const [file, names] of Object.entries({
  'match-tables.ts': ['CLAUSES_MAX', 'CLAUSE_ARGS', 'CGROUP_PATTERN_MAX', 'PATTERN_MAX', 'ENV_SLOT'],
  'cgroup-patterns.ts': ['NESTED_MAX'],
}))
  for (const name of names)
    test(`${name} in ${file} is that of bpf/abi.h`, () => {
      const source = readFileSync(join(ROOT, 'src/datapath', file), 'utf8');
      const value = (text: string, pattern: string) => Number(new RegExp(pattern).exec(text)?.[1]);
      assert.is(value(source, `const ${name} = (\\d+)`), value(header, `#define ${name} (\\d+)`));
    });

test.run();
