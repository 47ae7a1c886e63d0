import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { refsOfDocument } from '../../src/cli/document-ref.ts';
import { readBundle } from '../../src/cli/documents.ts';
import type { Failure } from '../../src/cli/failure.ts';
import { memoryIo } from './cli-run.ts';

const test = suite('documents', { folder: '' });

test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'postern-cli-'));
});
test.after.each(({ folder }) => rmSync(folder, { recursive: true, force: true }));

const read = (paths: string[], stdin = '') => readBundle(paths, memoryIo({}, stdin).io);

async function refusal(paths: string[], stdin = ''): Promise<string> {
  try {
    await read(paths, stdin);
  } catch (error) {
    assert.is((error as Failure).exit, 2);
    return [(error as Failure).message, ...(error as Failure).details].join('\n');
  }
  throw new Error('was not refused');
}

test('a single file goes to the server as it is, comments and all', async ({ folder }) => {
  const path = join(folder, 'a.yaml');
  const text = '# why\na: 1\n---\n# nothing\n---\nb: 2\n';
  writeFileSync(path, text);
  const bundle = await read([path]);
  assert.is(bundle.body, text);
  assert.is(bundle.contentType, 'application/yaml');
  assert.is(bundle.bodyFile, path);
  assert.equal(bundle.documents, [{ a: 1 }, { b: 2 }]);
});

test('a folder is read with all below it, in the order of names, and nothing but YAML and JSON that is not hidden', async ({
  folder,
}) => {
  mkdirSync(join(folder, 'b'));
  writeFileSync(join(folder, 'z.yml'), 'n: 3');
  writeFileSync(join(folder, 'b/y.json'), '{\n\t"n": 2\n}');
  writeFileSync(join(folder, 'a.yaml'), 'n: 1\n');
  writeFileSync(join(folder, 'README.md'), '# no');
  mkdirSync(join(folder, '.git'));
  mkdirSync(join(folder, 'not-a-file.yaml'));
  writeFileSync(join(folder, '.git/x.yaml'), 'n: 4\n');
  const bundle = await read([folder]);
  assert.equal(bundle.documents, [{ n: 1 }, { n: 2 }, { n: 3 }]);
  assert.is(bundle.body, 'n: 1\n---\n{\n  "n": 2\n}\n---\nn: 3\n');
  assert.is(bundle.bodyFile, undefined);
});

test('an error of the server names the file and its own line', async ({ folder }) => {
  writeFileSync(join(folder, 'a.yaml'), 'n: 1\nm: 1\n');
  writeFileSync(join(folder, 'b.yaml'), '# comment\nn: 2\n');
  const { place } = await read([folder]);
  assert.is(place({ path: '/m', message: '', line: 2, column: 1 }), `${folder}/a.yaml:2:1 /m`);
  assert.is(place({ path: '/n', message: '', line: 5, column: 1 }), `${folder}/b.yaml:2:1 /n`);
  assert.is(place({ path: '/n', message: '' }), undefined);
});

test('stdin is read as JSON when it is JSON, else as YAML', async () => {
  assert.is((await read(['-'], '{"a": 1}')).contentType, 'application/json');
  assert.is((await read(['-'], '{a: 1}')).contentType, 'application/yaml');
});

test('what cannot be read is refused by name', async ({ folder }) => {
  assert.is(await refusal([join(folder, 'nope.yaml')]), `cannot read "${folder}/nope.yaml": no such file or folder`);
  assert.is(await refusal([folder]), `no *.yaml, *.yml or *.json in folder "${folder}"`);
  assert.is(await refusal(['-'], '# nothing\n'), 'no documents in -');
});

test('a mistake is named by file, line and column before anything is sent', async ({ folder }) => {
  const path = join(folder, 'a.yaml');
  writeFileSync(path, 'a: 1\na: 2\n');
  assert.match(await refusal([path]), new RegExp(`"${path}" is not valid YAML\n  ${path}:2:1.*duplicate key`));
  const json = join(folder, 'a.json');
  writeFileSync(json, '{"a": 1,}');
  assert.match(await refusal([json]), new RegExp(`"${json}" is not valid JSON\n  ${json}:1:9`));
});

const ref = (document: unknown) => refsOfDocument(document).map(({ noun, ref }) => `${noun.word} ${ref}`);

test('documents name their objects', () => {
  const metadata = { namespace: 'shop', name: 'x' };
  assert.equal(ref({ kind: 'CiliumNetworkPolicy', metadata }), ['policy cnp/shop/x']);
  assert.equal(ref({ kind: 'NetworkPolicy', metadata: { name: 'x' } }), ['policy netpol/default/x']);
  assert.equal(ref({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'x' } }), ['policy ccnp/x']);
  assert.equal(ref({ kind: 'Workload', metadata }), ['workload shop/x']);
  assert.equal(ref({ kind: 'Namespace', metadata: { name: 'shop' } }), ['namespace shop']);
  assert.equal(
    ref({
      kind: 'List',
      items: [
        { kind: 'Workload', metadata },
        { kind: 'NetworkPolicy', metadata },
      ],
    }),
    ['workload shop/x', 'policy netpol/shop/x'],
  );
  assert.equal(ref({ kind: 'cnp', name: 'x', document: { kind: 'CiliumNetworkPolicy', metadata } }), [
    'policy cnp/shop/x',
  ]);
});

test('a document of an unknown kind, or without a name, is refused', () => {
  assert.throws(
    () => ref({ kind: 'Pod', metadata: { name: 'x' } }),
    /kind "Pod" is not known \(allowed: Workload, Namespace, Cilium/,
  );
  assert.throws(() => ref(7), /kind \(none\) is not known/);
  assert.throws(() => ref({ kind: 'Workload' }), /a Workload has no metadata\.name/);
});

test.run();
