import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  countPorts,
  joinPorts,
  parsePortList,
  portListText,
  portsToReserve,
  portsWithin,
  withoutPorts,
} from '../../src/core/port-list.ts';

const test = suite('port list');
const EPHEMERAL = { from: 32768, to: 60999 };

for (const [text, canonical] of [
  ['', ''],
  ['8080', '8080'],
  ['9000-9010,8080\n', '8080,9000-9010'],
  ['81,80,82-90', '80-90'],
  ['5-9,1-7', '1-9'],
] as const)
  test(`"${text.trim()}" is "${canonical}"`, () => assert.is(portListText(parsePortList(text)), canonical));

test('joined and taken away as sets are', () => {
  const spans = fc.array(
    fc
      .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 6 }))
      .map(([from, n]) => ({ from, to: from + n })),
  );
  const setOf = (list: readonly { from: number; to: number }[]) =>
    new Set(list.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i)));
  fc.assert(
    fc.property(spans, spans, (a, b) => {
      const [of, without] = [setOf(a), setOf(b)];
      assert.equal([...setOf(joinPorts(a))].sort(), [...of].sort());
      assert.equal(
        [...setOf(withoutPorts(joinPorts(a), joinPorts(b)))].sort(),
        [...of].filter((port) => !without.has(port)).sort(),
      );
      assert.is(countPorts(joinPorts(a)), of.size);
      assert.equal(parsePortList(portListText(joinPorts(a))), joinPorts(a));
    }),
  );
});

test('within a span', () => {
  assert.is(portListText(portsWithin(parsePortList('1-10,20,30-40'), { from: 5, to: 35 })), '5-10,20,30-35');
});

test('everything registered is reserved while half of the ephemeral ports stay', () => {
  const { reserve, left } = portsToReserve(
    [
      { from: 8080, to: 8080 },
      { from: 40000, to: 40100 },
    ],
    EPHEMERAL,
  );
  assert.equal([portListText(reserve), left], ['8080,40000-40100', []]);
});

test('a range that would leave less than half is left, a port beside it is not', () => {
  const { reserve, left } = portsToReserve(
    [
      { from: 1024, to: 65535 },
      { from: 40000, to: 40000 },
    ],
    EPHEMERAL,
  );
  assert.equal([portListText(reserve), portListText(left)], ['40000', '1024-65535']);
  const three = portsToReserve(
    [
      { from: 40000, to: 40000 },
      { from: 39999, to: 39999 },
    ],
    { from: 39999, to: 40001 },
  );
  assert.equal([portListText(three.reserve), portListText(three.left)], ['39999', '40000']);
});

test.run();
