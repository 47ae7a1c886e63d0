import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Format, locateErrors, parseDocuments, toYaml } from '../../src/api/document.ts';
import { jsonErrorOffset } from '../../src/api/json-error.ts';
import { findDuplicateKey, offsetOf, positionOf } from '../../src/api/json-scan.ts';

const test = suite('document');

function texts(text: string): string[] {
  const result = parseDocuments(text, 'yaml');
  return result.ok ? result.value.map((document) => document.text) : [JSON.stringify(result.errors)];
}

function refusal(text: string, format: Format) {
  const result = parseDocuments(text, format);
  return result.ok ? undefined : result.errors[0];
}

test('each YAML document keeps its own text, with the comments above it', () => {
  assert.equal(texts('# one\na: 1 # x\nb: [1,2]\n---\n# two\n\nc: 3\n...\n---\n---\nd: 4\n'), [
    '# one\na: 1 # x\nb: [1,2]\n',
    '# two\n\nc: 3\n',
    'd: 4\n',
  ]);
});

test('a block scalar that looks like a document end is none', () => {
  assert.equal(texts('a: |\n  ---\n  x\n---\nb: 1\n'), ['a: |\n  ---\n  x\n', 'b: 1\n']);
});

test('duplicate keys are found at any depth, with their place', () => {
  for (const [text, format, line, column] of [
    ['{"a":{"b":1,\n  "b":2}}', 'json', 2, 3],
    ['{"a":1,"\\u0061":2}', 'json', 1, 8],
    ['[{"a":[],"a":{}}]', 'json', 1, 10],
    ['a:\n  b: 1\n  b: 2\n', 'yaml', 3, 3],
    ['a: {b: 1, "b": 2}', 'yaml', 1, 11],
    ['a: 1\n---\nb: 1\nb: 2\n', 'yaml', 4, 1],
  ] as const) {
    const error = refusal(text, format);
    assert.is(error?.code, 'duplicate-key', text);
    assert.equal([error?.line, error?.column], [line, column], text);
  }
  assert.is(refusal('{"a":[{"b":1},{"b":2}],"b":{"a":"b"}}', 'json'), undefined);
  assert.is(refusal('a: {b: 1}\nb: {b: 1}\n', 'yaml'), undefined);
});

test('where a text stops being JSON is told by line and column, whatever the parser says of it', () => {
  for (const [text, line, column] of [
    ['apiVersion: v1\nkind: List\n', 1, 1],
    ['{"a": 1,\n "b": x}', 2, 7],
    ['{"a": 1\n "b": 2}', 2, 2],
    ['{"a": [1, 2\n', 2, 1],
    ['{"a": 1}\n{', 2, 1],
    ['[1,]', 1, 4],
    ['{"a" 1}', 1, 6],
    ['{1: 2}', 1, 2],
    ['{"a": "\t"}', 1, 7],
    ["{'a': 1}", 1, 2],
    ['[01]', 1, 3],
    ['[1}', 1, 3],
  ] as const) {
    const error = refusal(text, 'json');
    assert.equal([error?.line, error?.column], [line, column], text);
    assert.not.match(error?.message ?? '', / at position |is not valid JSON/);
  }
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.is(jsonErrorOffset(text), text.length);
      assert.is(jsonErrorOffset(` ${text} ?`), text.length + 2);
    }),
  );
});

test('what is no document is refused with a place', () => {
  for (const [text, format] of [
    ['', 'json'],
    ['{"a":}', 'json'],
    ['{"a":1} x', 'json'],
    ['a: [', 'yaml'],
    ['a: b: c', 'yaml'],
    ['\tx: 1', 'yaml'],
    ['a: !!foo x', 'yaml'],
    ['a: *none', 'yaml'],
    ['? [a]\n: b', 'yaml'],
  ] as const) {
    const error = refusal(text, format);
    assert.ok(error !== undefined, text);
    assert.ok(error.line! >= 1 && error.column! >= 1, `${text}: ${JSON.stringify(error)}`);
  }
});

test('merge keys and anchors work as in a cluster', () => {
  const result = parseDocuments('base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\n', 'yaml');
  assert.ok(result.ok);
  assert.equal(result.value[0]!.value, { base: { x: 1, y: 2 }, a: { x: 1, y: 3 } });
});

test('in YAML, a value is located where it stands, a mapping or a list at its key', () => {
  const text = 'a:\n  b: 1\n  c:\n    - d: x\n      e:\n        f: 2\n  "g/h": {i: 3}\n  empty:\n';
  const result = parseDocuments(text, 'yaml');
  assert.ok(result.ok);
  for (const [path, line, column] of [
    ['', 1, 1],
    ['/a/b', 2, 6],
    ['/a/c', 3, 3],
    ['/a/c/0', 4, 7],
    ['/a/c/0/d', 4, 10],
    ['/a/c/0/e', 5, 7],
    ['/a/c/0/e/f', 6, 12],
    ['/a/g~1h', 7, 3],
    ['/a/g~1h/i', 7, 14],
    ['/a/empty', 8, 3],
    ['/a/c/0/missing', 4, 7],
  ] as const) {
    const [error] = locateErrors([{ path, message: 'x' }], result.value[0]!);
    assert.equal([error?.line, error?.column], [line, column], path);
  }
});

test('an error is located in the text, in both languages', () => {
  const cases: [string, Format][] = [
    ['{\n "spec": {\n  "ingress": [{}, {"toPorts": 5}]\n }\n}', 'json'],
    ['\nspec:\n  ingress: [{}, {"toPorts": 5}]\n', 'yaml'],
  ];
  for (const [text, format] of cases) {
    const result = parseDocuments(text, format);
    assert.ok(result.ok);
    const [error] = locateErrors([{ path: '/spec/ingress/1/toPorts', message: 'x' }], result.value[0]!);
    assert.is(error!.line, 3);
    assert.is(text.split('\n')[2]![error!.column! - 1], '5');
    const [around] = locateErrors([{ path: '/spec/ingress/1/missing', message: 'x' }], result.value[0]!);
    assert.is(around!.line, 3);
  }
});

test('any JSON value comes through unchanged, has no duplicate key, and each value is found where it stands', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.boolean(), (value, pretty) => {
      const text = JSON.stringify(value, null, pretty ? 2 : 0);
      if (/"__proto__":|\\u0000|\\ud[89a-f]/i.test(text)) return;
      const result = parseDocuments(text, 'json');
      assert.ok(result.ok, text);
      assert.equal(result.value[0]!.value, JSON.parse(text));
      assert.is(findDuplicateKey(text), undefined);
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
        for (const [key, item] of Object.entries(value)) {
          const path = `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
          const first = JSON.stringify(item)[0];
          assert.is(text[offsetOf(text, path)], first, `${path} in ${text}`);
        }
      }
    }),
  );
});

test('YAML that we write is YAML that we read', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), (value) => {
      const plain = JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
      const json = JSON.stringify(plain);
      if (/"__proto__":|\\u0000|\\ud[89a-f]/i.test(json) || Object.keys(plain).length === 0) return;
      const result = parseDocuments(toYaml(plain), 'yaml');
      assert.ok(result.ok, `${JSON.stringify(result)} of ${toYaml(plain)}`);
      assert.equal(result.value[0]!.value, plain);
    }),
  );
});

test('positions count from 1', () => {
  assert.equal(positionOf('ab\ncd', 0), { line: 1, column: 1 });
  assert.equal(positionOf('ab\ncd', 2), { line: 1, column: 3 });
  assert.equal(positionOf('ab\ncd', 4), { line: 2, column: 2 });
});

test.run();
