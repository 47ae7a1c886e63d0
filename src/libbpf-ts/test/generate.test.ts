import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { generate } from '../src/btf/generate.ts';
import type { Codec, MapCodecs } from '../src/index.ts';
import { Btf, codec, Elf } from '../src/index.ts';
import { compile, missingCompiler } from './kernel.ts';

const test = suite('generator');
const reason = missingCompiler();
if (reason !== undefined) console.log(`SKIP generator: ${reason}`);
else define();
test.run();

interface Generated {
  readonly eventCodec: Codec<Record<string, unknown>>;
  readonly policyValueCodec: Codec<Record<string, unknown>>;
  readonly Verdict: Readonly<Record<string, number>>;
  readonly maps: Readonly<Record<string, MapCodecs<unknown, unknown>>>;
  readonly programs: readonly string[];
  readonly sizes: Readonly<Record<string, number>>;
  readonly bigint: readonly string[];
}

function define(): void {
  const object = compile('all');
  const bytes = readFileSync(object);
  const btf = Btf.fromObject(bytes);
  const bigint = ['policy_value.cookie'];
  const options = { types: ['event', 'verdict'], bigint, source: 'all.bpf.o' };
  const text = generate(btf, new Elf(bytes), options);
  // Type stripping and package names work only inside the package.
  const directory = mkdtempSync(join(import.meta.dirname, 'generated-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'all.skel.ts');
  writeFileSync(file, text);
  const cli = (...args: string[]) =>
    spawnSync(process.execPath, [join(import.meta.dirname, '../src/cli.ts'), ...args], { encoding: 'utf8' });

  test('generated and run-time codecs read and write the same bytes', async () => {
    const skeleton = (await import(file)) as Generated;
    const pairs = [
      [skeleton.eventCodec, codec<Record<string, unknown>>(btf, 'event')],
      [skeleton.policyValueCodec, codec<Record<string, unknown>>(btf, 'policy_value', { bigint })],
      [skeleton.maps['policy']?.key, codec(btf, 'policy_key')],
      [skeleton.maps['ipcache']?.key, codec(btf, 'prefix_key')],
    ] as const;
    for (const [fast, slow] of pairs) {
      assert.is(fast?.size, slow.size);
      fc.assert(
        fc.property(fc.uint8Array({ minLength: slow.size, maxLength: slow.size }), (content) => {
          const view = new DataView(content.slice().buffer);
          const value = slow.decode(view, 0);
          assert.equal(fast?.decode(view, 0), value);
          const [left, right] = [new DataView(new ArrayBuffer(slow.size)), new DataView(new ArrayBuffer(slow.size))];
          fast?.encode(left, 0, value as never);
          slow.encode(right, 0, value as never);
          assert.equal(Buffer.from(left.buffer), Buffer.from(right.buffer));
        }),
      );
    }
  });
  test('names enums, programs, sizes and bigint fields', async () => {
    const skeleton = (await import(file)) as Generated;
    assert.equal(skeleton.Verdict, { VERDICT_UNSPEC: 0, VERDICT_FORWARDED: 1, VERDICT_DROPPED: 2 });
    assert.ok(skeleton.programs.includes('connect_first') && skeleton.programs.includes('each_socket'));
    assert.is(skeleton.sizes['event'], btf.structLayout('event').size);
    assert.equal(skeleton.bigint, bigint);
  });
  test('the same object gives the same text', () => {
    assert.is(generate(btf, new Elf(bytes), options), text);
  });
  test('neither a run-time compiler nor a suppression is in the output', () => {
    assert.not.match(text, /new Function|eval\(|ts-nocheck|ts-ignore|: any/);
  });
  test('an unknown type or field is refused by name', () => {
    assert.throws(() => generate(btf, new Elf(bytes), { ...options, types: ['nope'] }), /no type "nope"/);
    assert.throws(
      () => generate(btf, new Elf(bytes), { ...options, bigint: ['event.kind'] }),
      /no 64-bit field "event.kind"/,
    );
  });
  test('the command writes what the function returns', () => {
    const out = join(directory, 'cli.skel.ts');
    const { status, stderr } = cli('gen', object, '--types', 'event,verdict', '--bigint', bigint.join(), '--out', out);
    assert.is(stderr, '');
    assert.is(status, 0);
    assert.is(readFileSync(out, 'utf8'), text);
  });
  test('the command explains itself', () => {
    assert.match(cli('--help').stdout, /Usage: libbpf-ts gen OBJECT/);
    assert.is(cli().status, 2);
    assert.is(cli('gen', object, '--nope').status, 2);
    const { status, stderr } = cli('gen', import.meta.filename);
    assert.is(status, 1);
    assert.match(stderr, /not an ELF file/);
  });
}
