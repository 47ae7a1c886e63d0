import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { argsRegexMatches, readArgsRegex } from '../../src/core/args-regex.ts';

const test = suite('args regex');

function matches(source: string, args: readonly string[]): boolean {
  const read = readArgsRegex(source);
  if (!read.ok) throw new Error(`${source}: ${read.message}`);
  return argsRegexMatches(read.value, args);
}

const refused: [source: string, why: RegExp][] = [
  ['(a)\\1', /refers back, .*linear time \(column 4\)/],
  ['(?=a)b', /only "\(\?:" can be decided in linear time/],
  ['(?<!a)b', /linear time/],
  ['a*?', /after a repetition/],
  ['a**', /after a repetition/],
  ['*a', /"\*" repeats nothing \(column 1\)/],
  ['(a', /never closed/],
  ['a)', /"\)" without "\("/],
  ['[a', /never closed by "]"/],
  ['[z-a]', /must run from/],
  ['a{2,1}', /must rise/],
  ['a{x}', /must be \{m\}/],
  ['\\b', /"\\b" is not known/],
  ['a\\', /escapes nothing/],
  ['a*', /matches every process/],
  ['(x{255}){255}', /more than 1000 states/],
];
for (const [source, why] of refused) {
  test(`refuses ${source}`, () => {
    const read = readArgsRegex(source);
    assert.ok(!read.ok);
    assert.match(!read.ok ? read.message : '', why);
  });
}

test('it is held against the elements joined by one space, anywhere', () => {
  assert.ok(matches('kafka\\.Kafka', ['java', '-cp', '/opt/kafka.jar', 'kafka.Kafka', 'server.properties']));
  assert.not.ok(matches('^kafka\\.Kafka', ['java', 'kafka.Kafka']));
  assert.ok(matches('--port 80(80|81)$', ['x', '--port', '8081']));
  assert.not.ok(matches('--port 80(80|81)$', ['x', '--port', '8081', '']));
});

test('a pattern that would make a backtracking engine stand still is answered', () => {
  assert.not.ok(matches('^(a+)+b$', ['a'.repeat(20_000)]));
  assert.not.ok(matches('^(a|aa|a.)*(b|c)$', ['a'.repeat(20_000)]));
});

const pattern = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('a', 'b', '.', ' ', '[ab]', '[^a]', '\\d', '\\W', '\\.', '^', '$'),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => `${a}${b}`),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => `(${a}|${b})`),
    fc
      .tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{0,1}', '{2,}'))
      .map(([a, q]) => `(?:${a})${q}`),
  ),
})).node;

test('it says what the regular expressions of the language say', () => {
  fc.assert(
    fc.property(
      pattern,
      fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '1', '.'), maxLength: 4 }), { maxLength: 4 }),
      (source, args) => {
        const read = readArgsRegex(source);
        if (!read.ok) return;
        assert.is(argsRegexMatches(read.value, args), new RegExp(source, 'su').test(args.join(' ')), source);
      },
    ),
    { numRuns: 2000 },
  );
});

test.run();
