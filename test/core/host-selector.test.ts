import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type HostSelector, selectsHost } from '../../src/core/host-selector.ts';

const test = suite('host selector');

const FRA = { site: 'fra', tier: 'db' };
const rows: [what: string, selector: HostSelector | undefined, selected: boolean, onNoLabels: boolean][] = [
  ['absent', undefined, true, true],
  ['empty', {}, true, true],
  ['a label', { matchLabels: { site: 'fra' } }, true, false],
  ['one label of two', { matchLabels: { site: 'fra', tier: 'app' } }, false, false],
  ['In', { matchExpressions: [{ key: 'site', operator: 'In', values: ['fra', 'ber'] }] }, true, false],
  ['NotIn', { matchExpressions: [{ key: 'site', operator: 'NotIn', values: ['fra'] }] }, false, true],
  ['Exists', { matchExpressions: [{ key: 'site', operator: 'Exists' }] }, true, false],
  ['DoesNotExist', { matchExpressions: [{ key: 'site', operator: 'DoesNotExist' }] }, false, true],
  ['a name of Object', { matchExpressions: [{ key: 'toString', operator: 'Exists' }] }, false, false],
];
for (const [what, selector, selected, onNoLabels] of rows) {
  test(`${what}: ${selected}, and ${onNoLabels} for a host without labels`, () => {
    assert.is(selectsHost(selector, FRA), selected);
    assert.is(selectsHost(selector, {}), onNoLabels);
  });
}

test.run();
