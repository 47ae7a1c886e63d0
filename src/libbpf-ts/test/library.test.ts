import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const index = new URL('../src/index.ts', import.meta.url).href;

/** What `expression` gives in a process where libbpf is `library`. */
function evaluate(expression: string, library: string): string {
  const script = `const libbpf = await import('${index}');
    try { console.log(${expression}); } catch (error) { console.log(String(error)); }`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    env: { ...process.env, LIBBPF_TS_LIBRARY: library },
    encoding: 'utf8',
  }).stdout.trim();
}

test('without libbpf the pure parts work', () => {
  assert.is(evaluate('libbpf.u32Codec.size', '/nonexistent/libbpf.so.1'), '4');
});
test('a missing libbpf is named with the packages that have it', () => {
  assert.match(
    evaluate('libbpf.libbpfVersion()', '/nonexistent/libbpf.so.1'),
    /^Error: Cannot load "\/nonexistent\/libbpf.so.1": .*libbpf1.*LIBBPF_TS_LIBRARY/,
  );
});
test('libbpf 0.x is refused by name', () => {
  for (const name of ['libbpf.so.0', '/usr/lib/libbpf.so.0.8.0'])
    assert.match(evaluate('libbpf.libbpfVersion()', name), /libbpf 0.x is not supported, wanted libbpf.so.1/);
});
test('a library that is not libbpf is refused', () => {
  assert.match(
    evaluate('libbpf.libbpfVersion()', 'libc.so.6'),
    /Cannot use libbpf: .* is missing, wanted libbpf >= 1.0/,
  );
});

test.run();
