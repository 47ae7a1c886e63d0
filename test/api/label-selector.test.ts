import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseLabelSelector, selectsLabels } from '../../src/api/label-selector.ts';

const test = suite('label selector');

const worlds = { web: { app: 'web', tier: 'x' }, db: { app: 'db', 'example.org/a': '1' }, none: {} };

for (const [text, wanted] of [
  ['', 'web db none'],
  ['app', 'web db'],
  ['!app', 'none'],
  ['app=web', 'web'],
  ['app==web', 'web'],
  ['app = web', 'web'],
  ['app!=web', 'db none'],
  ['app in (web,db)', 'web db'],
  ['app in ( web , x )', 'web'],
  ['app notin (web)', 'db none'],
  ['app in (web,db),!tier', 'db'],
  ['example.org/a=1', 'db'],
  ['app=web,', 'web'],
  ['tier=', ''],
  ['in=x', ''],
] as const) {
  test(`"${text}" selects ${wanted || 'nothing'}`, () => {
    const result = parseLabelSelector(text);
    assert.ok(result.ok, JSON.stringify(result));
    const selected = Object.entries(worlds).filter(([, labels]) => selectsLabels(result.value, labels));
    assert.is(selected.map(([name]) => name).join(' '), wanted);
  });
}

for (const text of ['=', 'a b', 'app in web', 'app in (web', 'a=b c', 'a=b=c', '!', 'a in (_)', '-a', 'a,,b', '(a)']) {
  test(`"${text}" is refused`, () => {
    assert.not(parseLabelSelector(text).ok);
  });
}

test.run();
