import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readOnlyMappings, releaseFilePages } from '../src/api/file-pages.ts';

const SMAPS = `00400000-00500000 r-xp 00000000 08:01 12                                 /opt/a b/node
Rss:                 800 kB
Anonymous:             0 kB
VmFlags: rd ex mr
00500000-00600000 r--p 00100000 08:01 12                                 /opt/a b/node
Anonymous:            64 kB
00600000-00700000 rw-p 00200000 08:01 12                                 /opt/a b/node
Anonymous:             0 kB
00700000-00800000 r--p 00000000 08:01 13                                 /opt/other
Anonymous:             0 kB
00800000-00900000 r--p 00300000 08:01 12                                 /opt/a b/node
Anonymous:             0 kB
`;

test('only what is read and was not written counts, and only of that file', () => {
  assert.equal(readOnlyMappings(SMAPS, '/opt/a b/node'), [
    { from: 0x400000n, to: 0x500000n },
    { from: 0x800000n, to: 0x900000n },
  ]);
});

test('the pages of the own program go, and it runs on', () => {
  const resident = () => Number(/RssFile:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
  const before = resident();
  assert.ok(releaseFilePages(process.execPath) > 0);
  assert.ok(resident() < before / 2, `${resident()} kB of ${before} kB are left`);
  assert.is(JSON.parse('{"a":[1,2,3]}').a.length, 3);
});

test.run();
