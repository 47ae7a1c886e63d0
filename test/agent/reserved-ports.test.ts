import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { reservation } from '../../src/agent/reserved-ports.ts';
import { parsePortList } from '../../src/core/port-list.ts';

const test = suite('reserved ports');
const of = (now: string, before: [operator: string, written: string] | undefined, reserve: string) => {
  const kept = before && { operator: before[0], written: before[1] };
  const { text, reserved } = reservation(now, kept, parsePortList(reserve));
  return [text, reserved?.operator, reserved?.written];
};

const ROWS: readonly (readonly [string, ReturnType<typeof of>, ReturnType<typeof of>])[] = [
  ['nothing wanted, nothing there', of('', undefined, ''), [undefined, undefined, undefined]],
  ['a port', of('', undefined, '8080'), ['8080', '', '8080']],
  ["the operator's stay", of('50000', undefined, '8080'), ['8080,50000', '50000', '8080,50000']],
  ['again is no change', of('8080,50000', ['50000', '8080,50000'], '8080'), [undefined, '50000', '8080,50000']],
  ['another port', of('8080,50000', ['50000', '8080,50000'], '9090'), ['9090,50000', '50000', '9090,50000']],
  ['none any more', of('8080,50000', ['50000', '8080,50000'], ''), ['50000', undefined, undefined]],
  ['none any more, and none before', of('8080', ['', '8080'], ''), ['', undefined, undefined]],
  ["the operator's own port", of('8080', undefined, '8080'), [undefined, undefined, undefined]],
  ["the operator's own port beside another", of('8080', undefined, '8080-8081'), ['8080-8081', '8080', '8080-8081']],
  ['the operator replaces it', of('60000', ['50000', '8080,50000'], '8080'), ['8080,60000', '60000', '8080,60000']],
  ['the operator empties it', of('', ['50000', '8080,50000'], '8080'), ['8080', '', '8080']],
  [
    'the operator adds to what he finds: all of it is his then',
    of('8080,50000-50001', ['50000', '8080,50000'], '8080'),
    [undefined, undefined, undefined],
  ],
  [
    'the operator replaces it, and none is wanted',
    of('60000', ['50000', '8080,50000'], ''),
    [undefined, undefined, undefined],
  ],
];
for (const [what, is, wanted] of ROWS) test(what, () => assert.equal(is, wanted));

test.run();
