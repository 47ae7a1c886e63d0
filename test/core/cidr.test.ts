import { isIP } from 'node:net';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  addressPrefix,
  canonicalPrefix,
  contains,
  containsAddress,
  formatAddress,
  formatPrefix,
  mappedLength,
  parseAddress,
  parsePrefix,
  prefixKey,
} from '../../src/core/cidr.ts';

const CANONICAL: readonly (readonly [string, string | undefined])[] = [
  ['10.0.0.0/8', '10.0.0.0/8'],
  ['10.1.2.3/8', '10.0.0.0/8'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['255.255.255.255/32', '255.255.255.255/32'],
  ['2001:DB8::/32', '2001:db8::/32'],
  ['2001:db8:0:0:1:0:0:1/128', '2001:db8::1:0:0:1/128'],
  ['::/0', '::/0'],
  ['::1/128', '::1/128'],
  ['1:0:0:0:0:0:0:8/128', '1::8/128'],
  ['1:2:3:4:5:6:0:8/128', '1:2:3:4:5:6:0:8/128'],
  ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
  ['::ffff:0a01:0203/128', '10.1.2.3/32'],
  ['64:ff9b::192.0.2.33/128', '64:ff9b::c000:221/128'],
  ['10.0.0.0', undefined],
  ['10.0.0.0/33', undefined],
  ['10.0.0/8', undefined],
  ['10.0.0.0/08', undefined],
  ['010.0.0.0/8', undefined],
  ['10.0.0.256/8', undefined],
  ['10.0.0.0/-1', undefined],
  ['10.0.0.0/8/8', undefined],
  ['10.0.0.0/255.0.0.0', undefined],
  ['::/129', undefined],
  ['1::2::3/64', undefined],
  ['1:2:3:4:5:6:7/64', undefined],
  ['1:2:3:4:5:6:7:8:9/64', undefined],
  ['1:2:3:4::5:6:7:8/64', undefined],
  ['12345::/64', undefined],
  ['fe80::1%eth0/64', undefined],
  ['1.2.3.4::/64', undefined],
  ['::1.2.3.4:5/64', undefined],
  ['hello', undefined],
  ['', undefined],
];

for (const [text, expected] of CANONICAL) {
  test(`"${text}" is ${expected ?? 'refused'}`, () => assert.is(canonicalPrefix(text), expected));
}

test('an address alone is a prefix of full length, where that is allowed', () => {
  assert.is(canonicalPrefix('192.0.2.1', { bare: true }), '192.0.2.1/32');
  assert.is(canonicalPrefix('2001:db8::1', { bare: true }), '2001:db8::1/128');
  assert.is(canonicalPrefix('::ffff:192.0.2.1', { bare: true }), '192.0.2.1/32');
});

const bytes = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 }).map((list) => Uint8Array.from(list)),
  fc
    .uint8Array({ minLength: 4, maxLength: 4 })
    .map((v4) => Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...v4])),
);

test('every address that is formatted is an address to Node, and reads as the same bytes', () => {
  fc.assert(
    fc.property(bytes, (address) => {
      const text = formatAddress(address);
      assert.ok(isIP(text) > 0, text);
      assert.equal(parseAddress(text), address);
    }),
  );
});

test('what Node takes for an address, we take too, and nothing else', () => {
  const text = fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{0,20}$/));
  fc.assert(fc.property(text, (t) => assert.is(parseAddress(t) !== undefined, isIP(t) > 0, t)));
});

const prefix = fc.tuple(bytes, fc.integer({ min: 0, max: 128 })).map(([address, length]) => {
  const full = addressPrefix(address);
  return parsePrefix(`${formatAddress(address)}/${Math.min(length, full.length)}`)!;
});

test('a prefix contains another iff it is shorter and has the same leading bits, within one family', () => {
  const bits = (p: { bytes: Uint8Array }) => [...p.bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  fc.assert(
    fc.property(prefix, prefix, fc.boolean(), (a, other, related) => {
      const b =
        related && other.family === a.family
          ? parsePrefix(`${formatAddress(a.bytes, a.family)}/${other.length}`)!
          : other;
      const expected =
        a.family === b.family &&
        a.length <= b.length &&
        bits(a).slice(0, mappedLength(a)) === bits(b).slice(0, mappedLength(a));
      assert.is(contains(a, b), expected);
      if (expected) assert.ok(prefixKey(a) <= prefixKey(b));
    }),
  );
});

test('a prefix has no host bits, and is canonical text', () => {
  fc.assert(
    fc.property(prefix, (p) => {
      assert.is(canonicalPrefix(formatPrefix(p)), formatPrefix(p));
      assert.ok(containsAddress(p, p.bytes));
    }),
  );
});

test('::/0 holds no IPv4 address', () => assert.not(containsAddress(parsePrefix('::/0')!, parseAddress('10.0.0.1')!)));

test.run();
