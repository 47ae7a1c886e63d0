import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatSelector, indexLabels, requirementOf, selects } from '../../src/core/selector.ts';
import { parseSelectorText } from '../../src/core/selector-text.ts';

/** selector text, labels, whether it selects them */
const ROWS: readonly (readonly [string, readonly string[], boolean])[] = [
  ['', [], true],
  ['app=web', ['user:app=web'], true],
  ['app=web', ['user:app=db'], false],
  ['app==web', ['container:app=web'], true],
  ['app!=web', ['user:app=db'], true],
  ['app!=web', [], true],
  ['app!=web', ['user:app=web'], false],
  ['app in (web,db)', ['user:app=db'], true],
  ['app in (web, db)', ['user:app=api'], false],
  ['app notin (web,db)', ['user:app=api'], true],
  ['app notin (web,db)', [], true],
  ['app', ['user:app=web'], true],
  ['app', [], false],
  ['!app', [], true],
  ['! app', ['user:app'], false],
  ['app=web,tier!=x,env', ['user:app=web', 'user:env=prod'], true],
  ['app=web,tier!=x,env', ['user:app=web', 'user:env=prod', 'user:tier=x'], false],
  ['app=', ['user:app'], true],
  ['k8s:app=web', ['k8s:app=web'], true],
  ['k8s:app=web', ['user:app=web'], true],
  ['k8s:app=web', ['container:app=web'], false],
  ['user:app=web', ['k8s:app=web'], false],
  ['any:app=web', ['systemd:app=web'], true],
  ['reserved:host', ['reserved:host'], true],
  ['reserved:host', ['user:host'], false],
  ['k8s:app!=web', ['container:app=web'], true],
  ['app=web', ['user:app=db', 'container:app=web'], true],
  ['app!=web', ['user:app=db', 'container:app=web'], false],
];

for (const [text, labels, expected] of ROWS) {
  test(`"${text}" ${expected ? 'selects' : 'does not select'} ${labels.join(' ') || 'no labels'}`, () => {
    const parsed = parseSelectorText(text);
    assert.ok(parsed.ok);
    assert.is(selects(parsed.value, indexLabels(labels)), expected);
  });
}

for (const text of [
  'a in b',
  'a in (b',
  'a>1',
  'a,,b',
  'a b',
  '=b',
  'a in (b) c',
  'a=b=c',
  'a=-',
  'a=b,',
  ':a=b',
  '/a=b',
]) {
  test(`"${text}" is refused`, () => assert.not(parseSelectorText(text).ok));
}

test('a refused selector names the requirement and its column', () => {
  const refused = parseSelectorText('app=web,tier>2');
  assert.ok(!refused.ok);
  assert.is(refused.status, 400);
  assert.is(refused.errors[0]!.column, 9);
  assert.match(refused.errors[0]!.message, 'tier>2');
});

test('formatted and read again, a selector is the same; the order of requirements and values does not matter', () => {
  const name = fc.constantFrom('app', 'k8s:tier', 'any:env', 'reserved:host');
  const requirement = fc
    .tuple(
      name,
      fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
      fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }),
    )
    .map(([key, operator, values]) => requirementOf(key, operator as 'In', operator.endsWith('In') ? values : []));
  fc.assert(
    fc.property(fc.array(requirement, { maxLength: 4 }), (requirements) => {
      const text = formatSelector({ requirements });
      const parsed = parseSelectorText(text);
      assert.ok(parsed.ok);
      assert.is(formatSelector(parsed.value), text);
      assert.is(formatSelector({ requirements: requirements.toReversed() }), text);
    }),
  );
});

test.run();
