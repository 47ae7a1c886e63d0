import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createSocketUnitFiles } from '../../src/agent/socket-units.ts';
import { until } from '../e2e/wait.ts';

const test = suite('socket units on disk');
const top = mkdtempSync(join(tmpdir(), 'postern-test-'));
const [etc, lib] = [join(top, 'etc'), join(top, 'lib')];
let seconds = 1_000_000;

/** Each write is later than the one before, whatever the clock's grain. */
function write(path: string, text: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  seconds++;
  for (const folder of [join(path, '..'), join(path, '../..')]) utimesSync(folder, seconds, seconds);
}

test.after(() => rmSync(top, { recursive: true }));

test('Service= of a socket unit is read, with what overrides it, and read again when it changes', () => {
  write(join(lib, 'a.socket'), '[Unit]\nService=no.service\n[Socket]\nListenStream=1\nService = b.service\n');
  write(join(lib, 'plain.socket'), '[Socket]\nListenStream=2\n');
  write(join(lib, 'c.socket'), '[Socket]\nService=lib.service\n');
  write(join(etc, 'c.socket'), '[Socket]\nService=etc.service\n');
  const files = createSocketUnitFiles([etc, lib]);
  assert.equal([...files.read()].sort(), [
    ['a.socket', 'b.service'],
    ['c.socket', 'etc.service'],
  ]);
  assert.is(files.read(), files.read(), 'the same answer while nothing changes');
  write(join(etc, 'a.socket.d/10.conf'), '[Socket]\nService=dropped.service\n');
  write(join(lib, 'a.socket.d/20.conf'), '[Socket]\nService=last.service\n');
  assert.is(files.read().get('a.socket'), 'last.service');
  write(join(lib, 'a.socket.d/30.conf'), '[Socket]\nService=\n');
  assert.is(files.read().has('a.socket'), false);
});

test('folders that are not there are no units', () => {
  assert.is(createSocketUnitFiles([join(top, 'none')]).read().size, 0);
});

test('a unit file that is written or edited in place is told, another file is not', async () => {
  mkdirSync(etc, { recursive: true });
  const files = createSocketUnitFiles([etc, join(top, 'none')]);
  let told = 0;
  const stop = files.watch(() => {
    told++;
  });
  const path = join(etc, 'w.socket');
  writeFileSync(join(etc, 'w.service'), '');
  writeFileSync(path, '[Socket]\nService=one.service\n');
  await until('it is told', () => told > 0);
  assert.is(files.read().get('w.socket'), 'one.service');
  writeFileSync(path, '[Socket]\nService=two.service\n');
  await until('it is told again', () => files.read().get('w.socket') === 'two.service');
  stop();
});

test.run();
