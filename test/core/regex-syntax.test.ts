import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { regexProblem } from '../../src/core/regex-syntax.ts';

/** What Go's regexp.Compile takes. */
const GOOD = [
  '',
  '/',
  'GET',
  'GET|POST',
  '|a',
  '()',
  '(a|)*',
  '/public/.*',
  '^/a[0-9]+$',
  'a{2,3}b{2}c{2,}',
  'a{,3}',
  'a{x',
  'a*?b+?c??',
  '[^/]+',
  '[]a]',
  '[a-]',
  '[[:alpha:]_]+',
  '\\d+\\.\\w\\S',
  '[\\d.-]',
  '(?i)get',
  '(?i:get)x',
  '(?P<name>a)(?<other>b)',
  '\\x41\\x{1F600}\\012\\0',
  '\\pL\\p{Greek}',
  '\\Qa*b\\Ec',
  'é+',
];
/** What it refuses. */
const BAD = [
  '*',
  '+a',
  '(*)',
  'a|*',
  'a**',
  'a+*',
  'a{2}{3}',
  'a{1001}',
  'a{3,2}',
  '(',
  'a)',
  '(?=a)',
  '(?<!a)',
  '(?P<1>a)',
  '[',
  '[a',
  '[b-a]',
  '[a-\\d]',
  '[[:nope:]]',
  '\\',
  '\\1',
  '\\q',
  '\\x4',
  '\\x{110000}',
  '(?i)*',
];

for (const text of GOOD) test(`compiles: ${text}`, () => assert.is(regexProblem(text), undefined));
for (const text of BAD) test(`does not compile: ${text}`, () => assert.type(regexProblem(text), 'string'));

test('deep nesting is a problem, not a crash', () => {
  assert.type(regexProblem('('.repeat(100_000)), 'string');
});

test.run();
