import * as fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  affixMatches,
  globAffix,
  globLiteral,
  globMatches,
  globsOverlap,
  parseGlob,
  toGlob,
} from '../../src/core/glob.ts';

const rows: [pattern: string, yes: string[], no: string[]][] = [
  ['nginx.service', ['nginx.service'], ['nginx.service ', 'xnginx.service', '']],
  [
    'tomcat@*.service',
    ['tomcat@1.service', 'tomcat@.service'],
    ['tomcat.service', 'tomcat@a/b.service', 'tomcat@1.servicex'],
  ],
  ['/usr/lib/jvm/*/bin/java', ['/usr/lib/jvm/17/bin/java'], ['/usr/lib/jvm/a/b/bin/java', '/usr/lib/jvm/bin/java']],
  [
    'user.slice/**/libpod-*.scope',
    ['user.slice/a/b/libpod-1.scope'],
    ['user.slice/libpod-1.scope', 'user.slice/a/libpod-1/x.scope'],
  ],
  ['a?c', ['abc', 'aéc'], ['a/c', 'ac', 'abbc']],
  ['v[0-9a]', ['v0', 'va'], ['vb', 'v', 'v-']],
  ['v[!0-9]', ['vx'], ['v0', 'v/']],
  ['v[]-]', ['v]', 'v-'], ['vx']],
  ['a\\*b', ['a*b'], ['axb']],
  ['a\\\\b', ['a\\b'], ['ab']],
  ['**', ['', 'a', 'a/b'], []],
  ['*', ['', 'a'], ['a/b']],
];
for (const [pattern, yes, no] of rows) {
  test(`"${pattern}" matches whole texts only`, () => {
    for (const text of yes) assert.ok(globMatches(toGlob(pattern), text), text);
    for (const text of no) assert.not.ok(globMatches(toGlob(pattern), text), text);
  });
}

test('a syntax error names its column', () => {
  assert.equal(parseGlob('ab['), { ok: false, message: '"[" is never closed by "]"', column: 3 });
  assert.equal(parseGlob('ab\\'), { ok: false, message: '"\\" at the end escapes nothing', column: 3 });
  assert.equal(parseGlob('a[z-a]'), { ok: false, message: 'range "z-a" runs backwards', column: 3 });
});

const token = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', '/', '.') },
  fc.constantFrom('*', '**', '?', '[ab]', '[!a]', '[a-b]', '\\*', '\\a'),
);
const pattern = fc.array(token, { maxLength: 8 }).map((tokens) => tokens.join(''));
const text = fc.array(fc.constantFrom('a', 'b', '/', '.', '*', 'c'), { maxLength: 9 }).map((chars) => chars.join(''));

test('agrees with a regular expression', () => {
  fc.assert(
    fc.property(pattern, text, (p, t) => globMatches(toGlob(p), t) === reference(p).test(t)),
    { numRuns: 5000 },
  );
});

test('the kernel form of a pattern agrees with the pattern', () => {
  fc.assert(
    fc.property(pattern, text, (p, t) => {
      const affix = globAffix(toGlob(p));
      return affix === undefined || affixMatches(affix, t) === globMatches(toGlob(p), t);
    }),
    { numRuns: 5000 },
  );
});

test('patterns that share a text overlap', () => {
  fc.assert(
    fc.property(pattern, pattern, text, (a, b, t) => {
      const shared = globMatches(toGlob(a), t) && globMatches(toGlob(b), t);
      return !shared || globsOverlap(toGlob(a), toGlob(b));
    }),
    { numRuns: 5000 },
  );
  assert.not.ok(globsOverlap(toGlob('a/*'), toGlob('a/b/c')));
  assert.not.ok(globsOverlap(toGlob('*.service'), toGlob('*.scope')));
  assert.ok(globsOverlap(toGlob('user.slice/**'), toGlob('user.slice/user-*.slice/user@*.service/**')));
});

test('a literal is read without its escapes', () => {
  assert.is(globLiteral(toGlob('a\\*b')), 'a*b');
  assert.is(globLiteral(toGlob('a*b')), undefined);
});

function reference(glob: string): RegExp {
  let source = '';
  for (let i = 0; i < glob.length; i++) {
    const char = glob[i]!;
    if (char === '\\') source += `\\u{${glob.codePointAt(++i)!.toString(16)}}`;
    else if (char === '*') {
      let stars = 1;
      while (glob[i + 1] === '*') {
        stars++;
        i++;
      }
      source += stars > 1 ? '[^]*' : '[^/]*';
    } else if (char === '?') source += '[^/]';
    else if (char === '[') {
      const end = glob.indexOf(']', i + 2);
      source += `(?!/)[${glob.slice(i + 1, end).replace('!', '^')}]`;
      i = end;
    } else source += `\\u{${char.codePointAt(0)!.toString(16)}}`;
  }
  return new RegExp(`^(?:${source})$`, 'u');
}

test.run();
